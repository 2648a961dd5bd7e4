"""The commands, as a user types them."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

import raysurf as rs
from tests.support.command import QUICKSTART, Done, raysurf, raysurf_process
from tests.support.processes import forked, until
from tests.support.stored_rows import check_undisturbed, stored_rows
from tests.support.wandb_records import read_all

BASE = "{kind: sgd, model: {name: digits_conv, options: {width: 4}}, data: digits, epochs: EPOCHS, lr: 0.05, seed: 0}"
SMALL = f"""
name: small
job: {{kind: swa, start: {BASE}, epochs: 4, cycle_epochs: !int [1, 3], lr: 0.05}}
search: {{metric: validation/nll, trials: 2, seed: 0, batch: 2}}
"""


def test_check_prints_the_plan_and_changes_nothing(tmp_path: Path) -> None:
    """The plan of the quickstart: inputs, trials, holes, epochs, resources; the store is not made."""
    done = raysurf(f"check {QUICKSTART} --results {tmp_path}/r")
    assert done.code == 0, done.err
    parts = "quickstart-swa", "12 of swa", "schedule = constant | cyclic", "quickstart-curve", "6 of profile", "runs on"
    assert [part for part in parts if part not in done.out] == []
    assert not list(tmp_path.iterdir())


def test_a_plan_that_cannot_run_here_is_told(tmp_path: Path) -> None:
    """It is printed all the same, and the exit code is that of a mistake."""
    (tmp_path / "small.yaml").write_text(SMALL.replace("EPOCHS", "2") + "resources: {workers: 300}\n")
    done = raysurf(f"check {tmp_path}/small.yaml")
    assert done.code == 2
    assert "CANNOT RUN on this machine" in done.out
    assert "asks for 300 worker(s)" in done.err


def train(file: str, uri: str) -> None:
    rs.run(rs.load(file), uri, executor="inline")


def test_killed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """A run killed in mid-training, run again, has the rows of an unbroken one, none twice; then it trains nothing."""
    (tmp_path / "small.yaml").write_text(SMALL.replace("EPOCHS", "60"))
    train("small.yaml", "whole")
    child = forked(train, str(tmp_path / "small.yaml"), str(tmp_path / "broken"))
    until(lambda: list(tmp_path.glob("broken/trajectories/*/*.json")))
    child.kill()
    child.join()
    assert not list(tmp_path.glob("broken/jobs/*/outcome.json")), "it was killed too late to show anything"
    train("small.yaml", "broken")
    check_undisturbed("broken", "whole")
    check_nothing_is_run(raysurf("run small.yaml --results broken --wandb off"), 2)


def check_nothing_is_run(done: Done, trials: int) -> None:
    """A command says that it reuses so many trials, and begins none."""
    assert done.code == 0, done.err
    assert f"{trials} of {trials} were done already and are reused" in done.err
    assert "begins" not in done.err


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """The quickstart, run once for the tests below."""
    root = tmp_path_factory.mktemp("quickstart") / "results"
    return root, raysurf_process(f"run sweeps/quickstart.yaml --results {root}")


@pytest.fixture
def root(ended: tuple[Path, Done]) -> Path:
    """Its results."""
    return ended[0]


@pytest.mark.ray
@pytest.mark.slow
class TestQuickstart:
    """What a newcomer sees."""

    def test_it_ends_with_results(self, ended: tuple[Path, Done]) -> None:
        """Best trials, the comparison, the picture, the W&B runs and the next command are on stdout; Ray is silent."""
        root, done = ended
        assert done.code == 0, done.err
        trials = "quickstart-swa: 12 done", "quickstart-curve: 6 done", "quickstart-variance-init: 8 done"
        parts = *trials, "best trial", "wandb leet", "next      raysurf"
        assert [part for part in parts if part not in done.out] == []
        barrier = r"; barrier -?[\d.]+ \(Frankle\), -?[\d.]+ \(Entezari\)$"
        for line in (
            r"^  swa +\d",
            rf"^  train loss: at most [\d.]+, at t = [\d.]+{barrier}",
            r"^  test error: at most [\d.]+, at x = [-\d.]+, y = [-\d.]+$",
        ):
            assert re.search(line, done.out, re.MULTILINE), line
        for picture in ("quickstart-curve", "quickstart-plane", "quickstart-variance-init"):
            assert (root / "pictures" / f"{picture}.png").stat().st_size > 20_000
        assert [line for line in done.err.splitlines() if not line.startswith(("quickstart-", "all done"))] == []
        assert "12 done, 0 running, 0 failed of 12" in done.err

    def test_a_finished_store_is_read_again(self, root: Path) -> None:
        """A reading command ends with 0, whatever native threads are about (arrow#34314), and says that all is done."""
        done = raysurf_process(f"check sweeps/quickstart.yaml --results {root}")
        assert (done.code, done.err) == (0, "")

    def test_tables_are_what_the_store_holds(self, root: Path) -> None:
        """The commands, pyarrow and DuckDB give the same rows; every trial's runs are there."""
        for name in ("runs", "predictions", "surface", "landmarks", "epochs", "trials"):
            printed = json.loads(raysurf(f"table {name} --format json --results {root}").out)
            plain = pq.read_table(root / "tables" / name)
            (count,) = duckdb.sql(f"select count(*) from '{root}/tables/{name}/*.parquet'").fetchall()[0]
            assert len(printed) == plain.num_rows == count > 0
        runs = {row["run_id"]: row for row in pq.read_table(root / "tables" / "runs").to_pylist()}
        trials = pq.read_table(root / "tables" / "trials").to_pylist()
        names = {f"quickstart-{name}" for name in ("swa", "curve", "plane", "variance-init")}
        assert {row["sweep"] for row in trials} == names
        assert {run_id for row in trials for run_id in row["run_ids"]} <= runs.keys()
        assert {row["status"] for row in runs.values()} == {"done"}
        assert sum(row["kind"] == "sgd" for row in runs.values()) == 3
        surface = pq.read_table(root / "tables" / "surface").to_pylist()
        assert sum(row["geometry"] == "curve" and row["split"] == "test" for row in surface) == 6 * 21

    def test_what_the_talk_says_is_seen(self, root: Path) -> None:
        """The best curve goes round the line's barrier; a variance network answers by its noise, not by its means."""

        def asked(query: str) -> dict[str, float]:
            rows = json.loads(raysurf("table", "--sql", query, "--format", "json", "--results", str(root)).out)
            return {row["name"]: row["value"] for row in rows}

        worst = asked("""select geometry as name, min(worst) as value from (select geometry, max(loss) as worst
            from surface where split = 'train' group by geometry, run_id) group by 1""")
        assert worst["line"] > 5 * worst["curve"]
        best = asked("""select scheme as name, max(accuracy) as value from predictions join runs using (run_id)
            where kind = 'variational' and split = 'test' group by 1""")
        assert best["deterministic"] < 0.15
        assert best["ensemble"] > max(0.85, best["stochastic"])

    def test_columns_and_conditions(self, root: Path) -> None:
        """Both are taken; lists stand in one cell of CSV."""
        asked = f"table runs --where \"kind = 'swa'\" --columns run_id,inputs --results {root}"
        (header, *lines) = csv.reader(io.StringIO(raysurf(f"{asked} --format csv").out))
        assert header == ["run_id", "inputs"]
        assert len(lines) == 12
        assert lines[0][1].startswith("sgd-")
        assert "run_id" in raysurf(asked).out

    def test_wandb_runs_are_on_disk(self, root: Path) -> None:
        """One W&B run a trial, grouped by sweep, with arm, group and spec in its config, and its rows as history."""
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
            # What is measured of an epoch's average may come after its other metrics, as a step of its own.
            assert steps == sorted(steps)
            assert sorted(set(steps)) == list(range(1, length + 1))
            if run_id.startswith("profile"):
                assert sum("curve/train_loss" in step for step in run.history) == 21

    def test_again_trains_nothing(self, root: Path) -> None:
        """A second run reuses everything, and says so; the rows are untouched."""
        before = stored_rows(str(root))
        check_nothing_is_run(raysurf(f"run {QUICKSTART} --results {root}"), 12)
        assert stored_rows(str(root)) == before
