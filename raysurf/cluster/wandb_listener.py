"""Turns the events of a run into W&B runs, through one sink a sweep that follows the rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from raysurf.cluster.events import Event, Notice, RunEnded, RunProgressed, RunStarted, SweepEnded
from raysurf.jobs.job import Job
from raysurf.results.store import Store
from raysurf.tracking.wandb_sink import WandbSink, home_of, is_logged, offline_notice


class WandbListener:
    """Listens to events; W&B can neither stop nor slow what it listens to.

    A reused run that W&B does not have whole, since an earlier process was killed or had W&B off, is logged now.

    Args:
        store: Whose rows the sinks follow.
        mode: auto, online, offline or off.
        tell: Given the warnings, as notices.
    """

    def __init__(self, store: Store, mode: str, tell: Callable[[Event], None]) -> None:
        self.store, self.mode, self.tell = store, mode, tell
        self.sink: WandbSink | None = None
        kept = home_of(store) / "wandb"
        self.notice = offline_notice(kept.parent) if mode != "off" and any(kept.glob("offline-run-*")) else ""

    def __enter__(self) -> WandbListener:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if self.mode == "off":
            return
        if isinstance(event, RunStarted):
            self._open(event)
        elif isinstance(event, RunProgressed) and self.sink is not None:
            self.sink.rows_changed(event.run_id)
        elif isinstance(event, RunEnded):
            missed = event.reused and any(not is_logged(home_of(self.store), self.store, job.id) for job in event.jobs)
            if missed:
                self._open(event)
            if self.sink is not None and (missed or not event.reused):
                for job in event.jobs:
                    self.sink.close_run(job.id, {"state": event.state, **_summary(event)}, event.state == "failed")
        elif isinstance(event, SweepEnded):
            self._close()

    def _open(self, event: RunStarted | RunEnded) -> None:
        if self.sink is None:
            self.sink = WandbSink(
                self.store.uri, event.sweep.name, mode=self.mode, on_warning=lambda text: self.tell(Notice(text))
            )
            self.notice = self.sink.notice
        for job in event.jobs:
            tags = [event.role, job.model_spec.name, job.data_spec.name]
            self.sink.open_run(
                job.id,
                name=f"{event.sweep.name} {event.label}" + (f" seed {_seed(job)}" if len(event.jobs) > 1 else ""),
                job_type=job.kind,
                tags=tags,
                config=flat(job.tree) | flat(event.params, "param.") | {"arm": event.arm, "group": job.group},
                follow=[*_own_inputs(job, event), job.id],
                expected_rows=max(job.epochs_to_train, job.points_to_measure),
            )

    def _close(self) -> None:
        if self.sink is not None:
            self.sink.close()
            self.sink = None


def _own_inputs(job: Job, event: RunStarted | RunEnded) -> list[str]:
    """The inputs that belong to the trial itself, and to no other, whose epochs are part of its history."""
    from raysurf.sweep.lineage import earlier_generations
    from raysurf.sweep.plan import shared_inputs

    if event.role != "trial":
        return []
    others = {each.id for each in (*shared_inputs(event.sweep), *earlier_generations(job, event.params))}
    return [each.id for each in job.ancestors if each.id not in others]


def _seed(job: Job) -> int:
    return next((each.seed for each in (job, *reversed(job.ancestors)) if hasattr(each, "seed")), 0)


def _summary(event: RunEnded) -> dict[str, float | str]:
    value = {} if event.value is None else {"objective": event.value}
    return {**event.figures, **value, **({"error": event.error} if event.error else {})}


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping as one of scalars, its keys joined by dots; lists become JSON."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = json.dumps(value) if isinstance(value, list) else value
    return found
