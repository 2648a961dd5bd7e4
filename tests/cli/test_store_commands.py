"""``raysurf compact``, ``fsck``, ``rm`` and ``du``, as a user types them, and ``--strict`` of those that read."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from raysurf.maintenance.inventory import KINDS, sizes
from raysurf.results import open
from raysurf.store.lease import Lease
from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from raysurf.wording import Bytes, counted
from tests.support.command import raysurf
from tests.support.kept_stores import flipped, settle


def cells(table: str) -> dict[str, list[str]]:
    """The lines of a printed table by their first cell."""
    header, rule, *lines = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in table.splitlines()]
    assert set("".join(rule)) == {"-"}
    assert all(len(line) == len(header) for line in lines)
    return {line[0]: line[1:] for line in lines}


@pytest.mark.parametrize("is_compacted", [False, True])
def test_room_by_sweep(is_compacted: bool, store: Store) -> None:
    """A line a sweep and one for all, in columns; JSON gives bytes, which add up to those on the disk."""
    if is_compacted:
        settle(store)
    code, out, _ = raysurf("du --format json")
    by_sweep = {row["sweep"]: row for row in json.loads(out)}
    assert code == 0
    assert set(by_sweep) == {"first", "second", ""}
    assert sum(row["total"] for row in by_sweep.values()) == sum(sizes(store).values())
    assert all(row["total"] == sum(row[kind] for kind in KINDS) for row in by_sweep.values())
    code, out, err = raysurf("du")
    lines = cells(out)
    assert (code, err) == (0, "")
    assert list(lines) == ["first", "second", "(no sweep)", "all"]
    assert lines["first"] == ["3", *(str(Bytes(by_sweep["first"][kind])) for kind in (*KINDS, "total"))]
    assert lines["all"][-1] == str(Bytes(sum(sizes(store).values())))


def test_compaction_is_told(store: Store) -> None:
    """A line a table: files compacted, rows, files removed and files that wait; and the same rows are printed after."""
    before = raysurf("table epochs --format json").out
    code, out, err = raysurf("compact")
    assert code == 0
    runs = cells(out)["runs"]
    assert (runs[:3], runs[4], err) == (["4", "4", "4"], "0", "")
    assert not store.list("tables")
    row = {**open(store.uri).table("runs").to_pylist()[0], "run_id": "sgd-later"}
    write_rows(store, "runs", "sgd-later", [row])
    code, out, err = raysurf("compact --table runs")
    assert (list(cells(out)), cells(out)["runs"][4]) == (["runs"], "1")
    assert err == "files that wait are removed by the next compaction, 10 min from now or later\n"
    code, out, err = raysurf("compact --grace 0 --table runs")
    assert (cells(out)["runs"][2], cells(out)["runs"][4], err) == ("1", "0", "")
    assert sorted(json.loads(raysurf("table epochs --format json").out), key=str) == sorted(json.loads(before), key=str)


def test_one_sweep_is_compacted(store: Store) -> None:
    """Its trials and the runs that it ran first; the files of others stay as they are."""
    code, out, _ = raysurf("compact --sweep second --grace 0")
    assert code == 0
    assert cells(out)["trials"][:2] == ["2", "2"]
    assert cells(out)["runs"][:2] == ["1", "1"]


def test_a_table_that_somebody_compacts_is_left_to_them(store: Store) -> None:
    """They are named, and the other tables are compacted."""
    with Lease(store, "compact.runs", "somebody") as lease:
        assert lease.take() is None
        code, out, err = raysurf("compact")
    assert code == 0
    assert "runs is being compacted by somebody, pid" in err
    assert list(cells(out)) == ["trials", "epochs", "predictions"]


def test_a_broken_file_is_left_alone_by_compaction(store: Store) -> None:
    """It is named; the rest of its table is compacted."""
    store.put_bytes("tables/runs/sgd-x.parquet", b"nothing")
    code, out, err = raysurf("compact")
    assert code == 0
    assert "warning: tables/runs/sgd-x.parquet is broken, and was left alone" in err
    assert cells(out)["runs"][0] == "4"


def test_a_whole_store_is_said_to_be_so(store: Store) -> None:
    """In a line, and no findings in JSON."""
    assert raysurf("fsck") == (0, f"{counted(len(store.list()), 'file')}, nothing wrong\n", "")
    assert raysurf("fsck --format json")[:2] == (0, "[]\n")


def test_what_is_found_is_told_and_mended(store: Store) -> None:
    """Every file with what is wrong and what that means; exit code 1; --fix removes garbage alone."""
    (cut, broken, *_) = store.list("tables/epochs")
    store.put_bytes(cut, store.get_bytes(cut)[:-9])
    store.put_bytes(broken, b"nothing")
    state = next(path for path in store.list("trajectories") if path.endswith(".safetensors"))
    store.put_bytes(state, flipped(store.get_bytes(state)))
    code, out, err = raysurf("fsck")
    assert code == 1
    assert max(map(len, out.splitlines())) <= 100
    assert f"{cut} (garbage)\n    a truncated file: it counts as not written" in out
    assert f"{broken}\n    cannot be read (" in out
    assert f"{state} (garbage)\n    a training state that is not what was written" in out
    assert out.endswith(f"{counted(len(store.list()), 'file')}, 4 findings, 3 of them garbage\n")
    assert err == "raysurf fsck --fix removes what is garbage, and nothing else\n"
    findings = json.loads(raysurf("fsck --format json").out)
    assert {finding["path"]: finding["is_garbage"] for finding in findings} == {
        cut: True,
        broken: False,
        state: True,
        state.replace(".safetensors", ".json"): True,
    }
    code, _, err = raysurf("fsck --fix")
    assert (code, err) == (1, "3 files removed\n")
    assert not store.exists(cut)
    assert store.exists(broken)


def test_who_works_on_a_store_is_told(store: Store) -> None:
    """As what is theirs was not looked at."""
    with Lease(store, "sweep.first", "somebody") as lease:
        assert lease.take() is None
        code, _, err = raysurf("fsck")
    assert code == 0
    assert err.startswith("at work: somebody, pid ")


@pytest.mark.parametrize("is_compacted", [False, True])
def test_a_sweep_is_removed(is_compacted: bool, store: Store) -> None:
    """What would go is told first and nothing changed; then the same goes; what others need is told with them."""
    if is_compacted:
        settle(store)
    before = sizes(store)
    code, planned, err = raysurf("rm first --dry-run")
    assert (code, err) == (0, "")
    assert planned.startswith("first: 2 trials and 1 run would be removed\n")
    assert "2 of its runs stay, being needed; remove first again when that is gone:\nrun" in planned
    assert "  a trial of second\n" in planned
    assert ("rows in compacted files; their room is free after a later raysurf compact" in planned) == is_compacted
    assert sizes(store) == before
    code, removed, err = raysurf("rm first")
    assert (code, err) == (0, "")
    assert removed == planned.replace("would be removed", "removed")
    gone = before.keys() - sizes(store).keys()
    total = next(line.split() for line in planned.splitlines() if line.startswith("all "))
    assert total[1] == str(len([path for path in gone if not path.startswith("compact/")]))
    assert raysurf("best first").code == 2
    assert cells(raysurf("table trials --columns trial,sweep").out).keys() == {"0", "1"}
    assert raysurf("fsck").code == 0


def test_a_sweep_stays_while_one_runs(store: Store) -> None:
    """One clear error that names who runs which; a plan can be asked for meanwhile."""
    before = sizes(store)
    with Lease(store, "sweep.second", "somebody") as lease:
        assert lease.take() is None
        code, out, err = raysurf("rm first")
        assert raysurf("rm first --dry-run").code == 0
    assert (code, out) == (2, "")
    assert "got sweep second, which is being run by somebody, pid" in err
    assert "wait for it or end it" in err
    assert sizes(store) == before


@pytest.mark.parametrize("is_compacted", [False, True])
@pytest.mark.parametrize(
    "command",
    [
        "table runs",
        "table --sql 'select count(*) from runs'",
        "export runs",
        "compare budgets",
        "best first",
        "why",
        "diff A B",
        "plot schedule",
    ],
)
def test_strict(command: str, is_compacted: bool, store: Store) -> None:
    """A broken file is one warning to who reads, and one error with --strict; both name it."""
    first, second, *_ = [path.split("/")[2].removesuffix(".parquet") for path in store.list("tables/runs")]
    if is_compacted:
        settle(store)
    path = f"tables/{'trials/first-000009' if command == 'best first' else 'runs/sgd-x'}.parquet"
    store.put_bytes(path, b"nothing")
    command = command.replace("A B", f"{first} {second}")
    code, out, err = raysurf(f"{command} --strict")
    assert (code, out) == (2, "")
    assert err.count("error: ") == 1
    assert path in err
    code, _, err = raysurf(command)
    assert err.count(f"{path} is left out") == 1
    assert err.startswith("warning: ")
    # Of runs without metrics in any, nothing can be compared or be the best.
    assert code == 0 or command == "best first"


def test_neither_torch_nor_ray_is_needed(store: Store) -> None:
    """A machine that keeps results has neither."""
    program = """import sys
from raysurf.cli import main
for command in ("compact", "fsck", "du", "rm first"):
    sys.argv = ["raysurf", *command.split()]
    assert main._run() == 0
assert not {"torch", "ray", "optuna"} & sys.modules.keys()"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
