"""Lines through weight space, from rows in any order."""

from __future__ import annotations

import numpy as np

from raysurf.report.pictures.trace import read_trace
from tests.support.measured_rows import along, points


def test_points_are_in_order_and_failures_are_gaps() -> None:
    """Rows in any order give arrays by t, of the asked run alone, NaN where there is no figure."""
    rows = points("a", "curve", along(5, 8.0), lambda place: None if place["t"] == 0.5 else place["t"])
    trace = read_trace([*reversed(rows), *points("b", "curve", along(3, 1.0), lambda place: 9.0)], "a", "curve")
    np.testing.assert_array_equal(trace.t, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_array_equal(trace.loss, [0, 0.25, np.nan, 0.75, 1])
    np.testing.assert_allclose(trace.arc, [0, 2, 4, 6, 8])
    np.testing.assert_allclose(trace.error[-1], 0.05 + 0.12 * np.tanh(1))
    assert trace.num_missing == 1


def test_distance_on_a_line_with_margins_is_signed() -> None:
    """The first weights stand at 0 and the second at the line's length, wherever distances were counted from."""
    places = along(29, 40.0, margin=0.2)
    folded = [place | {"distance": abs(place["t"]) * 40.0} for place in places]
    for rows in (places, folded):
        trace = read_trace(points("a", "line", rows, lambda place: place["t"] + 1), "a", "line")
        np.testing.assert_allclose(trace.arc, 40 * trace.t, atol=1e-9)
        x, values = trace.ends("arc", "loss")
        np.testing.assert_allclose(x, [0, 40], atol=1e-9)
        np.testing.assert_allclose(values, [1, 2])


def test_ends_that_are_not_reached_are_not_marked() -> None:
    """A curve that is measured up to its middle has no second end."""
    rows = points("a", "curve", along(5, 8.0)[:3], lambda place: 1.0)
    assert read_trace(rows, "a", "curve").ends("t", "loss")[0].tolist() == [0.0]
