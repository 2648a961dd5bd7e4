"""A Ray Train group that lives on from one trial to the next, since starting one takes longer than a short trial."""

from __future__ import annotations

import contextlib
import os
import threading
import traceback
import uuid
from collections.abc import Iterator
from typing import Any

import ray

from raysurf.cluster.broker import Broker, Ticket
from raysurf.cluster.environment import prepare
from raysurf.cluster.request import Report, Request
from raysurf.errors import PreemptedError, StoreUnavailableError
from raysurf.redaction import redact
from raysurf.results.error_text import one_line
from raysurf.sweep.sweep import Resources

ENDS = ("done", "failed")
# Seconds between looks at whether the group is still there.
LOOK_S = 2.0
# Seconds that a group waits for nodes that an autoscaler has to start.
NODES_S = "3600"


class TrainGroup:
    """A group of Train workers and the broker that they pull requests from.

    Args:
        resources: What it runs on; kept until this process ends and the driver has removed its placement group.
        storage: Folder for Ray's own files.
    """

    def __init__(self, resources: Resources, storage: str) -> None:
        self.resources = resources
        self.broker = ray.remote(Broker).options(num_cpus=0).remote()
        self.error: str | None = None
        self._thread = threading.Thread(target=self._fit, args=(storage,), daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it still takes requests."""
        return self._thread.is_alive()

    def _fit(self, storage: str) -> None:
        import ray.train
        from ray.train.torch import TorchTrainer

        from raysurf.cluster.own_processes import torch_config

        needs = self.resources
        per_worker = {"CPU": needs.cpus} | ({"GPU": needs.gpus} if needs.gpus else {})
        trainer = TorchTrainer(
            serve,
            train_loop_config={"broker": self.broker, "cpus": needs.cpus},
            torch_config=torch_config("nccl" if needs.gpus else "gloo"),
            scaling_config=ray.train.ScalingConfig(
                num_workers=needs.workers, use_gpu=needs.gpus > 0, resources_per_worker=per_worker
            ),
            run_config=ray.train.RunConfig(
                name=f"group-{uuid.uuid4().hex[:8]}",
                storage_path=storage,
                # The broker counts the tries of each request.
                failure_config=ray.train.FailureConfig(max_failures=-1, controller_failure_limit=3),
                worker_runtime_env={},
            ),
        )
        try:
            trainer.fit()
        except ray.train.TrainingFailedError as error:
            self.error = f"{type(error).__name__}: {error}"

    def reports(self, request: Request) -> Iterator[Report]:
        """Have a request done; the group goes on only when the next report is asked for.

        Args:
            request: What to do.

        Yields:
            Its reports; the last one's ``state`` is done or failed. All name what the ``group`` holds of the cluster.
            Whoever leaves before the last ends the request.
        """
        ray.get(self.broker.give.remote(request))
        goes_on = False
        try:
            while True:
                report = self._next(request)
                yield report
                if report["state"] in ENDS:
                    goes_on = True
                    return
                self.broker.answer.remote(True)
        finally:
            if not goes_on:
                self.broker.answer.remote(False)

    def _next(self, request: Request) -> Report:
        waiting = self.broker.next.remote()
        while self.is_alive:
            with contextlib.suppress(ray.exceptions.GetTimeoutError):
                report: Report = ray.get(waiting, timeout=LOOK_S)
                return report
        error = self.error or "the Train group has ended"
        report = {"state": "failed", "number": request.number, "error": error}
        if StoreUnavailableError.__name__ in error:
            said = error.strip().splitlines()[-1]
            report["unavailable"] = (request.store, said, "a store with room that answers; then run again")
        return report


# The group of this process, which Tune uses again for one trial after another.
_groups: list[TrainGroup] = []


def group(config: dict[str, Any]) -> None:
    """A Tune function trial that holds no CPU itself and has its request done by this process's Train group."""
    if config["grows"]:
        os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = NODES_S
    prepare()
    from ray import tune

    request: Request = config["request"]
    if not (_groups and _groups[0].is_alive):
        _groups[:] = [TrainGroup(request.resources, config["storage"])]
    for report in _groups[0].reports(request):
        tune.report(report)


class _Ended(BaseException):
    """Ends a request on every rank; no failure, so that nothing on the way takes it for one."""


def serve(config: dict[str, Any]) -> None:
    """One Ray Train worker: its share of every batch of one request after another."""
    import ray.train
    import torch
    import torch.distributed as dist
    from ray.train.torch import get_device

    from raysurf.cluster.perform import perform
    from raysurf.cluster.preemption import of_ray_worker
    from raysurf.training.workers import Workers

    place, broker, notices = ray.train.get_context(), config["broker"], of_ray_worker()
    torch.set_num_threads(config["cpus"])
    workers = Workers(place.get_world_rank(), place.get_world_size(), get_device(), notices.is_told)
    incarnation = [uuid.uuid4().hex]
    dist.broadcast_object_list(incarnation, src=0)

    def tell(report: Report) -> None:
        asked = workers.rank == 0 and ray.get(broker.report.remote(number, report))
        if not workers.agree(asked):
            raise _Ended

    number, holds = 0, _holds()
    while True:
        number, request = _taken(broker, workers.rank, incarnation[0], number, holds)
        try:
            tell({"state": "begun", "number": request.number})
            with notices.working():
                last = perform(request, workers, tell, alone=False)
        except _Ended:
            continue
        except Exception as error:
            ray.get(broker.broke.remote(number, _farewell(request, error)))
            if (text := traceback.format_exc()) != redact(text):
                # Ray logs what is raised as it is.
                raise RuntimeError(one_line(error)) from None
            raise
        if "preempted" in last:
            if workers.rank == 0:
                ray.get(broker.preempted.remote(number, last))
            workers.barrier()
            # Ray Train starts the group again, on nodes that stay.
            raise PreemptedError(*last["preempted"])
        if workers.rank == 0:
            ray.get(broker.ended.remote(number, last))


def _taken(broker: Any, *asked: Any) -> Ticket:
    ticket: Ticket = ray.get(broker.take.remote(*asked))
    return ticket


def _holds() -> str | None:
    """What this worker's group holds of the cluster: its placement group, and its run, for which nodes are kept."""
    from ray.train.v2._internal.execution.context import get_train_context

    found = ray.util.get_current_placement_group()
    return None if found is None else f"{found.id.hex()}/{get_train_context().train_run_context.run_id}"


def release(holds: str) -> None:
    """Remove the placement group of a Train group whose trial's process is gone, and with it the workers.

    Ray's own cleaner does so within seconds, but fails where several Rays run on a machine, and then nothing else can
    ever have their resources. What Ray Train has reserved for the group's run would be kept from elastic groups for
    three minutes.
    """
    from ray._raylet import PlacementGroupID
    from ray.data._internal.cluster_autoscaler import get_or_create_autoscaling_coordinator
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    place, _, run = holds.partition("/")
    remove_placement_group(PlacementGroup(PlacementGroupID(bytes.fromhex(place))))
    get_or_create_autoscaling_coordinator().cancel_request.remote(f"train-{run}")


def _farewell(request: Request, error: Exception) -> Report:
    """What a worker says that brings its group down; it has no ``error`` if that was another's."""
    from raysurf.cluster.perform import failed

    return failed(request, error) | ({"error": None} if _is_anothers(error) else {})


def _is_anothers(error: Exception) -> bool:
    """Whether torch's communication failed because another worker is gone."""
    import torch.distributed as dist

    said, frames = str(error).lower(), traceback.extract_tb(error.__traceback__)
    is_torchs = not frames or "/torch/" in frames[-1].filename.replace(os.sep, "/")
    return isinstance(error, dist.DistError) or (is_torchs and any(w in said for w in ("gloo", "nccl", "connection")))
