"""``raysurf table``, ``export`` and ``best``, as a user types them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import raysurf as rs
from raysurf.cli.job_text import job_file
from raysurf.cli.output import FORMATS, encoded, markdown_table
from raysurf.results import open as open_results
from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from raysurf.sweep.document import load
from tests.support.cases import tiny_sgd
from tests.support.command import raysurf
from tests.support.failed_runs import FailedStore
from tests.support.stores import epoch
from tests.support.trial_rows import write

EVERY = """select 1 as a, 2 as a, 0.5 as share, 'x|y & 50% of $z_1' as text, ['u', 'v'] as items,
    interval 1 day as span, {'x': 1} as mapping, 'nan'::double as nothing, null as none, true as yes,
    date '2026-01-02' as day from epochs"""


def command(*arguments: str) -> str:
    """What a command prints of the store ``results``, which is all that it says."""
    done = raysurf(*arguments)
    assert (done.code, done.err) == (0, "")
    return done.out


@pytest.fixture
def epochs() -> None:
    """A store of one epoch."""
    write_rows(Store("results"), "epochs", "a", [epoch("a", test_nll=0.123456)])


@pytest.mark.usefixtures("epochs")
def test_every_format_says_the_same() -> None:
    """What SQL may give is written in every format, two columns of one name too; CSV, JSON and Parquet come back."""
    (row,) = json.loads(command("export", "--sql", EVERY, "--format", "json"))
    plain = {"a": 1, "a_1": 2, "share": 0.5, "text": "x|y & 50% of $z_1", "items": ["u", "v"], "mapping": {"x": 1}}
    assert row == {**plain, "span": row["span"], "nothing": None, "none": None, "yes": True, "day": "2026-01-02"}
    (header, line) = csv.reader(io.StringIO(command("export", "--sql", EVERY)))
    assert header[:5] == ["a", "a", "share", "text", "items"]
    assert line[:5] == ["1", "2", "0.5", "x|y & 50% of $z_1", "u;v"]
    printed = command("export", "--sql", EVERY, "--format", "markdown").splitlines()
    assert printed[0].startswith("| a | a_1 | share | text | items |")
    assert printed[1].startswith("| ---: | ---: | ---: | --- | --- |")
    assert printed[2].startswith(r"| 1 | 2 | 0.5 | x\|y & 50% of $z_1 | u, v |")
    printed = command("export", "--sql", EVERY, "--format", "latex").splitlines()
    assert printed[1] == r"\begin{tabular}{rrrllllrlll}"
    assert printed[3].startswith(r"a & a\_1 & share & text & items &")
    assert printed[5].startswith(r"1 & 2 & 0.5 & x\textbar{}y \& 50\% of \$z\_1 & u, v &")
    assert "x|y & 50% of $z_1" in command("table", "--sql", EVERY)


@pytest.mark.usefixtures("epochs")
def test_a_file_is_written_whole() -> None:
    """The suffix says as what; Parquet keeps the written schema; a query that fails leaves the file as it was."""
    names = [f"epochs.{suffix}" for suffix in ("csv", "json", "md", "parquet", "tex")]
    for name in names:
        assert raysurf(f"export epochs --columns 'run_id, test_nll' -o {name}") == (0, "", f"{name}  1 rows\n")
    assert pq.read_table("epochs.parquet").equals(open_results("results").table("epochs", ["run_id", "test_nll"]))
    assert Path("epochs.csv").read_text().splitlines() == ['"run_id","test_nll"', '"a",0.123456']
    assert Path("epochs.md").read_text().endswith("| a | 0.1235 |\n")
    before = Path("epochs.csv").read_bytes()
    done = raysurf("export epochs --where 'nope > 1' -o epochs.csv")
    assert (done.code, Path("epochs.csv").read_bytes()) == (2, before)
    assert "run_id, epoch" in done.err
    assert sorted(path.name for path in Path().iterdir()) == [*names, "results"]


@pytest.mark.usefixtures("epochs")
def test_a_sweep_without_rows_is_an_empty_table() -> None:
    """Headings stand above nothing, in every format."""
    for style in set(FORMATS) - {"parquet"}:
        out = command("table", "trials", "--where", "sweep = 's'", "--format", style)
        assert out.strip() == "[]" if style == "json" else "run" in out
    assert encoded(open_results("results").table("trials"), "parquet").startswith(b"PAR1")


@given(st.lists(st.text(alphabet="ab|\n\\&", max_size=5), min_size=1, max_size=3))
def test_markdown_cells_stay_cells(texts: list[str]) -> None:
    """Whatever stands in a cell, a table has as many lines and unescaped bars as it should."""
    lines = markdown_table([f"c{i}" for i in range(len(texts))], [texts], []).split("\n")
    assert len(lines) == 3
    assert all(len(line.replace(r"\|", "").split("|")) == len(texts) + 2 for line in lines)


def finished(**changes: Any) -> None:
    """A sweep of two finished trials with their runs."""
    filled = FailedStore(Path("results"))
    for trial, lr in enumerate((0.1, 0.2)):
        job = tiny_sgd(lr=lr)
        filled.run(job, trial=trial)
        params = {"lr": lr, "lineage": [{"lr": 0.5}]}
        write(Path("results"), "s", trial, params, run_ids=[job.id], value=1 - lr, **changes)


def test_best_says_what_and_how_to_run_it_again() -> None:
    """Value, setting, values by generation, runs, and a file that is the very job."""
    finished(std=0.25, seeds=[0, 1])
    job = tiny_sgd(lr=0.2)
    assert [line.split(maxsplit=1) for line in command("best s").splitlines()] == [
        ["trial", "1"],
        ["validation/nll", "0.8 ± 0.25 over 2 seeds, the min"],
        ["arm", "sgd"],
        ["params", "lr = 0.5 → 0.2"],
        ["runs", job.id],
        ["again", "raysurf best s --job > job.yaml"],
        ["raysurf", "run job.yaml"],
    ]
    Path("job.yaml").write_text(command("best s --job"))
    (sweep,) = load("job.yaml")
    assert sweep.job == job.tree
    (row,) = json.loads(command("best s --format json"))
    assert (row["trial"], row["run_ids"], row["job"]) == (1, [job.id], job.tree)


def test_the_best_job_of_several_seeds_has_them_all() -> None:
    """One file whose jobs are the trial's runs; whole numbers as one writes them, unless that is another job."""
    filled = FailedStore(Path("results"))
    jobs = [tiny_sgd(lr=1.0, seed=seed) for seed in (3, 4)]
    swas = [rs.SWA(start=job, epochs=2, lr=0.05, cycle_epochs=2.0, seed=job.seed) for job in jobs]
    for swa in swas:
        filled.run(swa, trial=0)
    write(Path("results"), "s", 0, {}, run_ids=[swa.id for swa in swas], value=0.5)
    text = command("best s --job")
    Path("job.yaml").write_text(text)
    (sweep,) = load("job.yaml")
    assert [job.id for job in sweep.fill({}).jobs] == [swa.id for swa in swas]
    assert (sweep.seeds, "cycle_epochs: 2\n" in text, "2.0" in text) == ((3, 4), True, False)
    model = rs.ModelSpec(name="tests.support.cases:any_options", options={"scale": 2.0})
    own = rs.SGD(model=model, data="digits", epochs=1, lr=1.0)
    row = {"run_id": own.id, "spec": json.dumps(own.tree), "sweep": "s", "trial": 0, "role": "trial", "status": "done"}
    assert "scale: 2.0" in job_file(row, "")


def test_best_of_several_metrics_is_the_front() -> None:
    """A line a trial of the Pareto front; one job of it must be chosen."""
    finished(metric="validation/error, validation/nll", mode="min, min", values=(0.5, 0.5))
    assert [line.split()[0] for line in command("best s").splitlines()] == ["trial", "-----", "0", "1"]
    assert [row["values"] for row in json.loads(command("best s --format json"))] == [[0.5, 0.5]] * 2
    done = raysurf("best s --job")
    assert done.code == 2
    assert "2 trials are best; choose one of the runs: raysurf why --job RUN_ID" in done.err


def test_a_sweep_that_runs_has_its_rows_so_far() -> None:
    """Its rows are on stdout, and that it has not ended is said on stderr."""
    finished()
    write(Path("results"), "s", 2, {"lr": 0.3}, state="running", value=None)
    message = "s: 1 trial running or interrupted; these are the rows so far\n"
    for asked in ("table trials", "best s", "export --params s", "table --params s --format json"):
        done = raysurf(asked)
        assert (done.code, done.err) == (0, message)
        assert done.out
    rows = json.loads(done.out)
    assert [(row["trial"], row["state"], row["lr"]) for row in rows] == [
        (0, "done", 0.1),
        (1, "done", 0.2),
        (2, "running", 0.3),
    ]


def test_what_print_cuts_a_file_has() -> None:
    """A long cell is cut in a terminal, and whole in a document."""
    long = "x" * 100
    assert long not in encoded(pa.table({"a": [long]}), "table").decode()
    for style in ("csv", "json", "latex", "markdown"):
        assert long in encoded(pa.table({"a": [long]}), style).decode()
