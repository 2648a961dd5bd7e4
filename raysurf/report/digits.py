"""Numbers as text, with as many digits as tell them apart."""

from __future__ import annotations

from collections.abc import Sequence


def told_apart(values: Sequence[float], least: int = 3, most: int = 8) -> list[str]:
    """Format values with the fewest significant digits that keep different values apart.

    Args:
        values: In any order; equal ones are written alike.
        least: Digits at least.
        most: Digits at most, whatever they tell apart.
    """
    for digits in range(least, most + 1):
        written = [f"{value:.{digits}g}" for value in values]
        if len(set(written)) == len(set(values)):
            break
    return written
