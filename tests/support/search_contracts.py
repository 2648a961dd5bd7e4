"""Contracts of samplers and of rules of early stopping; see ``contracts``."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

import raysurf as rs
from raysurf.sweep.stopping import Rule
from tests.support.cases import tiny_sgd
from tests.support.searches import suggested, sweep_of

POINTS = ({"cycle_epochs": 2, "schedule": "constant", "schedule.constant.lr": 0.05}, {"schedule": "cyclic"})


class SamplerContract:
    """Samplers that search numbers; the fixture ``sampler`` is what stands in a file."""

    def sweep(self, sampler: Any) -> rs.Sweep:
        tree = tiny_sgd().with_holes(lr=rs.Float(0.01, 0.1, log=True), batch_size=rs.Int(2, 64))
        return rs.Sweep(tree, rs.Search(metric="validation/nll", sampler=sampler, trials=18, seed=3, batch=4))

    def test_known_trials_change_no_suggestion(self, sampler: Any) -> None:
        """A seeded search that knows what it tried, parts of batches included, goes on as if it had not stopped."""
        sweep = self.sweep(sampler)
        whole = suggested(sweep, value=rough)
        for known in (9, 12, 13):
            assert suggested(sweep, value=rough, begun=dict(enumerate(whole[:known]))) == whole


class ChoosingSamplerContract(SamplerContract):
    """Samplers that choose among options too."""

    def sweep(self, sampler: Any) -> rs.Sweep:
        return sweep_of(sampler=sampler)

    def test_points_come_first_and_are_completed(self, sampler: Any) -> None:
        """Points are tried first, partial ones are completed by the sampler, and a seed gives the same trials again."""
        sweep = sweep_of(sampler=sampler, points=POINTS)
        trials = suggested(sweep)
        assert begins_with(trials, POINTS)
        assert len(trials) == 14
        assert 0.01 <= trials[1]["schedule.cyclic.low"] <= 0.05
        assert suggested(sweep) == trials

    @pytest.mark.parametrize("seed", [0, None])
    def test_nothing_is_asked_twice(self, sampler: Any, seed: int | None) -> None:
        """Every assignment of a finite space comes once, points given twice or in part too; then there are no more."""
        points = (*POINTS[1:] * 2, {"cycle_epochs": 2}, *({"cycle_epochs": 1, "schedule": "cyclic"},) * 3)
        sweep = finite(50, sampler=sampler, seed=seed, points=points)
        trials = suggested(sweep, value=rough)
        assert len(trials) == sweep.num_assignments == 6
        assert len({frozenset(params.items()) for params in trials}) == 6
        assert all(params["momentum"] == 0.5 and params["nesterov"] == "true" for params in trials)
        again = [trials[0], trials[0], trials[1]]
        resumed = suggested(sweep, value=rough, begun=dict(enumerate(again)))
        assert [params for params in resumed if params in again] == trials[:2]
        assert len({frozenset(params.items()) for params in resumed}) == 6


def begins_with(params: Sequence[Mapping[str, Any]], points: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the first assignments hold what the points say."""
    return all(point.items() <= params.items() for params, point in zip(params, points, strict=False))


def rough(params: Mapping[str, Any]) -> tuple[float, ...]:
    """Some value that depends on everything."""
    return (float(zlib.crc32(repr(sorted(params.items())).encode()) % 1000),)


def finite(trials: int, **search: Any) -> rs.Sweep:
    """Ten assignments, some of them behind a condition."""
    schedule = rs.Choice(
        ({"kind": "constant", "lr": rs.Choice((0.1, 0.2))}, {"kind": "cyclic", "high": 0.2, "low": 0.1})
    )
    tree = rs.SWA(start=tiny_sgd(seed=0), epochs=2, lr=0.1).with_holes(
        cycle_epochs=rs.Int(1, 2), schedule=schedule, momentum=rs.Float(0.5, 0.5), nesterov=rs.Choice((True,))
    )
    tree.pop("lr")
    return rs.Sweep(tree, rs.Search(metric="validation/nll", trials=trials, **search), name="finite")


class StoppingContract:
    """Rules of early stopping; the fixture ``stopping`` is one as it stands in a file."""

    def ends(self, rule: Rule, longest: int) -> list[int | None]:
        """Epochs at which trials are stopped that are the worse the later they come, all side by side."""
        stopped: dict[int, int] = {}
        for epoch in range(1, longest + 1):
            for number in range(8):
                if number not in stopped and rule.stops(number, epoch, epoch - 2.0 * number):
                    stopped[number] = epoch
        return [stopped.get(number) for number in range(8)]

    def test_bad_trials_end_early_and_the_best_never(self, stopping: rs.Stopping) -> None:
        """None ends within its grace or at its own end, and what is decided is the same every time."""
        ends = self.ends(stopping.build(9), 9)
        assert ends[0] is None and any(ends)
        assert all(stopping.grace_epochs <= epoch < 9 for epoch in ends if epoch)
        assert self.ends(stopping.build(9), 9) == ends

    def test_none_ends_that_is_as_long_as_its_grace(self, stopping: rs.Stopping) -> None:
        """Trials of so few epochs are trained to their end."""
        assert self.ends(stopping.build(stopping.grace_epochs), stopping.grace_epochs) == [None] * 8
