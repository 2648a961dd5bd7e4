"""When weights are taken for an average or an ensemble, in whole steps. No torch here."""

from __future__ import annotations

from dataclasses import dataclass


def num_batches(num_examples: int, size: int) -> int:
    """Batches that cover every example once; a remainder below an eighth of a batch joins the batch before it.

    So does a remainder of one, which batch norm cannot be trained on.
    """
    full, rest = divmod(num_examples, size)
    return max(1, full + (8 * rest >= size and rest > 1))


def cycle_steps(cycle_epochs: float, steps_per_epoch: int) -> int:
    """Length of a cycle in whole steps, at least one."""
    return max(1, round(cycle_epochs * steps_per_epoch))


@dataclass(frozen=True)
class Cycles:
    """Members at even distances: the one definition of which steps they are taken after.

    Args:
        steps: From one member to the next.
        first_step: Steps after which the first of these distances begins. It may lie before the start, where the first
            is a shorter one.
    """

    steps: int
    first_step: int = 0

    def members(self, steps_done: int) -> int:
        """How many members have been taken after so many steps."""
        return max(0, steps_done - self.first_step) // self.steps
