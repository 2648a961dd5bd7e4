"""Text beside lines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysurf.report.placement import apart


@pytest.mark.parametrize(
    ("heights", "lowest", "moved"),
    [
        ([0.0, 20.0, 40.0], -100.0, [0.0, 20.0, 40.0]),
        ([0.0, 4.0, 40.0], -100.0, [-3.0, 7.0, 40.0]),
        ([0.0, 0.0, 0.0], -100.0, [-10.0, 0.0, 10.0]),
        ([0.0, 4.0, 15.0], 0.0, [0.0, 10.0, 20.0]),
        ([], 0.0, []),
    ],
)
def test_labels_move_as_little_as_they_must(heights: list[float], lowest: float, moved: list[float]) -> None:
    """Labels with room stay; those that would touch spread about their middle, but not below the panel."""
    np.testing.assert_allclose(apart(np.array(heights), 10.0, lowest), moved)


@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=12))
def test_labels_are_in_order_and_apart(heights: list[float]) -> None:
    """Whatever the heights, order is kept, neighbours are a gap apart, and none is too low."""
    places = apart(np.sort(heights), 10.0, 5.0)
    assert (np.diff(places) >= 10.0 - 1e-6).all()
    assert places[0] >= 5.0
