"""Learning rates, against the papers' formulas."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from raysurf.training.schedules import Constant, Cyclic, PlateauLinear, Triangle


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [(0, 0.1), (100, 0.1), (110, 0.1 * (1 - 0.99 * 0.125)), (140, 0.1 * (1 - 0.99 * 0.5)), (180, 0.001), (199, 0.001)],
)
def test_plateau_linear_is_the_papers(epoch: int, expected: float) -> None:
    """At the start of these epochs of 200 the rate is that of the SWA code's schedule, ratio 0.01."""
    assert PlateauLinear(lr=0.1).rate(epoch * 390, 200 * 390, 1) == pytest.approx(expected, rel=1e-12)


def test_cycle_ends_at_the_low_rate() -> None:
    """alpha(i) = (1-t) alpha_1 + t alpha_2, t = (mod(i-1, c) + 1)/c, over two cycles of four."""
    rates = [Cyclic(high=0.5, low=0.1).rate(step, 100, 4) for step in range(8)]
    assert rates == pytest.approx([0.4, 0.3, 0.2, 0.1] * 2)


def test_constant_is_constant() -> None:
    """A constant schedule does not look at the step."""
    assert {Constant(lr=0.3).rate(step, 10, 2) for step in range(10)} == {0.3}


def test_triangle_is_lowest_in_the_middle() -> None:
    """FGE's rate falls to the middle of a cycle, where members are taken, and rises again."""
    rates = [Triangle(high=0.5, low=0.1).rate(step, 100, 4) for step in range(9)]
    assert rates == pytest.approx([0.5, 0.3, 0.1, 0.3, 0.5, 0.3, 0.1, 0.3, 0.5])


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Constant(lr=-1), "greater than 0"),
        (lambda: Constant(lr=float("nan")), "finite"),
        (lambda: Cyclic(high=0.1, low=0.2), r"low 0\.2 is above high 0\.1"),
        (lambda: Triangle(high=0.1, low=0.2), r"low 0\.2 is above high 0\.1"),
        (lambda: Constant(lr=True), "valid number"),
        (lambda: Constant(lr="1e-3"), "valid number"),
    ],
)
def test_bad_rates_are_refused(build: object, said: str) -> None:
    """A rate that is not positive, not finite or not a number is an error."""
    with pytest.raises(ValidationError, match=said):
        build()  # type: ignore[operator]
