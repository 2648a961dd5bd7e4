"""Warm start: finished trials of other sweeps that a search learns from, chosen once and kept with its definition."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raysurf.errors import Fault, SpecError, nearest
from raysurf.store import Row
from raysurf.store.parts import mapping_in
from raysurf.store.store import Store
from raysurf.store.tables import part_names, read_rows
from raysurf.sweep.assignments import fitted, is_whole
from raysurf.sweep.space import Each
from raysurf.sweep.sweep import Sweep

FOLDER = "searches"


@dataclass(frozen=True)
class KnownTrial:
    """A finished trial of another sweep, or of an earlier definition of the same.

    Args:
        params: Its whole assignment, ``Each`` axes included.
        values: One for every metric of the search that learns from it.
        source: The sweep that it was a trial of.
    """

    params: Mapping[str, Any]
    values: tuple[float, ...]
    source: str


@dataclass(frozen=True)
class WarmStart:
    """The known trials of a search, which it learns from before its first suggestion; they are none of its own.

    Args:
        taken: Those that fit.
        left_out: How many others there were, by why they were left out.
    """

    taken: tuple[KnownTrial, ...]
    left_out: Mapping[str, int]

    def of_configuration(self, sweep: Sweep, configuration: Mapping[str, Any]) -> list[KnownTrial]:
        """What fits one configuration, without the configuration's own parameters."""
        return [
            KnownTrial(fitted(sweep.job, searched), trial.values, trial.source)
            for trial in self.taken
            if (searched := _searched(sweep, trial.params, configuration)) is not None
        ]

    def __str__(self) -> str:
        """One line: how many from where, and how many were left out why."""
        taken = Counter(trial.source for trial in self.taken)
        text = " and ".join(f"{count} of {source}" for source, count in taken.items()) or "none"
        left = ", ".join(f"{count} {why}" for why, count in self.left_out.items())
        return f"{text} taken" + (f"; left out: {left}" if left else "")


def warm_start(store: Store, sweep: Sweep) -> WarmStart | None:
    """The known trials of a sweep, None if it asks for none.

    What there is at the first start is written down, so that a search that goes on knows the same trials, whatever
    has been added, replaced or deleted meanwhile.
    """
    search = sweep.search
    if search is None or not search.warm_start:
        return None
    path, *earlier = (f"{FOLDER}/{sweep.name}/{digest}.json" for digest in sweep.definitions)
    if (there := next(filter(store.exists, (path, *earlier)), None)) is not None:
        kept = store.get_json(there)
        taken = (KnownTrial(trial["params"], tuple(trial["values"]), trial["source"]) for trial in kept["taken"])
        return WarmStart(tuple(taken), kept["left_out"])
    names = _names(sweep) or (sweep.name,)
    trials, left_out = list[KnownTrial](), Counter[str]()
    for row in _candidates(store, sweep, names):
        trial = _judged(sweep, row, store.uri)
        if isinstance(trial, str):
            left_out[trial] += 1
        elif trial not in trials:
            trials.append(trial)
    store.put_json(path, {"metrics": search.metrics, "taken": [vars(trial) for trial in trials], "left_out": left_out})
    return WarmStart(tuple(trials), dict(left_out))


def require_sources(sweeps: Sequence[Sweep], store: Store) -> None:
    """Check that every sweep named in a warm start is in the same file, earlier, or has trials in the store.

    Raises:
        SpecError: With every name that is neither.
    """
    named = [(sweep, name) for sweep in sweeps for name in _names(sweep)]
    if not named:
        return
    stored = {part.rpartition("-")[0] for part in part_names(store, "trials")}
    faults = []
    for sweep, name in named:
        earlier = {other.name for other in sweeps[: list(sweeps).index(sweep)]}
        known = sorted(stored | earlier)
        if name not in known and name != sweep.name:
            near = nearest(name, known)
            hint = f"did you mean {near!r}?" if near else ""
            expected = f"a sweep with trials in {store.uri}: {', '.join(known) or 'there is none yet'}"
            faults.append(Fault(f"{sweep.name}.search.warm_start", repr(name), expected, hint))
    if faults:
        raise SpecError(faults)


def _names(sweep: Sweep) -> tuple[str, ...]:
    asked = sweep.search.warm_start if sweep.search else False
    return asked if isinstance(asked, tuple) else ()


def _candidates(store: Store, sweep: Sweep, names: Sequence[str]) -> Iterator[Row]:
    """Rows of trials of some sweeps, this one's own definition left out, and what earlier definitions knew."""
    for part in part_names(store, "trials"):
        if part.rpartition("-")[0] in names:
            yield from (row for row in read_rows(store, "trials", part) if row["definition"] not in sweep.definitions)
    if sweep.name in names:
        for path in store.list(f"{FOLDER}/{sweep.name}"):
            kept = store.get_json(path)
            for trial in kept["taken"]:
                yield {
                    "sweep": trial["source"],
                    "state": "done",
                    "params": json.dumps(trial["params"]),
                    "metric": ", ".join(kept["metrics"]),
                    "values": trial["values"],
                }


def _judged(sweep: Sweep, row: Row, uri: str) -> KnownTrial | str:
    """The known trial of a row, or why it is none."""
    assert sweep.search is not None
    if row["state"] != "done":
        return "not done"
    values = row.get("values") or [row["value"]]
    by_metric = dict(zip(row["metric"].split(", "), values, strict=False))
    wanted = [by_metric.get(metric) for metric in sweep.search.metrics]
    finite = tuple(value for value in wanted if value is not None)
    if len(finite) < len(wanted):
        return "of another metric"
    if not all(map(math.isfinite, finite)):
        return "without a finite value"
    params = mapping_in(row["params"], uri, f"a trial of {row['sweep']}")
    if all(_searched(sweep, params, configuration) is None for configuration in sweep.configurations):
        return "outside the space"
    return KnownTrial(params, finite, row["sweep"])


def _searched(sweep: Sweep, params: Mapping[str, Any], configuration: Mapping[str, Any]) -> dict[str, Any] | None:
    """The searched part of an assignment, if it is a whole one of a configuration; None if it is not."""
    axes = {name for name, hole in sweep.parameters.items() if isinstance(hole, Each)}
    if any(params[name] != label for name, label in configuration.items() if name in params):
        return None
    searched = {name: value for name, value in params.items() if name not in axes}
    return searched if is_whole(sweep.job, searched) else None
