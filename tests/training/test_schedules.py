"""Learning rates, against the papers' formulas."""

from __future__ import annotations

import math
from typing import Any

import pytest

from raysurf.errors import SpecError
from raysurf.jobs.fge import middle_of
from raysurf.training.schedules import (
    Constant,
    Cosine,
    CosineCycles,
    Cycles,
    Cyclic,
    Linear,
    PlateauLinear,
    Schedule,
    Span,
    Triangle,
    WarmUp,
)
from raysurf.values import kinds
from tests.support.contracts import ScheduleContract

PER_EPOCH = 390
EVERY: tuple[Schedule, ...] = (
    Constant(lr=0.1),
    PlateauLinear(lr=0.1),
    Linear(lr=0.1, hold=0.25),
    Cosine(lr=0.1),
    Cyclic(high=0.1, low=0.01),
    Triangle(high=0.1, low=0.01),
    CosineCycles(lr=0.1),
    WarmUp(epochs=5, then=Cosine(lr=0.1)),
    WarmUp(epochs=2.5, start=0.1, then=Triangle(high=0.1, low=0.01)),
)


def epochs(num: int, cycle: float = 1) -> Span:
    """So many epochs of 390 steps, in cycles of so many epochs."""
    return Span(num * PER_EPOCH, round(cycle * PER_EPOCH), PER_EPOCH)


def at_epochs(schedule: Schedule, span: Span, every: int = 10) -> list[float]:
    """The rate at the start of every tenth epoch."""
    return [schedule.rate(step, span) for step in range(0, span.steps, every * PER_EPOCH)]


def test_kinds_are_those_of_files() -> None:
    """What a schedule is called in files that people have."""
    kinds = [schedule.kind for schedule in EVERY[:8]]
    assert kinds == ["constant", "plateau_linear", "linear", "cosine", "cyclic", "triangle", "cosine_cycles", "warm_up"]


@pytest.mark.parametrize("lr", [0.1, 0.05])
@pytest.mark.parametrize("num", [150, 200])
@pytest.mark.parametrize("floor", [0.01, 0.5])
def test_plateau_linear_is_the_papers(lr: float, num: int, floor: float) -> None:
    """At every tenth epoch the rate is the SWA code's: 1 to a half, linear to the ratio at 0.9, then the ratio."""

    def of_the_code(epoch: int) -> float:
        t = epoch / num
        if t <= 0.5:
            return lr
        return lr * (1.0 - (1.0 - floor) * (t - 0.5) / 0.4) if t <= 0.9 else lr * floor

    expected = [of_the_code(epoch) for epoch in range(0, num, 10)]
    assert at_epochs(PlateauLinear(lr=lr, floor=floor), epochs(num)) == pytest.approx(expected, rel=1e-12)


def test_plateau_linear_of_200_epochs() -> None:
    """The values of 200 epochs at 0.1 as numbers: the plateau, an eighth and a half of the fall, and the floor."""
    rates = at_epochs(PlateauLinear(lr=0.1), epochs(200))
    assert rates[:11] == [0.1] * 11
    assert rates[11] == pytest.approx(0.087625)
    assert rates[14] == pytest.approx(0.0505)
    assert rates[18:] == pytest.approx([0.001] * 2)


def test_linear_is_the_papers() -> None:
    """The variance networks' Adam, 1e-3 to 0 over 200 epochs, at every tenth; and, half of it held, min(2 - 2t, 1)."""
    expected = [1e-3 * (1 - epoch / 200) for epoch in range(0, 200, 10)]
    assert at_epochs(Linear(lr=1e-3), epochs(200)) == pytest.approx(expected)
    held = [1e-3 * min(2 - epoch / 100, 1) for epoch in range(0, 200, 10)]
    assert at_epochs(Linear(lr=1e-3, hold=0.5), epochs(200)) == pytest.approx(held)
    floored = [max(1e-3 * (550 - epoch) / 550, 1e-5) for epoch in range(550)]
    schedule = Linear(lr=1e-3, floor=1e-5)
    assert [schedule.rate(epoch, Span(550, 1, 1)) for epoch in range(550)] == pytest.approx(floored)
    assert floored[-6:-4] == pytest.approx([1e-3 * 6 / 550, 1e-5])
    with pytest.raises(ValueError, match=r"floor 0\.1 is above lr 0\.001"):
        Linear(lr=1e-3, floor=0.1)


def test_cosine() -> None:
    """lr at the start, the middle of lr and end at half, nearly end at the last step; every tenth epoch by formula."""
    schedule, span = Cosine(lr=0.1, end=0.02), epochs(200)
    expected = [0.02 + 0.04 * (1 + math.cos(math.pi * epoch / 200)) for epoch in range(0, 200, 10)]
    assert at_epochs(schedule, span) == pytest.approx(expected)
    assert expected[10] == pytest.approx(0.06)
    assert 0.02 < schedule.rate(span.steps - 1, span) < 0.02 + 1e-9


def test_fast_swas_cycles() -> None:
    """180 epochs of a cosine 210 long, then its last 30 again and again: .0188 to .00495."""
    cosine, cycles = Cosine(lr=0.1), CosineCycles(lr=0.1, first=150 / 210, last=180 / 210)
    repeated = epochs(1021, 30)
    assert cycles.rate(0, repeated) == pytest.approx(0.0188, abs=5e-5)
    assert cycles.rate(30 * PER_EPOCH - 1, repeated) == pytest.approx(0.00495, abs=5e-6)
    for epoch in range(30):
        first_time = cosine.rate((150 + epoch) * PER_EPOCH, epochs(210))
        for cycle in (0, 33):
            assert cycles.rate((30 * cycle + epoch) * PER_EPOCH, repeated) == pytest.approx(first_time)


def test_warm_restarts() -> None:
    """SGDR with cycles of 50 epochs: lr at every restart, half of it in the middle of each, near zero at the end."""
    rates = at_epochs(CosineCycles(lr=0.05), epochs(200, 50), every=25)
    assert rates == pytest.approx([0.05, 0.025] * 4)
    assert 0 < CosineCycles(lr=0.05).rate(50 * PER_EPOCH - 1, epochs(200, 50)) < 1e-9


def test_cycle_ends_at_the_low_rate() -> None:
    """alpha(i) = (1-t) alpha_1 + t alpha_2, t = (mod(i-1, c) + 1)/c, over two cycles of four."""
    rates = [Cyclic(high=0.5, low=0.1).rate(step, Span(100, 4, 10)) for step in range(8)]
    assert rates == pytest.approx([0.4, 0.3, 0.2, 0.1] * 2)


def test_constant_is_constant() -> None:
    """A constant schedule does not look at the step."""
    assert {Constant(lr=0.3).rate(step, Span(10, 2, 5)) for step in range(10)} == {0.3}


def test_triangle_is_lowest_in_the_middle() -> None:
    """FGE's rate falls to the middle of a cycle and rises again; its code's formula at every step of two epochs."""
    rates = [Triangle(high=0.5, low=0.1).rate(step, Span(100, 4, 10)) for step in range(9)]
    assert rates == pytest.approx([0.5, 0.3, 0.1, 0.3, 0.5, 0.3, 0.1, 0.3, 0.5])

    def of_the_code(step: int) -> float:
        t = ((step // 10) % 2 + (step % 10) / 10) / 2
        return 0.05 * (1 - 2 * t) + 0.01 * 2 * t if t < 0.5 else 0.05 * (2 * t - 1) + 0.01 * (2 - 2 * t)

    schedule, span = Triangle(high=0.05, low=0.01), Span(400, 20, 10)
    assert [schedule.rate(i, span) for i in range(400)] == pytest.approx([of_the_code(i) for i in range(400)])


@pytest.mark.parametrize("cycle", [1, 2, 3, 4, 5, 7, 20, 780])
def test_members_are_taken_where_the_triangle_is_lowest(cycle: int) -> None:
    """After half a cycle, as the code does; of an odd cycle, which it has not, after its lowest rate. One a cycle."""
    cycles = Cycles(cycle, middle_of(cycle) - cycle)
    schedule, span = Triangle(high=0.5, low=0.1), Span(5 * cycle, cycle, cycle)
    taken = [n for n in range(1, 5 * cycle + 1) if cycles.members(n) > cycles.members(n - 1)]
    assert [cycles.members(n) for n in taken] == [1, 2, 3, 4, 5]
    first, rates = taken[0], [schedule.rate(step, span) for step in range(cycle)]
    if cycle % 2:
        assert rates[first - 1] == pytest.approx(min(rates))
    else:
        assert first == cycle / 2
        assert rates[first] == min(rates) == 0.1
    assert taken == [first + i * cycle for i in range(5)]


def test_warm_up_grows_to_the_other_schedule() -> None:
    """Five epochs from 0.1 of the rate in equal steps, none of zero, and then the rates of ``then``, from its start."""
    flat, span = WarmUp(epochs=5, start=0.1, then=Constant(lr=0.8)), epochs(90)
    rates = [flat.rate(step, span) for step in range(span.steps)]
    rises = [after - before for before, after in zip(rates, rates[1:], strict=False)]
    assert rates[0] == pytest.approx(0.08 + rises[0])
    assert rises[: 5 * PER_EPOCH - 1] == pytest.approx([rises[0]] * (5 * PER_EPOCH - 1))
    assert rates[5 * PER_EPOCH - 2] < 0.8
    assert set(rates[5 * PER_EPOCH - 1 :]) == {0.8}
    falling = PlateauLinear(lr=0.8)
    warmed = WarmUp(epochs=5, then=falling)
    assert warmed.rate(0, span) == pytest.approx(0.8 / (5 * PER_EPOCH))
    assert at_epochs(warmed, span)[1:] == at_epochs(falling, span)[1:]


class TestSchedules(ScheduleContract):
    @pytest.fixture(params=EVERY, ids=lambda schedule: schedule.kind)
    def schedule(self, request: pytest.FixtureRequest) -> Any:
        return request.param


def test_every_kind_is_tested() -> None:
    """The list above has every schedule that may stand in a file."""
    assert {type(schedule) for schedule in EVERY} == set(kinds(Schedule).values())


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Constant(lr=-1), "greater than 0"),
        (lambda: Constant(lr=float("nan")), "finite"),
        (lambda: Cosine(lr=float("inf")), "finite"),
        (lambda: Cosine(lr=0.1, end=-0.1), "greater than or equal to 0"),
        (lambda: CosineCycles(lr=0), "greater than 0"),
        (lambda: CosineCycles(lr=0.1, first=0.5, last=0.5), r"first 0\.5 is not below last 0\.5"),
        (lambda: CosineCycles(lr=0.1, last=1.5), "less than or equal to 1"),
        (lambda: Cyclic(high=0.1, low=0.2), r"low 0\.2 is above high 0\.1"),
        (lambda: Triangle(high=0.1, low=0.2), r"low 0\.2 is above high 0\.1"),
        (lambda: WarmUp(epochs=0, then=Constant(lr=0.1)), "greater than 0"),
        (lambda: WarmUp(epochs=1, start=1, then=Constant(lr=0.1)), "less than 1"),
        (lambda: Constant(lr=True), "valid number"),
        (lambda: Constant(lr="1e-3"), "valid number"),
    ],
)
def test_bad_rates_are_refused(build: object, said: str) -> None:
    """A rate that is not positive, not finite or not a number is an error."""
    with pytest.raises(SpecError, match=said):
        build()  # type: ignore[operator]
