"""What a notebook shows of results."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import raysurf as rs
from raysurf.cluster.events import Finished
from raysurf.cluster.ray_cluster import prepare
from raysurf.results import open
from raysurf.results.notebook import arrow_html, html_table, sweep_html
from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from tests.support.cases import tiny_sgd
from tests.support.failed_runs import USERS, FailedStore
from tests.support.trial_rows import mixed, write

prepare()
EVIL = "<script>alert('x')</script>&\"'"


class Cells(HTMLParser):
    """Rows of the tables of a piece of HTML, and its tags; a tag that is not closed is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.titles: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self._open.append(tag)
        self.titles += [value for name, value in attrs if name == "title"]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data


def test_a_store_shows_its_tables_and_sweeps(tmp_path: Path) -> None:
    """Rows by table, and trials by sweep and state."""
    cells = Cells(mixed(tmp_path)._repr_html_())
    assert cells.rows == [
        ["table", "rows"],
        ["trials", "5"],
        ["sweep", "trials"],
        ["mixed", "2 done, 1 failed, 1 running"],
        ["other", "1 done"],
    ]


def test_a_sweep_shows_the_best_first(tmp_path: Path) -> None:
    """The best few trials with their values; of several metrics the front; of one that has not ended its states."""
    for trial in range(8):
        write(tmp_path, "s", trial, {"lr": trial / 4}, value=float("nan") if trial == 3 else 1 - trial / 16)
    write(tmp_path, "up", 0, {}, value=0.25, mode="max")
    write(tmp_path, "up", 1, {}, value=0.5, mode="max")
    two = {"metric": "validation/error, validation/nll", "mode": "min, min", "value": None}
    for trial, values in enumerate([(0.5, 0.5), (0.75, 0.75), (0.25, 0.75)]):
        write(tmp_path, "two", trial, {}, values=values, **two)
    write(tmp_path, "begun", 0, {}, value=None, state="running")
    results = open(str(tmp_path))
    html = sweep_html(results, "s")
    assert "the best 5 of 8" in html
    assert Cells(html).rows[:2] == [["trial", "validation/nll", "arm", "lr"], ["7", "0.5625", "sgd", "1.75"]]
    assert [row[0] for row in Cells(html).rows[1:]] == ["7", "6", "5", "4", "2"]
    assert [row[0] for row in Cells(sweep_html(results, "up")).rows] == ["trial", "1", "0"]
    assert [row[:3] for row in Cells(sweep_html(results, "two")).rows[1:]] == [
        ["2", "0.25", "0.75"],
        ["0", "0.5", "0.5"],
    ]
    assert "1 running" in sweep_html(results, "begun")


def test_nothing_of_a_store_is_markup(tmp_path: Path) -> None:
    """Names, values, errors and addresses are text, whatever they hold."""
    filled = FailedStore(tmp_path / "<b>r")
    filled.run(tiny_sgd(), error=USERS.replace("shape is invalid", EVIL), trial=0)
    write(tmp_path / "<b>r", EVIL, 0, {EVIL: EVIL}, arm=EVIL, metric=EVIL, run_ids=["x"])
    write(tmp_path / "<b>r", "s", 0, {}, state="failed", value=None, run_ids=[tiny_sgd().id], arm=EVIL)
    results = filled.open()
    sweeps = (EVIL, "s")
    shown = [
        results._repr_html_(),
        *(sweep_html(results, sweep) for sweep in sweeps),
        Finished(1, 1, (EVIL,), results.store.uri, sweeps)._repr_html_(),
        Finished(1, 1, (EVIL,), EVIL, sweeps)._repr_html_(),
        arrow_html(pa.table({EVIL: [EVIL * 9]})),
    ]
    for html in shown:
        assert Cells(html).tags <= {"b", "p", "table", "tr", "th", "td", "small", "code"}
    assert any(EVIL in cell for row in Cells(shown[1]).rows for cell in row)
    assert ["1", f"RuntimeError {EVIL}"] in Cells(shown[2]).rows


def test_arrow_tables_show_their_first_rows(tmp_path: Path) -> None:
    """Twenty rows, how many there are, and what columns mean."""
    write_rows(
        Store(str(tmp_path)),
        "epochs",
        "a",
        [{"run_id": "a", "epoch": i, "weights": "iterate", "lr": 0.12345, "epoch_s": 1.0} for i in range(30)],
    )
    html = arrow_html(open(str(tmp_path)).table("epochs", ["epoch", "lr", "epoch_s"]))
    cells = Cells(html)
    assert cells.rows[:2] == [["epoch", "lr", "epoch_s"], ["0", "0.1235", "1"]]
    assert len(cells.rows) == 21
    assert "30 rows, the first 20 shown" in html
    assert "time of the epoch's training [s]" in cells.titles
    assert Cells(arrow_html(pa.table({"a": [1, 2], "b": [["x", "y"], None]}))).rows == [
        ["a", "b"],
        ["1", "x, y"],
        ["2", ""],
    ]
    assert Cells(html_table(["a"], [["x" * 80]])).titles == ["x" * 80]


def test_what_run_returns_shows_itself(tmp_path: Path) -> None:
    """A job's metrics, as the tables have them, and the tables themselves; a store that is gone is told."""
    done = rs.run(tiny_sgd(), results=str(tmp_path / "r"))
    (predicted,) = done.tables.table("predictions", ["nll"], "split = 'test'")["nll"].to_pylist()
    header, row = Cells(done._repr_html_()).rows
    assert row[header.index("test/nll")] == f"{predicted:.4g}"
    assert done._repr_html_().startswith("<p>1 done; ")
    (tmp_path / "r").rename(tmp_path / "elsewhere")
    assert "no tables; expected a store" in done._repr_html_()


def test_a_notebook_shows_arrow_tables(tmp_path: Path) -> None:
    """In IPython, tables are HTML once a store is open, unless somebody else has a formatter for them."""
    pytest.importorskip("IPython")
    mixed(tmp_path)
    code = f"""
from IPython.core.interactiveshell import InteractiveShell
import pyarrow as pa
shell = InteractiveShell.instance()
def shown():
    return shell.display_formatter.format(pa.table({{"a": [1]}}))[0].get("text/html", "nothing")
print(shown())
import raysurf.results
raysurf.results.open({str(tmp_path)!r})
print(shown())
shell.display_formatter.formatters["text/html"].for_type(pa.Table, lambda table: "theirs")
raysurf.results.open({str(tmp_path)!r})
print(shown())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, ours, theirs = done.stdout.splitlines()
    assert (before, theirs) == ("nothing", "theirs")
    assert Cells(ours).rows == [["a"], ["1"]]
