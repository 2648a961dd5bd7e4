"""The rows of one sweep, as the report reads them: its trials, their runs, and the runs that these came from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

from raysurf.results.comparison.runs import members
from raysurf.results.plans import plan_of, planned_baselines
from raysurf.results.reader import Reader
from raysurf.results.trials import values_of
from raysurf.store import Row
from raysurf.store.parts import mapping_in, values_in

# Metrics that tables of trials show, as far as the runs have them.
METRICS = (
    "validation/accuracy",
    "validation/nll",
    "test/accuracy",
    "test/nll",
    "train/elbo",
    "train/max_loss",
    "train/entezari_barrier_loss",
    "train/saddle_nll",
    "test/max_error",
    "test/frankle_barrier_error",
)


@dataclass(frozen=True)
class Trial:
    """A trial, a run a seed.

    Args:
        arm: Readable name of its configuration.
        params: The searched values.
        values: The searched metrics, mean over seeds; None where there is none, or it is not finite.
        std: Standard deviation of the first of them over seeds, if it is known.
        state: running, done, failed or stopped.
        metrics: ``METRICS`` of its runs, mean over seeds.
    """

    number: int
    arm: str
    params: dict[str, Any]
    run_ids: tuple[str, ...]
    values: tuple[float | None, ...]
    std: float | None
    state: str
    error: str
    wall_s: float | None
    metrics: dict[str, float]

    @property
    def tip(self) -> str:
        """Its configuration, its searched values, and how it ended, a line each."""
        lines = [f"trial {self.number}: {self.arm}, {self.state}"]
        lines += [f"{name} = {short(value)}" for name, value in self.params.items()]
        return "\n".join([*lines, *self.error.strip().splitlines()[-1:]])


@dataclass(frozen=True)
class SweepRows:
    """A sweep.

    Args:
        metrics: What it searches; none if it does not search.
        modes: ``max`` or ``min``, one a metric.
        trials: In the order of their numbers.
        runs: The rows of ``runs`` of its trials, its baselines, and all that these came from, by id.
        measured_baselines: Its finished baselines, one a configuration, as trials whose number says nothing.
        planned_baselines: Ids of its baselines by its plan, which other sweeps may have run first.
        log: Parameters whose logarithm is searched.
    """

    name: str
    metrics: tuple[str, ...]
    modes: tuple[str, ...]
    trials: tuple[Trial, ...]
    runs: dict[str, Row]
    measured_baselines: tuple[Trial, ...] = ()
    planned_baselines: tuple[str, ...] = ()
    log: frozenset[str] = frozenset()

    @property
    def states(self) -> Counter[str]:
        """Trials by state."""
        return Counter(trial.state for trial in self.trials)

    @property
    def tips(self) -> dict[int, str]:
        """What a pointer shows of the trials, by number."""
        return {trial.number: trial.tip for trial in self.trials}

    @property
    def params(self) -> list[str]:
        """Names of the searched values, in the order in which they appear."""
        return list(dict.fromkeys(name for trial in self.trials for name in trial.params))

    @property
    def other_metrics(self) -> list[str]:
        """``METRICS`` that some trial has and that are not searched."""
        there = {name for trial in self.trials for name in trial.metrics}
        return [name for name in METRICS if name in there and name not in self.metrics]

    @property
    def ranked(self) -> list[Trial]:
        """Finished trials, the best first; without a search, and of several metrics, by the first metric there is."""
        done = [trial for trial in self.trials if trial.state == "done"]
        if not self.metrics:
            return done
        sign = -1.0 if self.modes[0] == "max" else 1.0
        return sorted(done, key=lambda trial: (trial.values[0] is None, sign * (trial.values[0] or 0.0), trial.number))

    def baselines(self) -> list[str]:
        """Ids of the runs beside the trials, to compare with."""
        own = {run_id for run_id, row in self.runs.items() if row["role"] == "baseline" and row["sweep"] == self.name}
        return [run_id for run_id in self.runs if run_id in own or run_id in self.planned_baselines]

    def came_from(self, run_ids: Sequence[str]) -> list[str]:
        """Runs that others came from, by way of their inputs, the first ones first."""
        earlier: dict[str, None] = {}
        left = [needed for run_id in run_ids if run_id in self.runs for needed in self.runs[run_id]["inputs"]]
        while left:
            run_id = left.pop()
            if run_id in self.runs and run_id not in earlier:
                earlier[run_id] = None
                left += self.runs[run_id]["inputs"]
        return list(earlier)[::-1]


def sweep_rows(results: Reader, name: str) -> SweepRows:
    """Read a sweep.

    Raises:
        UnknownNameError: If there is no such sweep.
        StoreError: If a row cannot be read.
    """
    ids, uri = members(results, [name]) or (), results.store.uri
    runs = {row["run_id"]: row for row in results.table("runs").to_pylist() if row["run_id"] in ids}
    order = sorted(runs.values(), key=lambda row: (row["started_at"] is None, row["started_at"] or 0, row["run_id"]))
    runs = {row["run_id"]: row for row in order}
    metrics = {run_id: _metrics(mapping_in(row["metrics"], uri, run_id)) for run_id, row in runs.items()}
    rows = [row for row in results.table("trials").to_pylist() if row["sweep"] == name]
    rows.sort(key=lambda row: row["trial"])
    searched = next((row for row in rows if row["metric"]), None)
    names = tuple(searched["metric"].split(", ")) if searched else ()
    modes = tuple(searched["mode"].split(", ")) if searched else ()
    trials = []
    for row in rows:
        values = [*values_of(row), *[None] * len(names)][: len(names)]
        trials.append(
            Trial(
                number=row["trial"],
                arm=row["arm"],
                params=values_in(row["params"], uri, f"trial {row['trial']}"),
                run_ids=tuple(row["run_ids"]),
                values=tuple(v if v is not None and math.isfinite(v) else None for v in values),
                std=row["std"],
                state=row["state"],
                error=row["error"] or "",
                wall_s=row["wall_s"],
                metrics=_means((metrics[run_id] for run_id in row["run_ids"] if run_id in metrics), METRICS),
            )
        )
    planned = tuple(planned_baselines(results.store, name))
    sweep = SweepRows(name, names, modes, tuple(trials), runs, planned_baselines=planned)
    # Ranges of which the stored plan, where there is one, says that their logarithm is searched.
    log = plan_of(results.store, name).get("log")
    log = frozenset(map(str, log)) if isinstance(log, list) else frozenset()
    return replace(sweep, measured_baselines=tuple(_baselines(sweep, metrics)), log=log)


def short(value: Any) -> str:
    """A searched value as text."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def are_numbers(values: Iterable[Any]) -> bool:
    """Whether all are numbers; a boolean is none."""
    return set(map(type, values)) <= {int, float}


def cut(text: str, most: int) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _baselines(sweep: SweepRows, metrics: Mapping[str, Mapping[str, float]]) -> Iterator[Trial]:
    groups: dict[str, list[str]] = {}
    for run_id in sweep.baselines():
        if sweep.runs[run_id]["status"] == "done":
            groups.setdefault(sweep.runs[run_id]["group"], []).append(run_id)
    for run_ids in groups.values():
        mine, name = [metrics[run_id] for run_id in run_ids], sweep.runs[run_ids[0]]["arm"]
        means = _means(mine, sweep.metrics)
        first = [run[metric] for metric in sweep.metrics[:1] for run in mine if metric in run]
        values = tuple(means.get(metric) for metric in sweep.metrics)
        std = stdev(first) if len(first) > 1 else None
        yield Trial(-1, name, {}, tuple(run_ids), values, std, "done", "", None, _means(mine, METRICS))


def _means(runs: Iterable[Mapping[str, float]], names: Sequence[str]) -> dict[str, float]:
    """Means over the runs that have a metric, of those that some have."""
    known = list(runs)
    by_name = {name: [metrics[name] for metrics in known if name in metrics] for name in names}
    return {name: fmean(values) for name, values in by_name.items() if values}


def _metrics(said: Mapping[str, Any]) -> dict[str, float]:
    """A run's finite metrics under today's names: older runs call Entezari's barrier ``barrier``."""
    known = {name: float(v) for name, v in said.items() if isinstance(v, int | float) and math.isfinite(v)}
    return {name.replace("/barrier_", "/entezari_barrier_"): value for name, value in known.items()} | known
