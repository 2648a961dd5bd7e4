"""Keeps in the store how much of each sweep is planned, so that anybody who reads it knows what is left."""

from __future__ import annotations

from raysurf.cluster.events import Event, StageStarted
from raysurf.results.store import Store
from raysurf.results.watch import plan_path


class PlanRecord:
    """Listens to the stages of sweeps.

    Args:
        store: Where plans are kept.
        file: Which the sweeps are from, if from any.
    """

    def __init__(self, store: Store, file: str | None = None) -> None:
        self.store, self.file = store, file
        self.inputs: dict[str, int] = {}

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if not isinstance(event, StageStarted):
            return
        name = event.sweep.name
        if event.stage == "inputs":
            self.inputs[name] = event.total
        trials = event.total if event.stage == "trials" else None
        plan = {"sweep": name, "file": self.file, "definition": event.sweep.digest, "inputs": self.inputs.get(name, 0)}
        # Parameters whose logarithm is searched: pictures have logarithmic axes for them.
        log = [name for name, hole in event.sweep.parameters.items() if getattr(hole, "log", False)]
        self.store.put_json(plan_path(name), {**plan, "log": log, **({"trials": trials} if trials is not None else {})})
