"""Which processes Tune starts: every one that it has begun to, and as many ahead as there may be nodes for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

AHEAD = "TUNE_MAX_PENDING_TRIALS_PG"


@contextmanager
def every_process_starts() -> Iterator[None]:
    """Keep Tune, as long as this lasts, from taking back a process that it is starting.

    When a trial ends, Tune gives its process to a trial that waits for one of its own, and stops that one before it is
    up. Where trials take less time than a process needs to start, one process does them all, one after another, and
    the other cores are idle. Here a trial whose process is being started waits for it; the free one goes to a trial
    that has none, or only waits for room for one.
    """
    reuse = TuneController._maybe_reuse_cached_actor

    def reused(self: TuneController, trial: Trial) -> bool:
        own = self._trial_to_actor.get(trial)
        if own is not None and self._actor_manager.is_actor_started(own):
            return False
        return bool(reuse(self, trial))

    TuneController._maybe_reuse_cached_actor = reused
    try:
        yield
    finally:
        TuneController._maybe_reuse_cached_actor = reuse


@contextmanager
def asking_ahead(trials: int) -> Iterator[None]:
    """Let Tune ask for room for so many trials at a time, as long as this lasts; with a searcher it asks for one.

    An autoscaler starts nodes for what is asked for, and would start them one after another. What the user has set is
    left.
    """
    if AHEAD in os.environ:
        yield
        return
    os.environ[AHEAD] = str(trials)
    try:
        yield
    finally:
        del os.environ[AHEAD]
