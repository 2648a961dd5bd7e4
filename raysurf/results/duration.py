"""A time in words."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """A length of time, no more exact than one can know it, such as ``4 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
