"""A request inside Ray, as a Tune function trial on one worker."""

from __future__ import annotations

from typing import Any

from raysurf.cluster.request import Request


class PassingError(RuntimeError):
    """A failure that has been reported, and that another try may do away with."""


def single(config: dict[str, Any]) -> None:
    """A Tune function trial: the jobs of one request on one worker."""
    from raysurf.cluster.preemption import of_ray_worker

    # Before the imports, which take longer than it does.
    notices = of_ray_worker()
    import torch
    from ray import tune

    from raysurf.cluster.perform import perform
    from raysurf.training.workers import Workers

    request: Request = config["request"]
    torch.set_num_threads(request.resources.cpus)
    device = torch.device("cuda" if request.resources.gpus else "cpu")
    if request.time_limit_s is not None:
        tune.report({"state": "begun", "number": request.number})
    with notices.working():
        last = perform(request, Workers(0, 1, device, notices.is_told), tune.report)
    if last.get("passing"):
        tune.report(last)
        # Tune tries it again, in a new process.
        raise PassingError(last["error"])
    # That this is the last report need not be asked.
    tune.report({**last, "done": True})
