"""Colours of curves and paths: one each, in all pictures of a store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from matplotlib.lines import Line2D

from raysurf.report.draw import KINDS, composed
from raysurf.report.labels import curve_colours
from raysurf.report.pictures.axes import BLUE, GREY, OKABE_ITO, VERMILION
from raysurf.report.pictures.lines import PROFILE, SOLID, colours_and_styles, read_trace
from raysurf.report.pictures.plane import PLANE
from raysurf.report.runs import choose, measured_runs
from raysurf.results.api import Results
from tests.support.measured_rows import OTHER, SGD, along, grid, line, points, run, run_id, store

ENDS = {"start": SGD, "end": OTHER}
CURVES = [run_id("curve", number) for number in range(3)]
BAND, STRAIGHT = run_id("path", 3), run_id("profile", 9)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Three curves and a path, run in the order of their ids; the second curve is on a plane, with the path."""
    begun = {run_id: datetime(2026, 1, 1 + day, tzinfo=UTC) for day, run_id in enumerate([*CURVES, BAND])}
    runs = [run(curve, {"kind": "curve", **ENDS}, started_at=begun[curve]) for curve in CURVES[::-1]]
    runs.append(run(BAND, {"kind": "path", **ENDS}, started_at=begun[BAND], inputs=["sgd-0", "sgd-1"]))
    surface = points(BAND, "path", along(5, 6.0), lambda place: 0.3)
    for number, inputs in enumerate((CURVES[2:], CURVES[1:2])):
        spec = {"kind": "profile", "along": {"kind": "curve", "num_bends": number + 1, **ENDS}}
        runs.append(run(run_id("profile", number), spec, inputs=inputs, arm=f"profile {number}"))
        surface += points(run_id("profile", number), "curve", along(5, 6.0), lambda place: 0.5)
    runs.append(run(STRAIGHT, {"kind": "profile", "along": {"kind": "line", **ENDS}}, inputs=["sgd-0", "sgd-1"]))
    surface += points(STRAIGHT, "line", along(5, 4.0), lambda place: 1.0)
    runs.append(run(run_id("plane")))
    surface += points(run_id("plane"), "plane", grid([0.0, 1.0, 2.0], [0.0, 1.0, 2.0]), lambda place: 0.1 + place["x"])
    marks = line(run_id("plane"), 3, "a curve", "curve", [(0, 0), (1, 1), (2, 0)], source=CURVES[1])
    marks += line(run_id("plane"), 4, "a path", "path", [(0, 0), (1, 0.5), (2, 0)], source=BAND)
    return store(tmp_path_factory.mktemp("store"), runs, surface, marks)


def drawn(results: Results, kind: str) -> dict[str, Any]:
    """Colours of a picture's named lines."""
    picture = composed(results, KINDS[kind], [r for r in measured_runs(results, KINDS[kind].wanted) if r.kind == kind])
    lines: list[Line2D] = KINDS[kind].figure(picture).legends[0].get_lines()
    return {str(line.get_label()): line.get_color() for line in lines}


def test_a_curve_has_one_colour_in_all_pictures(results: Results) -> None:
    """Order of running decides; profiles, paths and planes of either drawer show the same, whatever else they show."""
    colours = curve_colours(results)
    assert colours == dict(zip([*CURVES, BAND], OKABE_ITO, strict=False))
    second, third, band = VERMILION, OKABE_ITO[2], OKABE_ITO[3]
    profiles = drawn(results, "profile")
    assert profiles == {"bezier curve, 1 bend": third, "bezier curve, 2 bends": second, "straight line": GREY}
    assert drawn(results, "path")["minimum-energy path"] == band
    assert drawn(results, "path")["straight line"] == GREY
    assert drawn(results, "plane") == {"a curve": second, "a path": band}
    assert PLANE.plotly is not None and PROFILE.plotly is not None
    picture = composed(results, KINDS["plane"], measured_runs(results, KINDS["plane"].wanted))
    plotted = next(data for data, _ in PLANE.plotly(picture))
    assert [trace["line"]["color"] for trace in plotted if trace.get("mode") == "lines"] == [
        "white",
        second,
        "white",
        band,
    ]
    picture = composed(results, KINDS["profile"], choose(results, KINDS["profile"].wanted, run_ids=["profile-0001"]))
    for data, layout in PROFILE.plotly(picture):
        assert [(trace["name"], trace["line"]["color"]) for trace in data] == [("bezier curve, 2 bends", second)]
        assert layout["xaxis"]["title"]["text"].startswith("t (")


def test_curves_of_one_colour_have_styles() -> None:
    """More curves than colours: those of one colour differ by their lines, which stay in the colours they have."""
    traces = [read_trace([], "", str(number), f"curve-{number}") for number in range(3)]
    looks = [
        (colour, style) for _, colour, style in colours_and_styles(traces, dict.fromkeys(("curve-0", "curve-2"), BLUE))
    ]
    assert looks == [(BLUE, SOLID[0]), (VERMILION, SOLID[0]), (BLUE, SOLID[1])]
