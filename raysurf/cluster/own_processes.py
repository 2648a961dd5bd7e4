"""Which processes Tune starts and keeps: all that it has begun to, and as many at once as there may be room for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

AHEAD = "TUNE_MAX_PENDING_TRIALS_PG"


@contextmanager
def every_process_stays() -> Iterator[None]:
    """Keep Tune, as long as this lasts, from taking back a process that it is starting, and from stopping idle ones.

    When a trial ends, Tune gives its process to a trial that waits for one of its own, and stops that one before it is
    up. Where trials take less time than a process needs to start, one process does them all, one after another, and
    the other cores are idle. Here a trial whose process is being started waits for it; the free one goes to a trial
    that has none, or only waits for room for one.

    When no trial waits, as between two batches of a search, Tune keeps one idle process and stops the others, which
    start anew for the next batch. Here all stay until the run's end; all trials of a run need the same.
    """
    reuse, schedule = TuneController._maybe_reuse_cached_actor, TuneController._schedule_trial_actor

    def reused(self: TuneController, trial: Trial) -> bool:
        own = self._trial_to_actor.get(trial)
        if own is not None and self._actor_manager.is_actor_started(own):
            return False
        return bool(reuse(self, trial))

    def scheduled(self: TuneController, trial: Trial) -> None:
        before = self._actor_manager.num_total_actors
        schedule(self, trial)
        if self._actor_manager.num_total_actors > before:
            # Room among the idle ones for the process that was asked for.
            self._actor_cache.increase_max(trial.placement_group_factory)

    TuneController._maybe_reuse_cached_actor, TuneController._schedule_trial_actor = reused, scheduled
    try:
        yield
    finally:
        TuneController._maybe_reuse_cached_actor, TuneController._schedule_trial_actor = reuse, schedule


@contextmanager
def asking_ahead(trials: int) -> Iterator[None]:
    """Let Tune ask at once for room for as many trials as can run beside one another, as long as this lasts.

    With a searcher it asks for one at a time, so that processes start one after another, each for seconds, and so do an
    autoscaler's nodes. When all run, one trial is asked for ahead, as Tune does. What the user has set is left.

    Args:
        trials: How many trials run and wait for room; one waits in any case.
    """
    ask = TuneController._maybe_update_trial_queue

    def asked(self: TuneController) -> None:
        if AHEAD not in os.environ:
            self._max_pending_trials = max(1, trials - len(self._running_trials))
        ask(self)

    TuneController._maybe_update_trial_queue = asked
    try:
        yield
    finally:
        TuneController._maybe_update_trial_queue = ask
