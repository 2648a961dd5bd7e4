"""Let every process that Tune starts come up, though a trial has ended meanwhile and left one free."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial


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
