"""``raysurf table``, ``export`` and ``best``, as a user types them."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import raysurf as rs
from raysurf.cli import main
from raysurf.cli.job_text import job_file
from raysurf.cli.output import FORMATS, encoded, markdown_table
from raysurf.results import open as open_results
from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from raysurf.sweep.document import load
from tests.support.cases import tiny_sgd
from tests.support.failed_runs import FailedStore
from tests.support.noisy_runs import DROPOUT, NoisyStore, schemes
from tests.support.stores import epoch
from tests.support.trial_rows import write

Command = Callable[..., tuple[int, str, str]]
EVERY = """select 1 as a, 2 as a, 0.5 as share, 'x|y & 50% of $z_1' as text, ['u', 'v'] as items,
    interval 1 day as span, {'x': 1} as mapping, 'nan'::double as nothing, null as none, true as yes,
    date '2026-01-02' as day from epochs"""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command on the store ``r`` of an empty folder: exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["raysurf", *arguments, "--results", "r"])
        code = main._run()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return run


@pytest.fixture
def epochs() -> Store:
    """A store of one epoch, once the folder is the test's."""
    store = Store("r")
    write_rows(store, "epochs", "a", [epoch("a", test_nll=0.123456)])
    return store


def test_every_format_says_the_same(command: Command, epochs: Store) -> None:
    """What SQL may give is written in every format, two columns of one name too; CSV, JSON and Parquet come back."""
    code, out, _ = command("export", "--sql", EVERY, "--format", "json")
    (row,) = json.loads(out)
    plain = {"a": 1, "a_1": 2, "share": 0.5, "text": "x|y & 50% of $z_1", "items": ["u", "v"], "mapping": {"x": 1}}
    assert code == 0
    assert row == {**plain, "span": row["span"], "nothing": None, "none": None, "yes": True, "day": "2026-01-02"}
    (header, line) = csv.reader(io.StringIO(command("export", "--sql", EVERY)[1]))
    assert header[:5] == ["a", "a", "share", "text", "items"]
    assert line[:5] == ["1", "2", "0.5", "x|y & 50% of $z_1", "u;v"]
    printed = command("export", "--sql", EVERY, "--format", "markdown")[1].splitlines()
    assert printed[0].startswith("| a | a_1 | share | text | items |")
    assert printed[1].startswith("| ---: | ---: | ---: | --- | --- |")
    assert printed[2].startswith(r"| 1 | 2 | 0.5 | x\|y & 50% of $z_1 | u, v |")
    printed = command("export", "--sql", EVERY, "--format", "latex")[1].splitlines()
    assert printed[1] == r"\begin{tabular}{rrrllllrlll}"
    assert printed[3].startswith(r"a & a\_1 & share & text & items &")
    assert printed[5].startswith(r"1 & 2 & 0.5 & x\textbar{}y \& 50\% of \$z\_1 & u, v &")
    assert "x|y & 50% of $z_1" in command("table", "--sql", EVERY)[1]


def test_a_file_is_written_whole(command: Command, epochs: Store, tmp_path: Path) -> None:
    """The suffix says as what; Parquet keeps the written schema; a query that fails leaves the file as it was."""
    for suffix in ("csv", "json", "parquet", "tex", "md"):
        code, out, err = command("export", "epochs", "--columns", "run_id, test_nll", "-o", f"epochs.{suffix}")
        assert (code, out, err) == (0, "", f"epochs.{suffix}  1 rows\n")
    assert pq.read_table("epochs.parquet").equals(open_results("r").table("epochs", ["run_id", "test_nll"]))
    assert Path("epochs.csv").read_text().splitlines() == ['"run_id","test_nll"', '"a",0.123456']
    assert Path("epochs.md").read_text().endswith("| a | 0.1235 |\n")
    before = Path("epochs.csv").read_bytes()
    code, _, err = command("export", "epochs", "--where", "nope > 1", "-o", "epochs.csv")
    assert (code, Path("epochs.csv").read_bytes()) == (2, before)
    assert "run_id, epoch" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["r", *(f"epochs.{s}" for s in ("csv", "json", "md", "parquet", "tex"))]
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("table",), "got no NAME, --sql or --params; give one of them, such as: raysurf table runs"),
        (("export", "runs", "--sql", "select 1"), "got a NAME and --sql; give one of them"),
        (
            ("table", "--sql", "select 1", "--where", "a = 1"),
            "--where and --columns are for a NAME; got them with --sql",
        ),
        (("table", "epoch"), "unknown table: got 'epoch'; expected one of runs, trials"),
        (("table", "epochs", "--columns", "ls"), "no column 'ls' in epochs; expected one of run_id, epoch"),
        (("export", "--params", "x"), "unknown sweep: got 'x'; expected one of none yet"),
        (("best", "x"), "unknown sweep: got 'x'; expected one of none yet"),
        (
            ("export", "epochs", "-o", "epochs.xlsx"),
            "got 'epochs.xlsx'; expected a file in .csv, .json, .parquet, .tex",
        ),
        (("export", "epochs", "-o", "nowhere/epochs.csv"), "nowhere/epochs.csv: No such file or directory; expected"),
        (("export", "epochs", "--format", "csv", "-o", "r"), "r: Is a directory; expected a file"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], said: str, command: Command, epochs: Store) -> None:
    """What was got and what there is, with exit code 2."""
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_a_sweep_without_rows_is_an_empty_table(command: Command, epochs: Store) -> None:
    """Headings stand above nothing, in every format."""
    for style in FORMATS:
        if style != "parquet":
            code, out, _ = command("table", "trials", "--where", "sweep = 's'", "--format", style)
            assert code == 0
            assert out.strip() == "[]" if style == "json" else "run" in out
    assert encoded(open_results("r").table("trials"), "parquet").startswith(b"PAR1")


@given(st.lists(st.text(alphabet="ab|\n\\&", max_size=5), min_size=1, max_size=3))
def test_markdown_cells_stay_cells(texts: list[str]) -> None:
    """Whatever stands in a cell, a table has as many lines and unescaped bars as it should."""
    lines = markdown_table([f"c{i}" for i in range(len(texts))], [texts], []).split("\n")
    assert len(lines) == 3
    assert all(len(line.replace(r"\|", "").split("|")) == len(texts) + 2 for line in lines)


def finished(**changes: Any) -> None:
    """A sweep of two finished trials with their runs."""
    filled = FailedStore(Path("r"))
    for trial, lr in enumerate((0.1, 0.2)):
        job = tiny_sgd(lr=lr)
        filled.run(job, trial=trial)
        params = {"lr": lr, "lineage": [{"lr": 0.5}]}
        write(Path("r"), "s", trial, params, run_ids=[job.id], value=1 - lr, **changes)


def test_best_says_what_and_how_to_run_it_again(command: Command, tmp_path: Path) -> None:
    """Value, setting, values by generation, runs, and a file that is the very job."""
    finished(std=0.25, seeds=[0, 1])
    job = tiny_sgd(lr=0.2)
    code, out, err = command("best", "s")
    assert (code, err) == (0, "")
    assert [line.split(maxsplit=1) for line in out.splitlines()] == [
        ["trial", "1"],
        ["validation/nll", "0.8 ± 0.25 over 2 seeds, the min"],
        ["arm", "sgd"],
        ["params", "lr = 0.5 → 0.2"],
        ["runs", job.id],
        ["again", "raysurf best s --job --results r > job.yaml"],
        ["raysurf", "run job.yaml --results r"],
    ]
    Path("job.yaml").write_text(command("best", "s", "--job")[1])
    (sweep,) = load("job.yaml")
    assert sweep.job == job.tree
    (row,) = json.loads(command("best", "s", "--format", "json")[1])
    assert (row["trial"], row["run_ids"], row["job"]) == (1, [job.id], job.tree)


def test_the_best_job_of_several_seeds_has_them_all(command: Command) -> None:
    """One file whose jobs are the trial's runs; whole numbers as one writes them, unless that is another job."""
    filled = FailedStore(Path("r"))
    jobs = [tiny_sgd(lr=1.0, seed=seed) for seed in (3, 4)]
    swas = [rs.SWA(start=job, epochs=2, lr=0.05, cycle_epochs=2.0, seed=job.seed) for job in jobs]
    for swa in swas:
        filled.run(swa, trial=0)
    write(Path("r"), "s", 0, {}, run_ids=[swa.id for swa in swas], value=0.5)
    text = command("best", "s", "--job")[1]
    Path("job.yaml").write_text(text)
    (sweep,) = load("job.yaml")
    assert [job.id for job in sweep.fill({}).jobs] == [swa.id for swa in swas]
    assert (sweep.seeds, "cycle_epochs: 2\n" in text, "2.0" in text) == ((3, 4), True, False)
    model = rs.ModelSpec(name="tests.support.cases:any_options", options={"scale": 2.0})
    own = rs.SGD(model=model, data="digits", epochs=1, lr=1.0)
    row = {"run_id": own.id, "spec": json.dumps(own.tree), "sweep": "s", "trial": 0, "role": "trial", "status": "done"}
    assert "scale: 2.0" in job_file(row, "")


def test_best_of_several_metrics_is_the_front(command: Command) -> None:
    """A line a trial of the Pareto front; one job of it must be chosen."""
    finished(metric="validation/error, validation/nll", mode="min, min", values=(0.5, 0.5))
    code, out, _ = command("best", "s")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["trial", "-----", "0", "1"]
    assert [row["values"] for row in json.loads(command("best", "s", "--format", "json")[1])] == [[0.5, 0.5]] * 2
    code, _, err = command("best", "s", "--job")
    assert code == 2
    assert "2 trials are best; choose one of the runs: raysurf why --job RUN_ID" in err


def test_a_sweep_that_runs_has_its_rows_so_far(command: Command) -> None:
    """Its rows are on stdout, and that it has not ended is said on stderr."""
    finished()
    write(Path("r"), "s", 2, {"lr": 0.3}, state="running", value=None)
    told = "s: 1 trial running, or broken off; these are the rows so far\n"
    for arguments in (("table", "trials"), ("table", "--params", "s"), ("best", "s"), ("export", "--params", "s")):
        code, out, err = command(*arguments)
        assert (code, err) == (0, told)
        assert out
    rows = json.loads(command("table", "--params", "s", "--format", "json")[1])
    assert [(row["trial"], row["state"], row["lr"]) for row in rows] == [
        (0, "done", 0.1),
        (1, "done", 0.2),
        (2, "running", 0.3),
    ]


def test_comparisons_in_latex(command: Command) -> None:
    """A tabular of the comparison, whose title and notes are comments."""
    NoisyStore(Path("r")).run(DROPOUT, schemes(0.981, 0.99, 0.991))
    code, out, _ = command("compare", "schemes", "--format", "latex")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].startswith("% Prediction schemes: test accuracy, %; ours, mean ± std over seeds")
    assert lines[2] == r"\begin{tabular}{lllrrrrrrr}"
    assert lines[6] == r"LeNet-5 & MNIST & dropout & 1 & 98.1 & 99.1 & 99.0 & 99.4 & 99.1 & 99.4 \\"
    after = lines[lines.index(r"\end{tabular}") + 1 :]
    assert after
    assert all(line.startswith("% ") for line in after)


def test_what_print_cuts_a_file_has(command: Command, epochs: Store) -> None:
    """A long cell is cut in a terminal, and whole in a document."""
    long = "x" * 100
    assert long not in encoded(pa.table({"a": [long]}), "table").decode()
    for style in ("csv", "json", "latex", "markdown"):
        assert long in encoded(pa.table({"a": [long]}), style).decode()
