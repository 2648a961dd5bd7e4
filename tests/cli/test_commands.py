"""The commands, as a user types them."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

import raysurf as rs
from raysurf.cli.main import cli
from raysurf.results import open as open_results
from tests.support.cases import ROOT
from tests.support.command import raysurf, raysurf_process
from tests.support.wandb_records import read_all

TIMES = ("point_s", "started_at", "wall_s", "device_s", "epoch_s")
BASE = "{kind: sgd, model: {name: digits_conv, options: {width: 4}}, data: digits, epochs: EPOCHS, lr: 0.05, seed: 0}"
SMALL = f"""
name: small
job: {{kind: swa, start: {BASE}, epochs: 40, cycle_epochs: !int [1, 3], lr: 0.05}}
search: {{metric: validation/nll, trials: 2, seed: 0, batch: 2}}
"""


def rows(root: Path, *tables: str) -> dict[str, list[dict[str, Any]]]:
    """Rows by plain pyarrow, without what depends on the clock or the command, in one order."""
    found = {}
    for table in tables:
        every = pq.read_table(root / "tables" / table).to_pylist()
        kept = [{k: v for k, v in row.items() if k not in (*TIMES, "command")} for row in every]
        found[table] = sorted(kept, key=repr)
    return found


def test_every_command_has_help_and_stands_in_the_readme() -> None:
    """``raysurf COMMAND --help`` says what it does, and the README names it."""
    readme = (ROOT / "README.md").read_text()
    for name in cli.commands:
        done = raysurf(name, "--help")
        assert done.returncode == 0
        assert "Usage:" in done.stdout
        assert f"raysurf {name}" in readme
    assert set(cli.commands) == {
        *("check", "run", "table", "best", "compare", "export", "plot", "why", "diff"),
        *("submit", "status", "list", "logs", "stop"),
        *("sync", "dashboard"),
        *("compact", "fsck", "rm", "du"),
        *("report", "help"),
    }


def test_check_prints_the_plan_and_changes_nothing(tmp_path: Path) -> None:
    """The plan of the quickstart: inputs, trials, holes, epochs, resources; the store is not made."""
    done = raysurf("check", "sweeps/quickstart.yaml", "--results", str(tmp_path / "r"))
    assert done.returncode == 0, done.stderr
    for said in (
        "quickstart-swa",
        "12 of swa",
        "schedule = constant | cyclic",
        "quickstart-curve",
        "6 of profile",
        "runs on",
    ):
        assert said in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SMALL.replace("EPOCHS", "nine"), "job.start.epochs: got 'nine'; expected a valid integer"),
        (SMALL.replace("EPOCHS", "2").replace("digits_conv", "digit_conv"), "did you mean 'digits_conv'"),
        (SMALL.replace("EPOCHS", "2") + "resources: {workers: 300}\n", "asks for 300 worker(s)"),
    ],
)
def test_mistakes_exit_with_2_and_write_nothing(command: str, text: str, said: str, tmp_path: Path) -> None:
    """A user's mistake is told on stderr, with its place, before anything is started or written."""
    (tmp_path / "bad.yaml").write_text(text)
    done = raysurf(command, "bad.yaml", "--results", "r", cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("check", "nope.yaml"), "nope.yaml: No such file"),
        (("chekc",), "No such command 'chekc'"),
        (("table", "runs", "--results", "nowhere"), "expected a store that a sweep has written"),
        (("table",), "give one of them"),
        (("run", "sweeps/quickstart.yaml", "--results", "README.md"), "which is a file"),
        (("run", "sweeps/quickstart.yaml", "--only", "arm=nope"), "only: got arm=nope; expected what fits some arm"),
        (("run", "sweeps/quickstart.yaml", "--results", "gopher://x"), "a folder, or an address"),
        (("submit", "nope.yaml"), "nope.yaml: No such file"),
        (("list", "--address", "http://u:s3cret@127.0.0.1:9"), "cluster http://***@127.0.0.1:9: got no answer"),
        (("status", "x", "--address", "gopher://x"), "got an address of kind gopher; expected the dashboard"),
    ],
)
def test_bad_arguments_exit_with_2(arguments: tuple[str, ...], said: str) -> None:
    """Files, places and commands that are not there are one line each."""
    done = raysurf(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.ray
@pytest.mark.slow
def test_killed_run_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run killed in mid-training, run again, has the rows of an unbroken one, none twice; then it trains nothing."""
    (tmp_path / "small.yaml").write_text(SMALL.replace("EPOCHS", "60"))
    # Rows name the commit of the folder that they come from.
    monkeypatch.chdir(tmp_path)
    rs.run(rs.load("small.yaml"), "whole", executor="inline")
    command = [sys.executable, "-m", "raysurf.cli.main", "run", "small.yaml", "--results", "broken", "--wandb", "off"]
    with subprocess.Popen(
        command, cwd=tmp_path, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        until = time.monotonic() + 90
        while not list(tmp_path.glob("broken/trajectories/*/*.json")):
            assert time.monotonic() < until, "no checkpoint was written"
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    assert not list(tmp_path.glob("broken/jobs/*/outcome.json")), "it was killed too late to show anything"
    again = raysurf_process("run", "small.yaml", "--results", "broken", "--wandb", "off", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    tables = ("runs", "trials", "epochs", "predictions")
    assert rows(tmp_path / "broken", *tables) == rows(tmp_path / "whole", *tables)
    keys = [(r["run_id"], r["epoch"], r["weights"]) for r in rows(tmp_path / "broken", "epochs")["epochs"]]
    assert len(keys) == len(set(keys)) > 60
    third = raysurf("run", "small.yaml", "--results", "broken", "--wandb", "off", cwd=tmp_path)
    assert third.returncode == 0
    assert "2 of 2 were done already and are reused" in third.stderr
    assert "begins" not in third.stderr


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The quickstart, run once for the tests below."""
    root = tmp_path_factory.mktemp("quickstart") / "results"
    return root, raysurf_process("run", "sweeps/quickstart.yaml", "--results", str(root))


@pytest.mark.ray
@pytest.mark.slow
class TestQuickstart:
    """What a newcomer sees."""

    def test_it_ends_with_results(self, quickstart: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
        """Best trials, the comparison, the picture, the W&B runs and the next command are on stdout; Ray is silent."""
        root, done = quickstart
        assert done.returncode == 0, done.stderr
        for said in (
            "quickstart-swa: 12 done",
            "quickstart-curve: 6 done",
            "quickstart-variance-init: 8 done",
            "best trial",
            "wandb leet",
            "next      raysurf",
        ):
            assert said in done.stdout
        assert re.search(r"^  swa +\d", done.stdout, re.MULTILINE)
        barrier = r"; barrier -?[\d.]+ \(Frankle\), -?[\d.]+ \(Entezari\)$"
        assert re.search(rf"^  train loss: at most [\d.]+, at t = [\d.]+{barrier}", done.stdout, re.MULTILINE)
        assert re.search(r"^  test error: at most [\d.]+, at x = [-\d.]+, y = [-\d.]+$", done.stdout, re.MULTILINE)
        for picture in ("quickstart-curve", "quickstart-plane", "quickstart-variance-init"):
            assert (root / "pictures" / f"{picture}.png").stat().st_size > 20_000
        stray = [line for line in done.stderr.splitlines() if not line.startswith(("quickstart-", "all done"))]
        assert stray == []
        assert "12 done, 0 running, 0 failed of 12" in done.stderr

    def test_a_finished_store_is_read_again_and_again(
        self, quickstart: tuple[Path, subprocess.CompletedProcess[str]]
    ) -> None:
        """Reading commands end with 0 every time, whatever native threads are about (arrow#34314)."""
        root, _ = quickstart
        for _ in range(3):
            done = raysurf_process("check", "sweeps/quickstart.yaml", "--results", str(root))
            assert (done.returncode, done.stderr) == (0, "")

    def test_tables_are_what_the_store_holds(self, quickstart: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
        """The commands, pyarrow and DuckDB give the same rows; every trial's runs are there."""
        root, _ = quickstart
        for name in ("runs", "predictions", "surface", "landmarks", "epochs", "trials"):
            printed = json.loads(raysurf("table", name, "--format", "json", "--results", str(root)).stdout)
            plain = pq.read_table(root / "tables" / name)
            (count,) = duckdb.sql(f"select count(*) from '{root}/tables/{name}/*.parquet'").fetchall()[0]
            assert len(printed) == plain.num_rows == count > 0
            if name == "predictions":
                assert sorted(row["nll"] for row in printed) == sorted(plain["nll"].to_pylist())
        runs = {row["run_id"]: row for row in pq.read_table(root / "tables" / "runs").to_pylist()}
        trials = pq.read_table(root / "tables" / "trials").to_pylist()
        assert {row["sweep"] for row in trials} == {
            f"quickstart-{name}" for name in ("swa", "curve", "plane", "variance-init")
        }
        assert {run_id for row in trials for run_id in row["run_ids"]} <= runs.keys()
        assert {row["status"] for row in runs.values()} == {"done"}
        assert sum(row["kind"] == "sgd" for row in runs.values()) == 3
        surface = pq.read_table(root / "tables" / "surface").to_pylist()
        assert sum(row["geometry"] == "curve" and row["split"] == "test" for row in surface) == 6 * 21

    def test_every_reader_has_the_same_figures(self, quickstart: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
        """Means by split are equal in pyarrow, DuckDB, pandas and polars, of the files and through raysurf."""
        pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
        root, _ = quickstart
        results = open_results(str(root))
        for name, figure in (("predictions", "nll"), ("surface", "loss"), ("predictions", "accuracy")):
            folder = f"{root}/tables/{name}"
            means = pq.read_table(folder).group_by("split").aggregate([(figure, "mean")]).to_pylist()
            expected = pytest.approx({row["split"]: row[f"{figure}_mean"] for row in means}, rel=1e-12)
            query = f"select split, avg({figure}) from {{}} group by 1"
            assert dict(duckdb.sql(query.format(f"'{folder}/*.parquet'")).fetchall()) == expected
            assert dict(zip(*results.sql(query.format(name)).to_pydict().values(), strict=True)) == expected
            for frame in (pandas.read_parquet(folder), results.to_pandas(name)):
                assert frame.groupby("split")[figure].mean().to_dict() == expected
            for frame in (polars.read_parquet(f"{folder}/*.parquet"), results.to_polars(name)):
                assert dict(frame.group_by("split").agg(polars.col(figure).mean()).rows()) == expected

    def test_the_curve_is_below_the_line(self, quickstart: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
        """The straight line has a barrier that the best curve goes round."""
        root, _ = quickstart
        query = (
            "select geometry, max(loss) as worst from surface where split = 'train' group by 1, run_id order by worst"
        )
        done = raysurf("table", "--sql", query, "--format", "json", "--results", str(root))
        worst = {row["geometry"]: row["worst"] for row in reversed(json.loads(done.stdout))}
        assert worst["line"] > 5 * worst["curve"]

    def test_variance_networks_answer_by_their_noise(
        self, quickstart: tuple[Path, subprocess.CompletedProcess[str]]
    ) -> None:
        """The best ensemble of a variance network is far better than its means, which answer one class."""
        root, _ = quickstart
        query = """select scheme, max(accuracy) as best from predictions join runs using (run_id)
            where kind = 'variational' and split = 'test' group by 1"""
        done = raysurf("table", "--sql", query, "--format", "json", "--results", str(root))
        best = {row["scheme"]: row["best"] for row in json.loads(done.stdout)}
        assert best["deterministic"] < 0.15
        assert best["ensemble"] > max(0.85, best["stochastic"])

    def test_other_formats(self, quickstart: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
        """CSV and Parquet on stdout can be read again; a condition and columns are taken."""
        root, _ = quickstart
        arguments = ("table", "runs", "--where", "kind = 'swa'", "--columns", "run_id,inputs", "--results", str(root))
        (header, *lines) = csv.reader(io.StringIO(raysurf(*arguments, "--format", "csv").stdout))
        assert header == ["run_id", "inputs"]
        assert len(lines) == 12
        assert lines[0][1].startswith("sgd-")
        assert "run_id" in raysurf(*arguments).stdout
        assert "one of run_id" in raysurf("table", "runs", "--columns", "nope", "--results", str(root)).stderr

    def test_wandb_runs_are_on_disk(self, quickstart: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
        """One W&B run a trial, grouped by sweep, with arm, group and spec in its config, and its rows as history."""
        root, _ = quickstart
        runs = read_all(root, ended=27)
        trials = pq.read_table(root / "tables" / "trials").to_pylist()
        for row in trials:
            (run_id,) = row["run_ids"]
            run = runs[run_id]
            assert run.run["group"] == row["sweep"]
            assert run.config["arm"] == row["arm"]
            assert run.config["group"].split("-")[0] == run_id.split("-")[0]
            assert run.summary.get("objective") == row["value"]
            assert run.exit_code == 0
            if run_id.startswith("plane"):
                # Points of a plane lie on no axis: they are a table, a row a point and split, and a picture.
                assert int(run.summary["surface.nrows"]) == 3 * 11 * 11
                assert run.summary["picture/plane._type"] == "image-file"
                continue
            steps = [step["epoch"] for step in run.history if "epoch" in step]
            length = {"swa": 8, "variational": 12}.get(run_id.partition("-")[0], 15)
            # What is measured of an epoch's average may come after its other figures, as a step of its own.
            assert steps == sorted(steps)
            assert sorted(set(steps)) == list(range(1, length + 1))
            if run_id.startswith("profile"):
                assert sum("curve/train_loss" in step for step in run.history) == 21

    def test_again_trains_nothing(self, quickstart: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
        """A second run reuses everything, and says so; the rows are untouched."""
        root, _ = quickstart
        before = rows(root, "runs", "epochs", "trials")
        done = raysurf("run", "sweeps/quickstart.yaml", "--results", str(root))
        assert done.returncode == 0
        assert "12 of 12 were done already and are reused" in done.stderr
        assert "begins" not in done.stderr
        assert rows(root, "runs", "epochs", "trials") == before
