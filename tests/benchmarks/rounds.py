"""Timing ours and a peer in turns, and the line that a benchmark prints for each figure."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Literal

Timed = Callable[[], float]


def seconds(act: Callable[[], object]) -> float:
    """How long something takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def is_quick() -> bool:
    """Whether ``--quick`` was given: a look, in under a minute."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="fewer rounds of less work; for a look")
    return bool(parser.parse_args().quick)


def in_turns(timed: Mapping[str, Timed], rounds: int) -> dict[str, list[float]]:
    """Measure several things one after another, round by round, after a round that is not counted.

    Args:
        timed: Each gives its own figure when it is called, such as seconds a step.
        rounds: Rounds that count.

    Returns:
        The readings of each, in the order of the rounds.
    """
    readings: dict[str, list[float]] = {name: [] for name in timed}
    for counted in range(rounds + 1):
        for name, measure in timed.items():
            value = measure()
            if counted:
                readings[name].append(value)
    return readings


def tell(
    figure: str,
    ours: list[float],
    peer: list[float],
    *,
    unit: str,
    better: Literal["lower", "higher"],
    target: float | None,
) -> None:
    """Print a figure as one JSON line: medians, and the median of the rounds' ratios with their spread."""
    ratios = sorted(a / b for a, b in zip(ours, peer, strict=True))
    ratio = median(ratios)
    line = {
        "figure": figure,
        "ratio": round(ratio, 4),
        "better": better,
        "target": target,
        "met": None if target is None else (ratio <= target if better == "lower" else ratio >= target),
        "ours": round(median(ours), 5),
        "peer": round(median(peer), 5),
        "unit": unit,
        "rounds": len(ratios),
        "spread": round(ratios[3 * len(ratios) // 4] - ratios[len(ratios) // 4], 4),
    }
    print(json.dumps(line), flush=True)
