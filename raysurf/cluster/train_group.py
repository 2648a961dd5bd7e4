"""A Ray Train group that is kept for one trial after another, and the broker that hands tasks to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import traceback
import uuid
from collections.abc import Iterator
from typing import Any

import ray

from raysurf.cluster.ray_cluster import prepare
from raysurf.cluster.ray_patches import held_by_group, torch_config
from raysurf.cluster.task import PREEMPTIONS, Report, Task
from raysurf.errors import PreemptedError, StoreUnavailableError
from raysurf.failure import Failure
from raysurf.redaction import redact
from raysurf.sweep.sweep import Resources

Ticket = tuple[int, Task]


class Broker:
    """Holds one task at a time, and passes its reports on; every method is called from another process.

    A task is done by one incarnation of the group after another, until one of them ends it: Ray Train starts the
    group again when a worker is lost. The task that was in flight is then handed out again, as often as its
    ``retries`` allow; being preempted is none of these tries. Rank 0 opens it in each incarnation, so that all ranks of
    one work on the same.
    """

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._number = 0
        self._task: Task | None = None
        self._tries = self._preempted = 0
        self._opened = ("", 0)
        self._held: str | None = None
        self._broken: Report | None = None
        self._reports: asyncio.Queue[tuple[Report, asyncio.Future[bool] | None]] = asyncio.Queue()
        self._asked: asyncio.Future[bool] | None = None

    async def give(self, task: Task) -> None:
        """The trial hands a task out; the one before is over."""
        self._number, self._task = self._number + 1, task
        self._tries, self._preempted, self._broken, self._reports = 0, 0, None, asyncio.Queue()
        async with self._changed:
            self._changed.notify_all()

    async def next(self) -> Report:
        """The trial waits for the next report; ``state`` of the last is done or failed, ``group`` what that holds."""
        report, self._asked = await self._reports.get()
        return report | {"group": self._held}

    async def answer(self, goes_on: bool) -> None:
        """The trial says whether the task goes on after the report that it got last."""
        if not goes_on:
            self._task = None
        if self._asked is not None and not self._asked.done():
            self._asked.set_result(goes_on)

    async def take(self, rank: int, incarnation: str, after: int, held: str | None) -> Ticket:
        """A worker waits for a task.

        Args:
            rank: The worker's.
            incarnation: Its group's, the same for all ranks from one start of the group to the next.
            after: Number of the task that this worker has done last in this incarnation.
            held: What the group holds of the cluster; see ``ray_patches.release``.

        Returns:
            The task and its number.
        """
        while True:
            async with self._changed:
                if rank > 0 and self._opened[0] == incarnation and self._opened[1] > after and self._task:
                    return self._number, self._task
                if rank == 0 and self._task is not None and self._number > after and self._may_try():
                    self._opened, self._held = (incarnation, self._number), held
                    self._changed.notify_all()
                    return self._number, self._task
                await self._changed.wait()

    def _may_try(self) -> bool:
        """Count a try of the task; one that has had its tries ends as failed."""
        assert self._task is not None
        if self._tries > self._task.retries:
            failure = Failure.lost(None, f"at its last of {self._tries} tries")
            lost = {"state": "failed", "number": self._task.number, "failure": failure, "lost": True}
            self._end(self._broken or lost)
            return False
        self._tries += 1
        return True

    async def report(self, number: int, report: Report) -> bool:
        """Rank 0 reports how far the task is, and waits for the answer whether it goes on."""
        if not self._is_in_flight(number):
            return False
        asked: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._reports.put_nowait((report, asked))
        return await asked

    async def ended(self, number: int, report: Report) -> None:
        """Rank 0 reports how the task ended."""
        if self._is_in_flight(number):
            self._end(report)

    async def broke(self, number: int, report: Report) -> None:
        """Any rank reports why it leaves, which brings its group down.

        A failure that another try may do away with is kept in case there is none, and what a rank says of the loss of
        another (no ``failure``) is nothing of its own.
        """
        if self._is_in_flight(number) and report.get("failure") is not None:
            if report.get("passing"):
                self._broken = report
            else:
                self._end(report)

    async def preempted(self, number: int, report: Report) -> None:
        """Rank 0 reports that its group has to leave, and has kept the task's state."""
        if self._is_in_flight(number) and self._preempted < PREEMPTIONS:
            self._preempted += 1
            self._tries -= 1
            self._reports.put_nowait(({**report, "state": "preempted"}, None))

    def _is_in_flight(self, number: int) -> bool:
        return number == self._number and self._task is not None

    def _end(self, report: Report) -> None:
        self._task = None
        self._reports.put_nowait((report, None))


# Seconds between looks at whether the group is still there.
LOOK_S = 2.0
# Seconds that a group waits for nodes that an autoscaler has to start.
NODES_S = "3600"


class TrainGroup:
    """A group of Train workers and the broker that they pull tasks from.

    What it runs on is kept until this process ends and the driver has removed its placement group.
    """

    def __init__(self, resources: Resources, storage: str) -> None:
        self.resources = resources
        self.broker = ray.remote(Broker).options(num_cpus=0).remote()
        self.failure = Failure.lost(None, "the Train group has ended")
        self._thread = threading.Thread(target=self._fit, args=(storage,), daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it still takes tasks."""
        return self._thread.is_alive()

    def _fit(self, storage: str) -> None:
        import ray.train
        from ray.train.torch import TorchTrainer

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
                # The broker counts the tries of each task.
                failure_config=ray.train.FailureConfig(max_failures=-1, controller_failure_limit=3),
                worker_runtime_env={},
            ),
        )
        try:
            trainer.fit()
        except ray.train.TrainingFailedError as error:
            self.failure = Failure.of(error.with_traceback(None))

    def reports(self, task: Task) -> Iterator[Report]:
        """Have a task done; the group goes on only when the next report is asked for.

        Yields:
            Its reports; the last one's ``state`` is done or failed. All name what the ``group`` holds of the cluster.
            Whoever leaves before the last ends the task.
        """
        ray.get(self.broker.give.remote(task))
        goes_on = False
        try:
            while True:
                report = self._next(task)
                yield report
                if report["state"] in ("done", "failed"):
                    goes_on = True
                    return
                self.broker.answer.remote(True)
        finally:
            if not goes_on:
                self.broker.answer.remote(False)

    def _next(self, task: Task) -> Report:
        waiting = self.broker.next.remote()
        while self.is_alive:
            with contextlib.suppress(ray.exceptions.GetTimeoutError):
                report: Report = ray.get(waiting, timeout=LOOK_S)
                return report
        report = {"state": "failed", "number": task.number, "failure": self.failure}
        if StoreUnavailableError.__name__ in self.failure.message:
            said = self.failure.message.strip().splitlines()[-1]
            report["unavailable"] = (task.store, said, "a store with room that answers; then run again")
        return report


# The group of this process, which Tune uses again for one trial after another.
_groups: list[TrainGroup] = []


def group(config: dict[str, Any]) -> None:
    """A Tune function trial that holds no CPU itself and has its task done by this process's Train group."""
    if config["grows"]:
        os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = NODES_S
    prepare()
    from ray import tune

    task: Task = config["task"]
    if not (_groups and _groups[0].is_alive):
        _groups[:] = [TrainGroup(task.resources, config["storage"])]
    for report in _groups[0].reports(task):
        tune.report(report)


class _Ended(BaseException):
    """Ends a task on every rank; no failure, so that nothing on the way takes it for one."""


def serve(config: dict[str, Any]) -> None:
    """One Ray Train worker: its share of every batch of one task after another."""
    import ray.train
    import torch
    import torch.distributed as dist
    from ray.train.torch import get_device

    from raysurf.cluster.shutdown import of_ray_worker
    from raysurf.cluster.task import failed, run_task
    from raysurf.training.workers import Workers

    place, broker, notice = ray.train.get_context(), config["broker"], of_ray_worker()
    torch.set_num_threads(config["cpus"])
    workers = Workers(place.get_world_rank(), place.get_world_size(), get_device(), notice.is_set)
    incarnation = [uuid.uuid4().hex]
    dist.broadcast_object_list(incarnation, src=0)

    def tell(report: Report) -> None:
        asked = workers.rank == 0 and ray.get(broker.report.remote(number, report))
        if not workers.agree(asked):
            raise _Ended

    number, held = 0, held_by_group()
    while True:
        number, task = ray.get(broker.take.remote(workers.rank, incarnation[0], number, held))
        try:
            tell({"state": "begun", "number": task.number})
            with notice.working():
                last = run_task(task, workers, tell, alone=False)
        except _Ended:
            continue
        except Exception as error:
            own = failed(task, error) | ({"failure": None} if _is_anothers(error) else {})
            ray.get(broker.broke.remote(number, own))
            if (text := traceback.format_exc()) != redact(text):
                # Ray logs what is raised as it is.
                raise RuntimeError(str(Failure.of(error))) from None
            raise
        if "preempted" in last:
            if workers.rank == 0:
                ray.get(broker.preempted.remote(number, last))
            workers.barrier()
            # Ray Train starts the group again, on nodes that stay.
            raise PreemptedError(*last["preempted"])
        if workers.rank == 0:
            ray.get(broker.ended.remote(number, last))


def _is_anothers(error: Exception) -> bool:
    """Whether torch's communication failed because another worker is gone."""
    import torch.distributed as dist

    said, frames = str(error).lower(), traceback.extract_tb(error.__traceback__)
    is_torchs = not frames or "/torch/" in frames[-1].filename.replace(os.sep, "/")
    return isinstance(error, dist.DistError) or (is_torchs and any(w in said for w in ("gloo", "nccl", "connection")))
