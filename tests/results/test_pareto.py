"""Pareto fronts: against the definition, and from the rows of a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import raysurf as rs
from raysurf.errors import StoreError
from raysurf.results.trials import front
from tests.support.trial_rows import write

FIGURES = st.lists(st.tuples(*[st.integers(0, 4).map(float)] * 3), max_size=12)
MODES = ("min", "max", "min")


def is_beaten(point: tuple[float, ...], by: tuple[float, ...]) -> bool:
    better = [b > a if mode == "max" else b < a for a, b, mode in zip(point, by, MODES, strict=True)]
    return any(better) and all(good or a == b for good, a, b in zip(better, point, by, strict=True))


@given(FIGURES)
def test_front_is_what_nothing_beats(points: list[tuple[float, ...]]) -> None:
    """The front is exactly the points that no other one beats, the best in the first metric first."""
    indices = front(points, MODES)
    assert set(indices) == {i for i, point in enumerate(points) if not any(is_beaten(point, other) for other in points)}
    assert [points[i][0] for i in indices] == sorted(points[i][0] for i in indices)


def test_front_of_a_sweep(tmp_path: Path) -> None:
    """Only finished trials with values are looked at; each metric is a column; one metric has its best alone."""
    two: dict[str, Any] = {"metric": "validation/error, validation/nll", "mode": "min, min", "value": None}
    for trial, values in enumerate(((0.2, 1.0), (0.1, 2.0), (0.2, 2.0), (0.0, float("nan")))):
        write(tmp_path, "two", trial, {}, values=values, **two)
    write(tmp_path, "two", 4, {}, state="failed", **two)
    write(tmp_path, "one", 5, {}, value=0.3)
    write(tmp_path, "one", 6, {}, value=0.0, values=(0.0,))
    results = rs.results.open(str(tmp_path))
    table = results.pareto("two")
    assert table.select(["trial", "validation/error", "validation/nll"]).to_pylist() == [
        {"trial": 1, "validation/error": 0.1, "validation/nll": 2.0},
        {"trial": 0, "validation/error": 0.2, "validation/nll": 1.0},
    ]
    assert all(b"meaning" in field.metadata for field in table.schema)
    assert results.pareto("one")["trial"].to_pylist() == [6]
    with pytest.raises(StoreError, match="expected one of one, two"):
        results.pareto("three")
    with pytest.raises(StoreError, match=r"see pareto\(\)"):
        results.best("two")
    assert results.sql("select values[1] as first from trials where trial = 1")["first"].to_pylist() == [0.1]
