"""Turns the events of a run into W&B runs, through one sink a sweep that follows the rows."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from raysurf.cluster.events import Event, Notice, RunEnded, RunProgressed, RunStarted, SweepEnded
from raysurf.jobs.job import Job, seed_of
from raysurf.jobs.outcome import metrics_of, outcome_path
from raysurf.store.store import Store
from raysurf.sweep.lineage import own_values
from raysurf.sweep.space import Choice, Each, Hole, labels
from raysurf.sweep.sweep import Sweep
from raysurf.tracking.login import require_mode
from raysurf.tracking.native_sweep import native_config, param_key
from raysurf.tracking.run_contents import home_of, is_logged, offline_notice
from raysurf.tracking.wandb_runs import TrackedRun, WandbSink


class WandbListener:
    """Listens to events; W&B can neither stop nor slow what it listens to.

    A reused run that W&B does not have whole, since an earlier process was killed or had W&B off, is logged now; one
    that another sweep has logged is logged once more, since a run of W&B's is in one group.

    Args:
        store: Whose rows the sinks follow.
        mode: auto, online, offline or off.
        tell: Given the warnings, as notices.
        with_weights: Whether the weights that runs keep are sent as artifacts.

    Raises:
        TrackingError: If the environment asks for what W&B does not know.
    """

    def __init__(self, store: Store, mode: str, tell: Callable[[Event], None], with_weights: bool = False) -> None:
        if mode != "off":
            require_mode()
        self.store, self.mode, self.tell, self.with_weights = store, mode, tell, with_weights
        self.sink: WandbSink | None = None
        self._drawn = tempfile.TemporaryDirectory(prefix="raysurf-pictures-", ignore_cleanup_errors=True)
        kept = home_of(store) / "wandb"
        self.notice = offline_notice(kept.parent) if mode != "off" and any(kept.glob("offline-run-*")) else ""

    def __enter__(self) -> WandbListener:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        self._drawn.cleanup()

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if self.mode == "off":
            return
        if isinstance(event, RunStarted):
            self._open(event)
        elif isinstance(event, RunProgressed) and self.sink is not None:
            self.sink.rows_changed(event.run_id)
        elif isinstance(event, RunEnded):
            home, sweep = home_of(self.store), event.sweep.name
            missed = event.reused and any(not is_logged(home, self.store, job.id, sweep) for job in event.jobs)
            if missed:
                self._open(event)
            if self.sink is not None and (missed or not event.reused):
                for job in event.jobs:
                    value = {} if event.value is None else {"objective": event.value}
                    error = {"error": event.error} if event.error else {}
                    # The event's metrics are one seed's.
                    metrics = metrics_of(self.store, job.id) or (event.metrics if len(event.jobs) == 1 else {})
                    summary = {"state": event.state, **metrics, **value, **error}
                    self.sink.close_run(job.id, summary, event.state == "failed")
        elif isinstance(event, SweepEnded):
            self._close()

    def _open(self, event: RunStarted | RunEnded) -> None:
        if self.sink is None:
            self.sink = WandbSink(
                self.store.uri,
                event.sweep.name,
                mode=self.mode,
                native=native_config_of(event.sweep),
                pictures=self._pictures,
                with_weights=self.with_weights,
                on_warning=lambda text: self.tell(Notice(text)),
            )
        for job in event.jobs:
            own = [needed for needed in _own_inputs(job, event) if not self._is_anothers(needed, event)]
            spent = [] if job.budget_spent is None else [f"budget:{job.budget_spent:.4g}"]
            tracked = TrackedRun(
                job.id,
                name=f"{event.sweep.name} {event.label}" + (f" seed {seed_of(job)}" if len(event.jobs) > 1 else ""),
                job_type=job.kind,
                tags=[event.role, job.kind, job.model_spec.name, job.data_spec.shown, *spent],
                config=config_of(job, event),
                follow=[*(followed.id for followed in own), job.id],
                inputs=[needed.id for needed in job.ancestors],
                expected_rows=sum(followed.epochs_to_train + followed.points_to_measure for followed in (*own, job)),
                is_trial=event.role == "trial",
            )
            self.sink.open_run(tracked)

    def _is_anothers(self, job: Job, event: RunStarted | RunEnded) -> bool:
        """Whether a shared input was trained before this trial began."""
        began = isinstance(event, RunStarted)
        return began and job.id in event.sweep.fixed_jobs and self.store.exists(outcome_path(job.id))

    def _pictures(self, run_id: str) -> Mapping[str, Path]:
        from raysurf.report.draw import pictures_of_run
        from raysurf.results.api import open

        return pictures_of_run(open(self.store.uri), run_id, Path(self._drawn.name))

    def _close(self) -> None:
        if self.sink is not None:
            self.sink.close()
            self.notice = self.sink.notice
            self.sink = None


def native_config_of(sweep: Sweep) -> dict[str, Any] | None:
    """A sweep as W&B knows one, so that its page shows the trials as those of a sweep of its own."""
    search = sweep.search
    metric, mode = (search.metrics[0], search.directions[0]) if search else ("", "max")
    has_objective = search is not None and len(search.metrics) == 1
    ranges = {name: _range(hole) for name, hole in sweep.parameters.items()}
    return native_config(sweep.name, ranges, metric if has_objective else "", mode)


def _range(hole: Hole) -> dict[str, Any]:
    if isinstance(hole, Choice | Each):
        is_plain = all(isinstance(option, bool | int | float | str) for option in hole.options)
        return {"values": list(hole.options) if is_plain else labels(hole)}
    bounds = {"min": hole.low, "max": hole.high}
    return {**bounds, "distribution": "log_uniform_values"} if hole.log else bounds


def config_of(job: Job, event: RunStarted | RunEnded) -> dict[str, Any]:
    """A run's config: the whole job by dotted path, and under fixed names what one compares and searches by."""
    searched = {param_key(name): value for name, value in flat(own_values(event.params)).items()}
    budget = job.budget_spent
    return {
        **flat(job.tree),
        **searched,
        "arm": event.arm,
        "group": job.group,
        "sweep": event.sweep.name,
        "role": event.role,
        "trial": event.number if event.role == "trial" else None,
        "network": job.model_spec.name,
        "dataset": job.data_spec.shown,
        "run_seed": seed_of(job),
        "budget": None if budget is None else round(budget, 4),
    }


def _own_inputs(job: Job, event: RunStarted | RunEnded) -> list[Job]:
    """The inputs that belong to the trial itself, and to no other, whose epochs are part of its history."""
    from raysurf.sweep.lineage import earlier_generations
    from raysurf.sweep.plan import shared_inputs

    if event.role != "trial":
        return []
    others = {needed.id for needed in (*shared_inputs(event.sweep), *earlier_generations(job, event.params))}
    return [needed for needed in job.ancestors if needed.id not in others]


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping as one of scalars, its keys joined by dots; lists become JSON."""
    scalars: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            scalars |= flat(value, f"{prefix}{key}.")
        else:
            scalars[f"{prefix}{key}"] = json.dumps(value) if isinstance(value, list) else value
    return scalars
