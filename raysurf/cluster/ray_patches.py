"""Ray's private parts: every one that raysurf changes or reads, what it needs of Ray, and what is lost without it.

A patch is left out where Ray no longer has what it needs, or where ``RAYSURF_RAY_PATCHES_OFF`` names it. Everything
runs without; ``notices`` says once what is slower or less orderly then.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from subprocess import Popen
from typing import Any

# Names of patches that are left out, separated by commas, or ``all``.
OFF = "RAYSURF_RAY_PATCHES_OFF"
AHEAD = "TUNE_MAX_PENDING_TRIALS_PG"
# Variables that Tune may hand on to its processes; Ray's logs hold them.
HANDED_ON = ("RAY_", "TRAIN_", "NCCL_", "TORCHFT_")
STOP_S = 3.0


@dataclass(frozen=True)
class Patch:
    """A use of private parts of Ray.

    Args:
        needs: What it uses, as ``module:attribute`` or ``module:function(parameter, ...)``.
        lost: What happens without it.
        tried: Versions of Ray that it was tried with.
        of_groups: Whether Train groups alone use it.
    """

    needs: tuple[str, ...]
    lost: str
    tried: tuple[str, ...] = ("2.59", "2.60")
    of_groups: bool = False


_TUNE, _STATE = "ray.tune.execution.tune_controller:TuneController.", "ray._private.state:"
_NODE, _CONSTANTS = "ray._private.worker:_global_node", "ray._private.ray_constants:"
# fmt: off
PATCHES = {
    "idle-actors": Patch(
        (f"{_TUNE}_maybe_reuse_cached_actor(self, trial)", f"{_TUNE}_schedule_trial_actor(self, trial)"),
        "short trials are slower, since Tune stops processes that the next trial could use"),
    "parallel-start": Patch(
        (f"{_TUNE}_maybe_update_trial_queue(self)",),
        "trials begin slower, since processes start one after another"),
    "credentials": Patch(
        ("ray.tune.execution.class_cache:ENV_VARS_TO_PROPAGATE",),
        "keys of AWS may stand in Ray's own logs"),
    "process-session": Patch(
        ("ray._private.services:ConsolePopen",),
        "Ctrl-C reaches Ray's processes too, and a run may end without order"),
    "sigterm": Patch(
        (_NODE,),
        "SIGTERM while Ray ends may leave Ray's temporary files behind"),
    "environment": Patch(
        (f"{_CONSTANTS}ENABLE_RAY_CLUSTER", f"{_CONSTANTS}env_bool(key, default)", "ray._raylet:Config.initialize",
         "ray._raylet:AuthenticationTokenLoader.instance"),
        "Ray on this machine has the address and the token that are Ray's default"),
    "loopback": Patch(
        ("ray.train.torch.config:_TorchBackend.on_start(self, worker_group, backend_config)",
         "torch.distributed.rendezvous:TCPStore"),
        "workers of a group listen on every address of their machine", of_groups=True),
    "group-resources": Patch(
        ("ray._raylet:PlacementGroupID", "ray.train.v2._internal.execution.context:get_train_context()",
         "ray.data._internal.cluster_autoscaler:get_or_create_autoscaling_coordinator()"),
        "what a lost group held is free again only after Ray's own cleaning", of_groups=True),
    "worker-processes": Patch(
        (f"{_STATE}actors(actor_id, job_id, actor_state_name)",),
        "an orderly end breaks trials off at their last state"),
    "raylet": Patch(
        (_NODE,),
        "a Ray that was killed is noticed after minutes"),
    "draining": Patch(
        (f"{_STATE}state.get_draining_nodes()",),
        "workers hear of a node's end by SIGTERM alone"),
    "autoscaler": Patch(
        ("ray.autoscaler.v2.sdk:get_cluster_status", "ray.autoscaler.v2.utils:is_autoscaler_v2",
         "ray.experimental.internal_kv:_internal_kv_get"),
        "an autoscaler whose file is not on this machine is not seen: sweeps must fit the nodes that there are"),
}
# fmt: on


def why_off(name: str) -> str | None:
    """Why a patch is left out; None if it is in use."""
    asked = os.environ.get(OFF, "").split(",")
    if {name, "all"} & set(asked):
        return f"${OFF}"
    for need in PATCHES[name].needs:
        place, _, parameters = need.partition("(")
        module, _, path = place.partition(":")
        try:
            part: Any = importlib.import_module(module)
            for attribute in path.split("."):
                part = getattr(part, attribute)
            if parameters and ", ".join(inspect.signature(part).parameters) != parameters.rstrip(")"):
                return f"this Ray has another {place}"
        except (ImportError, AttributeError):
            return f"this Ray has no {place}"
    return None


def notices(groups: bool) -> list[str]:
    """A line for every patch that is left out; those of Train groups only where there are groups."""
    reasons = {name: why_off(name) for name, patch in PATCHES.items() if groups or not patch.of_groups}
    return [f"without the patch {name} of Ray ({why}): {PATCHES[name].lost}" for name, why in reasons.items() if why]


def _unless_off(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a context manager do nothing where its patch is left out."""

    def of(patch: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(patch)
        def chosen(*arguments: Any) -> Any:
            return patch(*arguments) if why_off(name) is None else contextlib.nullcontext([])

        return chosen

    return of


@contextmanager
def _replaced(owner: Any, **parts: Any) -> Iterator[None]:
    before = {name: getattr(owner, name) for name in parts}
    for name, part in parts.items():
        setattr(owner, name, part)
    try:
        yield
    finally:
        for name, part in before.items():
            setattr(owner, name, part)


@_unless_off("idle-actors")
@contextmanager
def keep_idle_actors() -> Iterator[None]:
    """Keep Tune from taking back a process that it is starting, and from stopping idle ones.

    When a trial ends, Tune gives its process to a trial that waits for one of its own, and stops that one before it is
    up: where trials are shorter than the start of a process, one process does them all. Here a trial whose process is
    being started waits for it. When no trial waits, as between two batches, Tune keeps one idle process and stops the
    others. Here all stay until the run's end; all trials of a run need the same.
    """
    from ray.tune.execution.tune_controller import TuneController

    reuse, schedule = TuneController._maybe_reuse_cached_actor, TuneController._schedule_trial_actor

    def reused(self: TuneController, trial: Any) -> bool:
        own = self._trial_to_actor.get(trial)
        if own is not None and self._actor_manager.is_actor_started(own):
            return False
        return bool(reuse(self, trial))

    def scheduled(self: TuneController, trial: Any) -> None:
        before = self._actor_manager.num_total_actors
        schedule(self, trial)
        if self._actor_manager.num_total_actors > before:
            # Room among the idle ones for the process that was asked for.
            self._actor_cache.increase_max(trial.placement_group_factory)

    with _replaced(TuneController, _maybe_reuse_cached_actor=reused, _schedule_trial_actor=scheduled):
        yield


@_unless_off("parallel-start")
@contextmanager
def start_actors_in_parallel(trials: int) -> Iterator[None]:
    """Let Tune ask at once for room for as many trials as can run beside one another.

    With a searcher it asks for one at a time, so that processes start one after another, each for seconds, and so do an
    autoscaler's nodes. When all ``trials`` run, one is asked for ahead, as Tune does. What the user has set is left.
    """
    from ray.tune.execution.tune_controller import TuneController

    ask = TuneController._maybe_update_trial_queue

    def asked(self: TuneController) -> None:
        if AHEAD not in os.environ:
            self._max_pending_trials = max(1, trials - len(self._running_trials))
        ask(self)

    with _replaced(TuneController, _maybe_update_trial_queue=asked):
        yield


@_unless_off("credentials")
@contextmanager
def no_credentials_handed_on() -> Iterator[None]:
    """Keep Tune from handing the keys of AWS on to its processes, and so to Ray's logs.

    Processes on this machine inherit them; the nodes of a cluster have their own.
    """
    from ray.tune.execution import class_cache

    kept = {name for name in class_cache.ENV_VARS_TO_PROPAGATE if name.startswith(HANDED_ON)}
    with _replaced(class_cache, ENV_VARS_TO_PROPAGATE=kept):
        yield


@_unless_off("process-session")
@contextmanager
def own_session() -> Iterator[list[Popen[bytes]]]:
    """Start Ray's own processes in a session of their own, and yield those that have been started.

    What is sent to this process's group, as by a terminal, ``timeout`` or a service manager, is then for this process,
    which needs Ray to end in order. On Linux, where Ray's processes end with their parent all the same.
    """
    from ray._private import services

    started = list[Popen[bytes]]()

    class Apart(services.ConsolePopen):  # type: ignore[misc]  # ray has no types
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, start_new_session=sys.platform == "linux", **kwargs)
            started.append(self)

    with _replaced(services, ConsolePopen=Apart):
        yield started


def shut_down() -> None:
    """Leave Ray, and end the one that this process has started, with SIGTERM being taken as it was before.

    Ray's core puts the system's own action in the handler's place, which would end this process and leave Ray's files.
    """
    import ray

    node = None if why_off("sigterm") else _node()
    if node is not None:
        end = node.kill_all_processes

        def ended(*args: Any, **kwargs: Any) -> None:
            _take_sigterm_again()
            end(*args, **kwargs)

        node.kill_all_processes = ended
    ray.shutdown()
    _take_sigterm_again()


def _take_sigterm_again() -> None:
    """Reinstall Python's SIGTERM handler, unless it is Ray's."""
    handler = signal.getsignal(signal.SIGTERM)
    is_rays = getattr(handler, "__module__", "").partition(".")[0] == "ray"
    if handler is not None and not is_rays and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def reread_environment() -> None:
    """Make Ray reread its address and token settings from the environment."""
    from ray._private import ray_constants
    from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]  # compiled

    ray_constants.ENABLE_RAY_CLUSTER = ray_constants.env_bool(
        ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, not ray_constants.IS_WINDOWS_OR_OSX
    )
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def torch_config(backend: str) -> Any:
    """Ray's ``TorchConfig`` for a Train group, whose store listens on the loopback address if that is their Ray's."""
    from ray.train.torch import TorchConfig

    if why_off("loopback"):
        return TorchConfig(backend=backend)
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


def held_by_group() -> str | None:
    """What this worker's Train group holds of the cluster: its placement group, and its run's claim on nodes."""
    import ray

    group = ray.util.get_current_placement_group()
    if group is None or why_off("group-resources"):
        return None
    from ray.train.v2._internal.execution.context import get_train_context

    return f"{group.id.hex()}/{get_train_context().train_run_context.run_id}"


def release(held: str) -> None:
    """Remove the placement group of a Train group whose trial's process is gone, and with it the workers.

    Ray's own cleaner fails where several Rays run on a machine, and then nothing else can ever have their resources;
    what Ray Train has reserved for the group's run would be kept from elastic groups for three minutes.
    """
    from ray._raylet import PlacementGroupID
    from ray.data._internal.cluster_autoscaler import get_or_create_autoscaling_coordinator
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    place, _, run = held.partition("/")
    remove_placement_group(PlacementGroup(PlacementGroupID(bytes.fromhex(place))))
    get_or_create_autoscaling_coordinator().cancel_request.remote(f"train-{run}")


def worker_processes(trials: list[Any], of_class: str = "") -> dict[str, tuple[str, int]]:
    """Node and process ids, by actor, of the living actors of a class, or of those that run some trials."""
    if why_off("worker-processes"):
        return {}
    import ray
    from ray._private.state import actors

    job_id = ray.JobID.from_hex(ray.get_runtime_context().get_job_id())
    own = {str(actor._actor_id.hex()) for trial in trials if (actor := trial.temporary_state.ray_actor) is not None}
    return {
        actor_id: (row["Address"]["NodeID"], row["Pid"])
        for actor_id, row in actors(job_id=job_id, actor_state_name="ALIVE").items()
        if (row["ActorClassName"].endswith(of_class) if of_class else actor_id in own)
    }


def _node() -> Any:
    return getattr(sys.modules.get("ray._private.worker"), "_global_node", None)


def _raylets() -> list[Popen[bytes]]:
    """Raylets that this process has started; looked for without importing Ray."""
    processes = getattr(_node(), "all_processes", {}) if OFF not in os.environ or not why_off("raylet") else {}
    return [started.process for started in processes.get("raylet", ())]


def is_ray_gone() -> bool:
    """Whether the Ray that this process started has been killed; Tune would wait for it for minutes."""
    return any(raylet.poll() is not None for raylet in _raylets())


def stop_raylets() -> None:
    """End this process's Ray: agents notice a killed raylet after a minute; one that is told takes them along."""
    for raylet in _raylets():
        raylet.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            raylet.wait(STOP_S)


def is_draining(node: str) -> bool:
    """Whether a node is drained, as it is before Kubernetes, a cloud or ``ray drain-node`` takes it away."""
    from ray._private.state import state

    return node in state.get_draining_nodes()


def has_autoscaler(address: str) -> bool:
    """Whether somebody starts nodes of named kinds; what only watches the nodes calls each a kind of its own."""
    if why_off("autoscaler"):
        return False
    from ray.autoscaler.v2.sdk import get_cluster_status
    from ray.autoscaler.v2.utils import is_autoscaler_v2
    from ray.experimental.internal_kv import _internal_kv_get

    if is_autoscaler_v2():
        status = get_cluster_status(address)
        kinds = {node.node_id: node.ray_node_type_name for node in (*status.active_nodes, *status.idle_nodes)}
        is_on = status.stats.autoscaler_version != "0"
    else:
        try:
            said = json.loads(_internal_kv_get("__autoscaling_status") or "{}")
            kinds, is_on = dict(said["autoscaler_report"]["node_type_mapping"]), True
        except (KeyError, TypeError, ValueError):
            return False
    return is_on and any(kind and kind != f"node_{node}" for node, kind in kinds.items())
