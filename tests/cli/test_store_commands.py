"""``raysurf compact``, ``fsck``, ``rm`` and ``du``, as a user types them, and ``--strict`` of those that read."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from raysurf.cli import main
from raysurf.maintenance.inventory import KINDS, sizes
from raysurf.results import open
from raysurf.store.lease import Lease
from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from raysurf.wording import Bytes, counted
from tests.support.kept_stores import flipped, run_two_sweeps, settle

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two sweeps."""
    run_two_sweeps(root := tmp_path_factory.mktemp("original") / "results")
    return root


@pytest.fixture
def store(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A copy of it, ``results`` of the folder that is the test's."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(original, "results")
    return Store("results")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command: exit code, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["raysurf", *arguments])
        code = main._run()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return run


def cells(table: str) -> dict[str, list[str]]:
    """The lines of a printed table by their first cell."""
    header, rule, *lines = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in table.splitlines()]
    assert set("".join(rule)) == {"-"}
    assert all(len(line) == len(header) for line in lines)
    return {line[0]: line[1:] for line in lines}


@pytest.mark.parametrize("is_compacted", [False, True])
def test_room_by_sweep(is_compacted: bool, store: Store, command: Command) -> None:
    """A line a sweep and one for all, in columns; JSON gives bytes, which add up to those on the disk."""
    if is_compacted:
        settle(store)
    code, out, _ = command("du", "--format", "json")
    found = {row["sweep"]: row for row in json.loads(out)}
    assert code == 0
    assert set(found) == {"first", "second", ""}
    assert sum(row["total"] for row in found.values()) == sum(sizes(store).values())
    assert all(row["total"] == sum(row[kind] for kind in KINDS) for row in found.values())
    code, out, err = command("du")
    lines = cells(out)
    assert (code, err) == (0, "")
    assert list(lines) == ["first", "second", "(no sweep)", "all"]
    assert lines["first"] == ["3", *(str(Bytes(found["first"][kind])) for kind in (*KINDS, "total"))]
    assert lines["all"][-1] == str(Bytes(sum(sizes(store).values())))


def test_compaction_is_told(store: Store, command: Command) -> None:
    """A line a table: files compacted, rows, files removed and files that wait; and the same rows are printed after."""
    before = command("table", "epochs", "--format", "json")[1]
    code, out, err = command("compact")
    assert code == 0
    runs = cells(out)["runs"]
    assert (runs[:3], runs[4], err) == (["4", "4", "4"], "0", "")
    assert not store.list("tables")
    row = {**open(store.uri).table("runs").to_pylist()[0], "run_id": "sgd-later"}
    write_rows(store, "runs", "sgd-later", [row])
    code, out, err = command("compact", "--table", "runs")
    assert (list(cells(out)), cells(out)["runs"][4]) == (["runs"], "1")
    assert err == "files that wait are removed by the next compaction, 10 minutes from now or later\n"
    code, out, err = command("compact", "--grace", "0", "--table", "runs")
    assert (cells(out)["runs"][2], cells(out)["runs"][4], err) == ("1", "0", "")
    assert sorted(json.loads(command("table", "epochs", "--format", "json")[1]), key=str) == sorted(
        json.loads(before), key=str
    )


def test_one_sweep_is_compacted(store: Store, command: Command) -> None:
    """Its trials and the runs that it ran first; the files of others stay as they are."""
    code, out, _ = command("compact", "--sweep", "second", "--grace", "0")
    assert code == 0
    assert cells(out)["trials"][:2] == ["2", "2"]
    assert cells(out)["runs"][:2] == ["1", "1"]


def test_a_table_that_somebody_compacts_is_left_to_them(store: Store, command: Command) -> None:
    """They are named, and the other tables are compacted."""
    with Lease(store, "compact.runs", "somebody") as lease:
        assert lease.take() is None
        code, out, err = command("compact")
    assert code == 0
    assert "runs is being compacted by somebody, pid" in err
    assert list(cells(out)) == ["trials", "epochs", "predictions"]


def test_a_broken_file_is_left_alone_by_compaction(store: Store, command: Command) -> None:
    """It is named; the rest of its table is compacted."""
    store.put_bytes("tables/runs/sgd-x.parquet", b"nothing")
    code, out, err = command("compact")
    assert code == 0
    assert "warning: tables/runs/sgd-x.parquet is broken, and was left alone" in err
    assert cells(out)["runs"][0] == "4"


def test_a_whole_store_is_said_to_be_so(store: Store, command: Command) -> None:
    """In a line, and no findings in JSON."""
    assert command("fsck") == (0, f"{counted(len(store.list()), 'file')}, nothing wrong\n", "")
    assert command("fsck", "--format", "json")[:2] == (0, "[]\n")


def test_what_is_found_is_told_and_mended(store: Store, command: Command) -> None:
    """Every file with what is wrong and what that means; exit code 1; --fix removes garbage alone."""
    (cut, broken, *_) = store.list("tables/epochs")
    store.put_bytes(cut, store.get_bytes(cut)[:-9])
    store.put_bytes(broken, b"nothing")
    state = next(path for path in store.list("trajectories") if path.endswith(".safetensors"))
    store.put_bytes(state, flipped(store.get_bytes(state)))
    code, out, err = command("fsck")
    assert code == 1
    assert max(map(len, out.splitlines())) <= 100
    assert f"{cut} (garbage)\n    a truncated file: it counts as not written" in out
    assert f"{broken}\n    cannot be read (" in out
    assert f"{state} (garbage)\n    a training state that is not what was written" in out
    assert out.endswith(f"{counted(len(store.list()), 'file')}, 4 findings, 3 of them garbage\n")
    assert err == "raysurf fsck --fix removes what is garbage, and nothing else\n"
    found = json.loads(command("fsck", "--format", "json")[1])
    assert {finding["path"]: finding["is_garbage"] for finding in found} == {
        cut: True,
        broken: False,
        state: True,
        state.replace(".safetensors", ".json"): True,
    }
    code, _, err = command("fsck", "--fix")
    assert (code, err) == (1, "3 files removed\n")
    assert not store.exists(cut)
    assert store.exists(broken)


def test_who_works_on_a_store_is_told(store: Store, command: Command) -> None:
    """As what is theirs was not looked at."""
    with Lease(store, "sweep.first", "somebody") as lease:
        assert lease.take() is None
        code, _, err = command("fsck")
    assert code == 0
    assert err.startswith("at work: somebody, pid ")


@pytest.mark.parametrize("is_compacted", [False, True])
def test_a_sweep_is_removed(is_compacted: bool, store: Store, command: Command) -> None:
    """What would go is told first and nothing changed; then the same goes; what others need is told with them."""
    if is_compacted:
        settle(store)
    before = sizes(store)
    code, planned, err = command("rm", "first", "--dry-run")
    assert (code, err) == (0, "")
    assert planned.startswith("first: 2 trials and 1 run would be removed\n")
    assert "2 of its runs stay, being needed; remove first again when that is gone:\nrun" in planned
    assert "  a trial of second\n" in planned
    assert ("rows in compacted files; their room is free after a later raysurf compact" in planned) == is_compacted
    assert sizes(store) == before
    code, removed, err = command("rm", "first")
    assert (code, err) == (0, "")
    assert removed == planned.replace("would be removed", "removed")
    gone = before.keys() - sizes(store).keys()
    total = next(line.split() for line in planned.splitlines() if line.startswith("all "))
    assert total[1] == str(len([path for path in gone if not path.startswith("compact/")]))
    assert command("best", "first")[0] == 2
    assert cells(command("table", "trials", "--columns", "trial,sweep")[1]).keys() == {"0", "1"}
    assert command("fsck")[0] == 0


def test_a_sweep_stays_while_one_runs(store: Store, command: Command) -> None:
    """One clear error that names who runs which; a plan can be asked for meanwhile."""
    before = sizes(store)
    with Lease(store, "sweep.second", "somebody") as lease:
        assert lease.take() is None
        code, out, err = command("rm", "first")
        assert command("rm", "first", "--dry-run")[0] == 0
    assert (code, out) == (2, "")
    assert "got sweep second, which is being run by somebody, pid" in err
    assert "wait for it or end it" in err
    assert sizes(store) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rm", "third"), "unknown sweep: got 'third'; expected one of first, second"),
        (("rm", "firts", "--dry-run"), "did you mean 'first'?"),
        (("rm",), "Missing argument 'SWEEP'"),
        (("compact", "--sweep", "third"), "unknown sweep: got 'third'"),
        (("compact", "--table", "run"), "unknown table: got 'run'"),
        (("compact", "--grace", "-1"), "-1.0 is not in the range x>=0.0"),
        (("compact", "--results", "nowhere"), "expected a store that a sweep has written"),
        (("du", "--results", "nowhere"), "expected a store that a sweep has written"),
        (("fsck", "--results", "nowhere"), "expected a store that a sweep has written"),
        (("rm", "first", "--results", "results/version.json"), "expected a store that a sweep has written"),
    ],
)
def test_mistakes(arguments: tuple[str, ...], said: str, store: Store, command: Command) -> None:
    """Exit code 2 and one clear error; nothing is changed."""
    before = sizes(store)
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert sizes(store) == before
    assert sorted(path.name for path in Path().iterdir()) == ["results"]


@pytest.mark.parametrize("name", ["compact", "fsck", "du", "rm"])
def test_a_newer_store_is_let_be(name: str, store: Store, command: Command) -> None:
    """By all that would change it or say what it holds."""
    store.put_json("version.json", {"version": 99})
    before = sizes(store)
    code, out, err = command(name, *(["first"] if name == "rm" else []))
    assert (code, out) == (2, "")
    assert "got version.json of version 99" in err
    assert sizes(store) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("table", "runs"),
        ("table", "--sql", "select count(*) from runs"),
        ("export", "runs"),
        ("compare", "budgets"),
        ("best", "first"),
        ("why",),
        ("diff", "A", "B"),
        ("plot", "schedule"),
    ],
)
@pytest.mark.parametrize("is_compacted", [False, True])
def test_strict(is_compacted: bool, arguments: tuple[str, ...], store: Store, command: Command) -> None:
    """A broken file is one warning to who reads, and one error with --strict; both name it."""
    runs = [path.split("/")[2].removesuffix(".parquet") for path in store.list("tables/runs")]
    if is_compacted:
        settle(store)
    table = "trials" if arguments[0] == "best" else "runs"
    path = f"tables/{table}/{'first-000009' if table == 'trials' else 'sgd-x'}.parquet"
    store.put_bytes(path, b"nothing")
    asked = [{"A": runs[0], "B": runs[1]}.get(each, each) for each in arguments]
    code, out, err = command(*asked, "--strict")
    assert (code, out) == (2, "")
    assert err.count("error: ") == 1
    assert path in err
    code, _, err = command(*asked)
    assert err.count(f"{path} is left out") == 1
    assert err.startswith("warning: ")
    # Of runs without figures in any, nothing can be compared or be the best.
    assert code == 0 or asked[0] == "best"


@pytest.mark.parametrize("name", ["compact", "fsck", "du", "rm"])
def test_neither_torch_nor_ray_is_needed(name: str, store: Store) -> None:
    """A machine that keeps results has neither."""
    arguments = ["raysurf", name, *(["first"] if name == "rm" else [])]
    program = f"""import sys
sys.argv = {arguments}
from raysurf.cli import main
assert main._run() == 0
assert not {{"torch", "ray", "optuna"}} & sys.modules.keys()"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
