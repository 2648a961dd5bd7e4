"""Rows that are not as raysurf writes them: what can be drawn is, the rest is named."""

from __future__ import annotations

import math
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

import raysurf as rs
from raysurf.cli import main
from raysurf.cli.job_text import job_file
from raysurf.errors import StoreError
from raysurf.results.runs import one_run, run_difference
from raysurf.store.filesystem import results_option
from raysurf.store.store import Store
from raysurf.tracking.run_contents import offline_notice
from tests.support.measured_rows import OTHER, SGD, SWA, along, grid, line, points, run, run_id, store, trial, weights

PLANE, PROFILE, FIRST = run_id("plane"), run_id("profile"), run_id("sgd")
SIDES = [0.0, 0.5, 1.0]
DEEP = '{"start":' * 3000 + "{}" + "}" * 3000
SCHEDULE = {"epochs": 3, "weight_decay": 1e-4}


def rows() -> dict[str, list[dict[str, Any]]]:
    """A sweep with a plane and a profile of its runs."""
    plane = points(PLANE, "plane", grid(SIDES, SIDES), lambda at: 1 + at["x"] + at["y"])
    return {
        "runs": [
            run(FIRST, SGD | SCHEDULE),
            run(PLANE, {"kind": "plane", "weights": [SGD, OTHER, SWA]}, inputs=[FIRST]),
            run(PROFILE, {"kind": "profile", "along": {"kind": "line", "start": SGD, "end": OTHER}}, inputs=[FIRST]),
        ],
        "surface": [*plane, *points(PROFILE, "line", along(5, 1.0), lambda at: 1 + at["t"])],
        "landmarks": [
            *(weights(PLANE, i, name, *at) for i, (name, at) in enumerate({"a": (0, 0), "b": (1, 0)}.items())),
            *line(PLANE, 2, "curve", "curve", [(0, 0), (0.5, 0.5)]),
        ],
        "trials": [{**trial("study", [FIRST, PLANE, PROFILE]), "state": "done", "value": 0.5}],
    }


# The pictures that are drawn from a column, beside those of the report.
PICTURES = {"x": ["plane"], "y": ["plane"], "t": ["profile"], "distance": ["profile"], "loss": ["plane", "profile"]}
PICTURES |= {"error": ["profile"], "geometry": ["plane"], "spec": ["schedule"]}
ALTERED = [
    ("surface", "x", math.inf),
    ("surface", "y", math.nan),
    ("surface", "t", -math.inf),
    ("surface", "distance", math.nan),
    ("surface", "loss", math.inf),
    ("surface", "error", -1e308),
    ("landmarks", "x", math.inf),
    ("landmarks", "geometry", "knot"),
    ("trials", "value", 1e308),
    ("runs", "spec", "{}"),
    ("runs", "spec", '{"kind": [], "model": 5}'),
    ("runs", "spec", '{"kind": "plane", "weights": 5, "along": 5, "start": 5}'),
    ("runs", "spec", DEEP),
]
# These are put into one row alone, without which there is a picture.
FEW = (math.inf, -math.inf)


@pytest.mark.parametrize(("table", "column", "value"), ALTERED, ids=lambda value: str(value)[:20])
def test_altered_rows_are_drawn_or_named(
    table: str,
    column: str,
    value: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`report` writes its page, without what cannot be made; other commands do what they can or say what is wrong."""
    tables = rows()
    for row in tables[table][: 1 if value in FEW else None]:
        row[column] = value
    root = store(tmp_path / "r", **tables).store.uri
    pictures = [("plot", kind, "-o", str(tmp_path / "x.svg")) for kind in PICTURES.get(column, [])]
    others = [("du",), ("compare", "budgets")] if table == "runs" else []
    for command in (("report", "study", "-o", str(tmp_path / "x.html")), *pictures, *others):
        monkeypatch.setattr(sys, "argv", ["raysurf", *command, "--results", root])
        code, said = main._run(), capsys.readouterr().err
        assert "Traceback" not in said
        assert code in ((0,) if command[0] in ("report", "du") and value is not DEEP else (0, 2)), said
    if value in FEW:
        assert "<svg" in (tmp_path / "x.html").read_text()


@pytest.mark.parametrize("spec", ["{", "[1]", "null"])
def test_a_spec_that_is_none_is_named(spec: str, tmp_path: Path) -> None:
    """Readers of one run's job say which run it is."""
    tables = rows()
    tables["runs"][0]["spec"] = spec
    results = store(tmp_path, **tables)
    for read in (lambda: run_difference(results, FIRST, PLANE), lambda: job_file(one_run(results, FIRST), "")):
        with pytest.raises(StoreError, match=FIRST):
            read()


@pytest.mark.parametrize("query", ["", " ", ";", "-- c", "/* c */", "select \udcff"])
def test_a_text_that_is_no_query_is_one_error(query: str, tmp_path: Path) -> None:
    """What DuckDB gives no answer to, and bytes that are no text, are named."""
    results = store(tmp_path, **rows())
    with pytest.raises(StoreError, match=r"is no query|bytes that are no text"):
        results.sql(query)


@pytest.mark.parametrize("address", ["", " ", "\udcff/r", "s3://\udcff/r", "~nobody-of-this-name/r"])
def test_addresses_that_are_none(address: str) -> None:
    """Nothing is no address, and never the working folder; nor are bytes that are no text, or an unknown home."""
    for opened in (Store, rs.results.open):
        with pytest.raises(StoreError, match=r"no address|no text|home that is not known"):
            opened(address)


def test_homes_and_paths_are_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ~ is the home of the user, and a Path is taken as its text is, for reading and for running."""
    monkeypatch.setenv("HOME", str(tmp_path))
    store(tmp_path / "r", **rows())
    assert rs.results.open("~/r").store.root == str(tmp_path / "r") == Store("~/r").uri
    assert rs.results.open(tmp_path / "r").table("runs").num_rows == 3
    assert Store("~").root == str(tmp_path)


def test_printed_commands_are_for_the_shell(tmp_path: Path) -> None:
    """An address with a space is one word of every command that is told."""
    assert shlex.split("raysurf why" + results_option("my results/it's")) == [
        "raysurf",
        "why",
        "--results",
        "my results/it's",
    ]
    assert results_option("results") == ""
    notice = offline_notice(tmp_path / "my results")
    assert f"wandb leet '{tmp_path}/my results/wandb'" in notice
    assert notice.endswith(f"raysurf sync --results '{tmp_path}/my results')")
