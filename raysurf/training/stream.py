"""Random numbers by key."""

from __future__ import annotations

import random


def stream(*key: object) -> random.Random:
    """Random numbers that depend on a key alone, so that resuming needs no generator's state."""
    return random.Random("/".join(map(str, key)))
