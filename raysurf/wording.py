"""Counts, sizes and durations as text."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A count with its noun, such as ``1 run`` and ``2 runs``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class Bytes(int):
    """A number of bytes, printed in the unit that fits; a number, so that tables align it to the right."""

    def __str__(self) -> str:
        size = float(self)
        for unit in ("B", "KiB", "MiB", "GiB"):
            if size < 1024:
                return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
            size /= 1024
        return f"{size:.1f} TiB"


def duration(seconds: float) -> str:
    """A duration rounded to seconds, minutes or tenths of hours, such as ``4 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
