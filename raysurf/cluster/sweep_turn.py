"""A sweep's turn: of the drivers that run the same trials on the same store, one does, the others wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from raysurf.store.lease import Claim, pauses
from raysurf.store.store import Store
from raysurf.sweep.plan import SweepPlan

ALL = (0, 2**31)


@contextmanager
def sweep_turn(store: Store, plan: SweepPlan, tell: Callable[[str], None]) -> Iterator[None]:
    """Wait until no other driver runs trials that are in a plan, and keep others waiting until the block's end.

    A search, and a budget, go by all trials of their sweep, which is one driver's then. Without, drivers that run other
    trials of it (``--only``) do not wait for each other.

    Args:
        store: Where the sweep's results are.
        plan: What is to be run of it.
        tell: Given the one line that says who runs it.
    """
    sweep, part = plan.sweep, ALL
    if not sweep.is_searched and sweep.budget is None:
        first, last = (arm.first for arm in plan.arms), (arm.first + arm.trials for arm in plan.arms)
        part = (min(first, default=0), max(last, default=0))
    is_one_job = not sweep.parameters and len(sweep.seeds) < 2 and not sweep.baselines
    # Jobs that a program runs are all called by their kind.
    name = f"sweep.{sweep.name}.{sweep.digest}" if is_one_job else f"sweep.{sweep.name}"
    with Claim(store, name, "", part) as claim:
        is_told = False
        for pause in pauses():
            if (holder := claim.take()) is None:
                break
            if not is_told:
                tell(f"sweep {sweep.name} is being run by {holder}; waiting for it")
                is_told = True
            time.sleep(pause)
        yield
