"""Patches of Ray's private parts, tried with Ray 2.59 and 2.60: Tune's actors and variables, Ray's own processes."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen
from typing import Any

from ray._private import ray_constants, services, worker
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]  # compiled
from ray.tune.execution import class_cache
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

AHEAD = "TUNE_MAX_PENDING_TRIALS_PG"
# Variables that Tune may hand on to its processes; Ray's logs hold them.
HANDED_ON = ("RAY_", "TRAIN_", "NCCL_", "TORCHFT_")


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


@contextmanager
def nothing_secret_is_handed_on() -> Iterator[None]:
    """Keep Tune, as long as this lasts, from handing the keys of AWS on to its processes, and so to Ray's logs.

    Processes on this machine inherit them; the nodes of a cluster have their own.
    """
    before = class_cache.ENV_VARS_TO_PROPAGATE
    class_cache.ENV_VARS_TO_PROPAGATE = {name for name in before if name.startswith(HANDED_ON)}
    try:
        yield
    finally:
        class_cache.ENV_VARS_TO_PROPAGATE = before


@contextmanager
def out_of_reach_of_signals() -> Iterator[list[Popen[bytes]]]:
    """Let Ray's own processes start in a session of their own, as long as this lasts.

    What is sent to this process's group, as by a terminal, ``timeout`` or a service manager, is then for this process,
    which needs Ray to end in order. On Linux, where Ray's processes end with their parent all the same.

    Yields:
        Those that have been started.
    """
    before, started = services.ConsolePopen, list[Popen[bytes]]()

    class Apart(before):  # type: ignore[misc, valid-type]  # ray has no types
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, start_new_session=sys.platform == "linux", **kwargs)
            started.append(self)

    services.ConsolePopen = Apart
    try:
        yield started
    finally:
        services.ConsolePopen = before


def shut_down() -> None:
    """Leave Ray, and end the one that this process has started, with SIGTERM being taken as it was before.

    Ray's core puts the system's own action in the handler's place, which would end this process without a word and
    leave Ray's files, while Ray's processes are waited for.
    """
    node = worker._global_node
    if node is not None:
        end = node.kill_all_processes

        def ended(*args: Any, **kwargs: Any) -> None:
            _take_sigterm_again()
            end(*args, **kwargs)

        node.kill_all_processes = ended
    worker.shutdown()
    _take_sigterm_again()


def _take_sigterm_again() -> None:
    """Reinstall Python's SIGTERM handler, unless it is Ray's."""
    handler = signal.getsignal(signal.SIGTERM)
    is_rays = getattr(handler, "__module__", "").partition(".")[0] == "ray"
    if handler is not None and not is_rays and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def reread_environment() -> None:
    """Make Ray reread its address and token settings from the environment."""
    ray_constants.ENABLE_RAY_CLUSTER = ray_constants.env_bool(
        ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, not ray_constants.IS_WINDOWS_OR_OSX
    )
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def torch_config(backend: str) -> Any:
    """How a Train group's workers find one another: as with Ray's ``TorchConfig``, but on the loopback address if that
    is their Ray's; the store of torch listens on every address.

    Args:
        backend: ``nccl`` or ``gloo``.
    """
    from ray.train.torch import TorchConfig
    from ray.train.torch.config import _TorchBackend

    class Backend(_TorchBackend):  # type: ignore[misc]  # ray has no types
        def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
            worker_group.execute(_listen_on_loopback)
            super().on_start(worker_group, backend_config)

    class Config(TorchConfig):  # type: ignore[misc]  # ray has no types
        backend_cls = Backend

    return Config(backend=backend)


def _listen_on_loopback() -> None:
    """Bind the TCPStore of torch to its address, if that is a loopback address."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    def store(host_name: str, port: int, is_master: bool = False, **options: Any) -> TCPStore:
        if is_master and host_name in ("127.0.0.1", "::1"):
            family = socket.AF_INET6 if ":" in host_name else socket.AF_INET
            options["master_listen_fd"] = socket.create_server((host_name, port), family=family).detach()
        return TCPStore(host_name=host_name, port=port, is_master=is_master, **options)

    # As an attribute of the package it is the function of this name.
    sys.modules["torch.distributed.rendezvous"].TCPStore = store  # type: ignore[attr-defined]
