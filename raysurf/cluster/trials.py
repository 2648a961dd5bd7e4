"""A request inside Ray: as a Tune function trial on one worker, or as a Ray Train group inside a Tune trial."""

from __future__ import annotations

import uuid
from typing import Any

from raysurf.cluster.environment import prepare
from raysurf.cluster.request import Report, Request
from raysurf.errors import StoreUnavailableError

DRIVER_MEMORY = 300e6


class PassingError(RuntimeError):
    """A failure that has been reported, and that another try may do away with."""


def single(config: dict[str, Any]) -> None:
    """A Tune function trial: the jobs of one request on one worker."""
    import torch
    from ray import tune

    from raysurf.cluster.perform import perform
    from raysurf.cluster.preemption import in_ray_worker
    from raysurf.training.workers import Workers

    request: Request = config["request"]
    torch.set_num_threads(request.resources.cpus)
    device = torch.device("cuda" if request.resources.gpus else "cpu")
    if request.time_limit_s is not None:
        tune.report({"state": "begun", "number": request.number})
    with in_ray_worker() as is_told:
        last = perform(request, Workers(0, 1, device, is_told), tune.report)
    tune.report(last)
    if last.get("passing"):
        # Tune tries it again, in a new process.
        raise PassingError(last["error"])


def group(config: dict[str, Any]) -> None:
    """A Tune function trial that holds no CPU itself and runs a Ray Train group for its request."""
    prepare()
    import ray.train
    from ray import tune
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    request: Request = config["request"]
    needs = request.resources
    per_worker = {"CPU": needs.cpus} | ({"GPU": needs.gpus} if needs.gpus else {})
    trainer = TorchTrainer(
        worker,
        train_loop_config={"request": request},
        torch_config=TorchConfig(backend="nccl" if needs.gpus else "gloo"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=needs.workers, use_gpu=needs.gpus > 0, resources_per_worker=per_worker
        ),
        run_config=ray.train.RunConfig(
            name=f"{request.labels.sweep}-{request.number}-{uuid.uuid4().hex[:8]}",
            storage_path=config["storage"],
            callbacks=[TuneReportCallback()],
            failure_config=ray.train.FailureConfig(max_failures=request.retries, controller_failure_limit=3),
            worker_runtime_env={},
        ),
    )
    try:
        last: Report = trainer.fit().return_value
    except ray.train.TrainingFailedError as error:
        last = {"state": "failed", "number": request.number, "error": f"{type(error).__name__}: {error}"}
        if StoreUnavailableError.__name__ in str(error):
            said = str(error).strip().splitlines()[-1]
            last["unavailable"] = (request.store, said, "a store with room that answers; then run again")
    tune.report(last)
    if last.get("preempted"):
        raise PassingError(last["error"])


def worker(config: dict[str, Any]) -> Report:
    """One Ray Train worker: its share of every batch of the request's jobs."""
    import ray.train
    import torch
    from ray.train.torch import get_device

    from raysurf.cluster.perform import perform
    from raysurf.cluster.preemption import in_ray_worker
    from raysurf.training.workers import Workers

    request: Request = config["request"]
    place = ray.train.get_context()
    torch.set_num_threads(request.resources.cpus)
    if request.time_limit_s is not None:
        ray.train.report({"state": "begun", "number": request.number})
    with in_ray_worker() as is_told:
        workers = Workers(place.get_world_rank(), place.get_world_size(), get_device(), is_told)
        return perform(request, workers, ray.train.report, alone=False)
