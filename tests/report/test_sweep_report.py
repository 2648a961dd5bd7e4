"""The report of sweeps as a page: its sections come from rows, and it needs nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from raysurf.errors import SpecError, StoreError, UnknownNameError
from raysurf.report.sections.tables import best_trials, comparisons
from raysurf.report.sweep_report import report_page, write_report
from raysurf.report.sweep_rows import sweep_rows
from raysurf.results.api import Results
from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from tests.support.large_sweep import SWEEP, large_sweep
from tests.support.measured_rows import Row, along, points, run, run_id, store, trial
from tests.support.noisy_runs import VARIANCE, NoisyStore, schemes
from tests.support.page import Page

JOB: Row = {"kind": "sgd", "epochs": 5}
EVIL = "</script><script>alert(1)</script><b>$\\frac{$\x07'\"漢"


@pytest.fixture(scope="module")
def text(pages: Path) -> str:
    return (pages / "plain.html").read_text()


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Less of the same, whose page is soon made."""
    return large_sweep(tmp_path_factory.mktemp("few"), trials=6, epochs=3)


def titles(text: str) -> list[str]:
    return re.findall(r"<section[^>]*><h2>(.*?)</h2>", text)


def test_sections_are_those_that_there_are_rows_for(text: str) -> None:
    """A search with predictions and planes has these sections, in this order, each with its place in the contents."""
    expected = ["Summary", "Best trials", "Search history", "Importance", "Parallel coordinates"]
    expected += ["Learning curves", "Planes", "Prediction schemes against K", "Calibration", "Trials"]
    expected += ["What failed", "Provenance"]
    assert titles(text) == expected
    assert re.findall(r'<a href="#([^"]+)">', text) == re.findall(r'<section id="([^"]+)">', text)


def test_page_needs_nothing_else(text: str) -> None:
    """It loads nothing, has no address of anything outside, and a policy under which only its own scripts run."""
    page = Page(text)
    page.require_alone()
    assert re.search(r"default-src 'none'; .*script-src 'sha256-[^']+'\"", text)
    assert page.tags.count("script") == 1


def test_what_the_page_says(large: Results, text: str) -> None:
    """Counts, best value, failure, commit and cost are those of the rows."""
    said = Page(text).text
    best = large.best(SWEEP)
    assert f"trial {best['trial']}" in said and f"{best['value']:.4g}" in said
    for expected in (
        "29 done, 1 failed",
        "1 of 32 runs failed",
        "DivergedError",
        "0123abcd" * 5,
        "fANOVA over 29 trials",
    ):
        assert expected in said
    assert "Not finished" not in said


def test_every_trial_is_a_line_that_tells_its_values(large: Results, text: str) -> None:
    """The table has a line a trial, whose tip holds its searched values; the history marks each once."""
    assert len(re.findall(r'<tr class="trial [a-z]+"', text)) == 30
    for row in large.table("trials").to_pylist():
        tip = re.search(f'<tr class="trial [a-z]+" data-trial="{row["trial"]}" title="([^"]*)"', text)
        assert tip is not None
        assert f"lr = {json.loads(row['params'])['lr']:.4g}" in tip[1]
    # Once in the history, and once in parallel coordinates, where the failed one has no line.
    before, _, _ = text.partition("<h2>Learning curves</h2>")
    assert len(re.findall(r'<g class="trial" data-trial="24"><title>', before)) == 1
    assert len(re.findall(r'<g class="trial" data-trial="3"><title>', before)) == 2


def test_the_same_rows_give_the_same_page(few: Results, text: str) -> None:
    """But for the time at which it was made; 200 trials, each of which adds as much, are under 1.5 MB."""
    made = re.compile(r"Made by raysurf on .*? UTC")
    one, other = (report_page(few, [SWEEP]) for _ in range(2))
    assert made.sub("", one) == made.sub("", other)
    large, small = (len(page.encode()) for page in (text, one))
    assert small < large < large + (large - small) / (30 - 6) * (200 - 30) < 1.5e6


def test_letters_are_defined_once(text: str) -> None:
    """What an outline is called is unique in the page, and every one that is used is there."""
    defined = re.findall(r'<path id="([A-Za-z]+-[0-9a-f]+)"', text)
    assert len(defined) == len(set(defined))
    assert set(re.findall(r'xlink:href="#([A-Za-z]+-[0-9a-f]+)"', text)) == set(defined)


def test_text_from_the_store_is_text(tmp_path: Path) -> None:
    """Names, values, errors and labels full of markup, formulae and odd letters are shown as they are."""
    spec = {"kind": "profile", "along": {"kind": "curve", "shape": EVIL}}
    name, trials, runs, surface = EVIL[:5] + "sweep", [], [], []
    for number in range(4):
        given = run_id("profile", number)
        params = json.dumps({EVIL: number * 0.1, "b": [EVIL, "x"][number % 2]})
        of = {
            "sweep": name,
            "arm": EVIL,
            "params": params,
            "model": EVIL,
            "data": EVIL,
            "command": EVIL,
            "device": EVIL,
        }
        of |= {"status": "failed", "error": EVIL} if number == 3 else {}
        runs.append(run(given, spec, **of, versions=json.dumps({EVIL: EVIL}), group=f"g{number}", started_at=None))
        surface += points(given, "curve", along(5, 3.0), lambda place: 1.0)
        row = trial(name, [given]) | {"trial": number, "arm": EVIL, "params": params, "value": 0.1 * number}
        trials.append(row | {"state": "failed" if number == 3 else "done", "metric": EVIL, "error": EVIL})
    results = store(tmp_path / "results", runs, surface, trials=trials)
    for is_interactive in (False, True):
        text = report_page(results, [name], is_interactive=is_interactive)
        assert Page(text).tags.count("script") == (4 if is_interactive else 1)
        assert "<b>$" not in text
        assert "alert(1)</script>" not in text
        assert "alert(1)" in Page(text).text


def test_running_sweep(tmp_path: Path) -> None:
    """A sweep with trials that run shows its rows so far, and says so."""
    done = trial("s", [run_id("sgd")]) | {"state": "done", "value": 0.25}
    runs = [run(run_id("sgd"), JOB, sweep="s")]
    results = store(tmp_path / "a", runs, trials=[done, trial("s", [run_id("sgd", 1)]) | {"trial": 1}])
    text = Page(report_page(results, ["s"])).text
    assert "Not finished: 1 trial was running, or broken off" in text
    assert "1 done, 1 running" in text


def test_empty_sweep(tmp_path: Path) -> None:
    """A sweep of which only an input has run has no trial, and says so."""
    results = store(tmp_path / "a", [run(run_id("sgd"), JOB, sweep="s", role="input")])
    text = report_page(results, ["s"])
    assert "No trial of this sweep has a row yet." in text
    assert titles(text)[0] == "Summary" and "Trials" not in titles(text)


def test_sweeps_of_a_page(tmp_path: Path) -> None:
    """Several sweeps have a part each, under their names; one that is named twice is shown once."""
    runs = [run(run_id("sgd"), JOB, sweep="a", trial=None)]
    results = store(tmp_path / "r", runs, trials=[trial("a", [run_id("sgd")]), trial("b", [run_id("sgd")])])
    assert re.findall(r"<article><h2>(.*?)</h2>", report_page(results, ["b", "a", "b"])) == ["b", "a"]


def test_mistakes(tmp_path: Path) -> None:
    """An unknown sweep is told with those that there are, another suffix with the right one; nothing is written."""
    results, place = store(tmp_path / "r", [run(run_id("sgd"), JOB, sweep="large")]), tmp_path / "pages"
    place.mkdir()
    with pytest.raises(
        UnknownNameError, match=r"unknown sweep: got 'larg'; expected one of large \(did you mean 'large'"
    ):
        write_report(results, ["larg"], str(place / "a.html"))
    with pytest.raises(SpecError, match=r"expected a name that ends in \.html"):
        write_report(results, ["large"], str(place / "a.pdf"))
    assert not list(place.iterdir())
    (place / "a.html").mkdir()
    with pytest.raises(StoreError, match="expected a place where a picture can be written"):
        write_report(results, ["large"], str(place / "a.html"))


def test_interactive_page_has_the_library_once(pages: Path) -> None:
    """Plotly is inlined once, under 8 MB in all, and every figure of its data has its place in the page."""
    text = (pages / "interactive.html").read_text()
    assert 4e6 < len(text.encode()) < 8e6
    data = re.search(r'<script type="application/json" id="figures">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    plots = json.loads(data[1])
    assert [figure["id"] for figure in plots] == re.findall(r'<div id="(plotly\d+)"', text)
    assert {trace["type"] for figure in plots for trace in figure["data"]} == {"scatter", "contour"}


def test_published_figures_are_those_of_the_network_and_data(tmp_path: Path) -> None:
    """A network or data of which nothing is published has no line there, and alone no section."""
    noisy = NoisyStore(tmp_path / "results")
    noisy.run(VARIANCE, schemes(0.951, 0.1, 0.99), sweep="talk")
    for sweep in ("talk", "own"):
        noisy.run(VARIANCE, schemes(0.753, 0.1, 0.99), sweep=sweep, model="digits_conv", data="digits", seed=3)
    results = noisy.open()
    assert "Beside published figures" in titles(report_page(results, ["talk"]))
    html = comparisons(results, ["talk"])
    assert "LeNet-5" in html and "95.1" in html and "95.9" in html
    assert "digits" not in html and "75.3" not in html
    assert comparisons(results, ["own"]) == ""
    assert "digits_conv" in noisy.open().compare("schemes", ["own"])["model"].to_pylist()


def test_baselines_stand_among_the_best_trials(tmp_path: Path) -> None:
    """A finished baseline has a line of the table, the mean of its seeds, in its place and called what it is."""
    runs, trials = [], []
    for number, nll in enumerate((0.5, 0.2)):
        runs.append(run(run_id("sgd", number), JOB, sweep="s", metrics=json.dumps({"validation/nll": nll})))
        row = trial("s", [run_id("sgd", number)]) | {"trial": number, "state": "done", "value": nll}
        trials.append(row | {"metric": "validation/nll", "params": json.dumps({"lr": number + 0.5})})
    for seed, (nll, status) in enumerate([(0.3, "done"), (0.4, "done"), (0.1, "failed")]):
        base = run(run_id("sgd", 7 + seed), JOB, sweep="s", role="baseline", arm="sgd plain", group="b", status=status)
        runs.append(base | {"metrics": json.dumps({"validation/nll": nll}), "seed": seed})
    text = best_trials(sweep_rows(store(tmp_path / "a", runs, trials=trials), "s"))
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", line) for line in re.findall(r"<tr>(.*?)</tr>", text)[1:]]
    assert [line[:4] for line in cells] == [
        ["1", "0.2", "", "lr = 1.5"],
        ["baseline", "0.35", "0.070711", "sgd plain"],
        ["0", "0.5", "", "lr = 0.5"],
    ]
    assert "The best 2 of 2 finished trials" in text and "Beside them the baseline." in text


def test_rows_are_of_one_moment(tmp_path: Path) -> None:
    """A snapshot does not see what is written after it was asked."""
    from raysurf.results.snapshot import Snapshot

    large_sweep(tmp_path / "results", trials=2, epochs=1, nodes=2)
    snapshot = Snapshot(Store(str(tmp_path / "results")))
    before: list[Row] = snapshot.table("trials").to_pylist()
    write_rows(snapshot.store, "trials", "later", [trial("later", [])])
    assert snapshot.table("trials").to_pylist() == before
    assert snapshot.sql("select count(*) as n from trials").to_pylist() == [{"n": 2}]
