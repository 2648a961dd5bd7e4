"""Which runs a picture shows: those that have rows of the table it is drawn from, chosen by kind, sweep and id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from raysurf.errors import StoreError, nearest
from raysurf.results.reader import Reader
from raysurf.results.trials import require_known
from raysurf.store.parts import job_in, mapping_in, values_in

COLUMNS = ("run_id", "sweep", "arm", "group", "model", "data", "seed", "spec", "inputs", "metrics", "params")


@dataclass(frozen=True)
class Wanted:
    """What the runs of a picture must have: rows of a table, for which ``where`` holds, in SQL.

    Args:
        job: Kind of their jobs; empty if it does not matter.
        rows: What the rows are called in messages.
        jobs: What kinds of job write such rows, in messages; ``job`` if not given.
    """

    table: str = "surface"
    where: str = "true"
    job: str = ""
    rows: str = "measured points"
    jobs: str = ""

    @property
    def run(self) -> str:
        """What one such run is called in messages."""
        return f"{self.job} run" if self.job else f"run with {self.rows}"

    def __str__(self) -> str:
        return f"{self.rows} of a {self.job} run" if self.job else self.rows


@dataclass(frozen=True)
class MeasuredRun:
    """A run with rows to draw; one that still runs has no row of ``runs`` yet, and so little to tell.

    Args:
        run_id: Its id, ``<kind>-<16 hex digits>``.
        sweeps: Those that it belongs to, the one that ran it first before the others.
        arm: Readable name of its configuration.
        group: The same for all replicates of its configuration; empty if not known.
        inputs: Runs whose outcomes it used.
        spec: The whole job.
        metrics: By ``split/name``.
        params: The searched values.
    """

    run_id: str
    sweeps: tuple[str, ...] = ()
    arm: str = ""
    group: str = ""
    model: str = ""
    data: str = ""
    seed: int | None = None
    inputs: tuple[str, ...] = ()
    spec: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The kind of its job."""
        return self.run_id.partition("-")[0]


def measured_runs(results: Reader, wanted: Wanted) -> list[MeasuredRun]:
    """Every run that has the wanted rows, of whatever kind, running ones too, in the order in which they were run."""
    sweeps: dict[str, list[str]] = {}
    trials = results.table("trials", ["sweep", "trial", "run_ids"]).to_pylist()
    for trial in sorted(trials, key=lambda row: row["trial"]):
        for run_id in trial["run_ids"]:
            sweeps.setdefault(run_id, []).append(trial["sweep"])
    listed = ", ".join(f'runs."{column}"' for column in COLUMNS)
    query = f"""select measured.run_id as measured_id, {listed}
        from (select distinct run_id from {wanted.table} where {wanted.where}) as measured
        left join runs using (run_id) order by started_at nulls last, trial nulls last, seed, measured_id"""
    runs, uri = [], results.store.uri
    for row in results.sql(query).to_pylist():
        run_id = row.pop("measured_id")
        own, is_known = row.pop("sweep"), row.pop("run_id") is not None
        columns: dict[str, Any] = {"sweeps": tuple(dict.fromkeys(filter(None, [own, *sweeps.get(run_id, [])])))}
        if is_known:
            columns |= row | {"inputs": tuple(row["inputs"]), "spec": job_in(row["spec"], uri, run_id)}
            columns |= {"metrics": mapping_in(row["metrics"], uri, run_id)}
            columns |= {"params": values_in(row["params"], uri, run_id)}
        runs.append(MeasuredRun(run_id, **columns))
    return runs


def choose(
    results: Reader, wanted: Wanted, sweeps: Sequence[str] = (), run_ids: Sequence[str] = ()
) -> list[MeasuredRun]:
    """The runs that a picture shows, those of the first sweep named before those of the next.

    Args:
        results: The store.
        wanted: What they must have.
        sweeps: Show the runs of these sweeps, ...
        run_ids: ... and these runs, by id, its beginning, or the beginning of its hex digits. With neither, all.

    Raises:
        UnknownNameError: If there is no such sweep.
        StoreError: If a run is not there, is ambiguous or of another kind, or there is nothing to draw.
    """
    everything = measured_runs(results, wanted)
    require_known(sweeps, [row for name in ("runs", "trials") for row in results.table(name, ["sweep"]).to_pylist()])
    named = {_the_run(results, everything, wanted, given).run_id for given in run_ids}
    fitting = [run for run in everything if wanted.job in ("", run.kind)]
    if sweeps or run_ids:
        fitting = [run for run in fitting if run.run_id in named or set(sweeps).intersection(run.sweeps)]
    if not fitting:
        where = f" in {', '.join(sweeps)}" if sweeps else ""
        others = ", ".join(sorted({run.kind for run in everything})) or "nothing"
        expected = f"a sweep of {wanted.jobs or wanted.job} jobs that has run (measured so far: {others})"
        raise StoreError(results.store.uri, f"no {wanted}{where}", expected)
    order = {name: place for place, name in reversed(list(enumerate(sweeps)))}
    return sorted(
        fitting, key=lambda run: min((order[name] for name in run.sweeps if name in order), default=len(order))
    )


def _the_run(results: Reader, everything: Sequence[MeasuredRun], wanted: Wanted, given: str) -> MeasuredRun:
    matches = [r for r in everything if r.run_id.startswith(given) or r.run_id.partition("-")[2].startswith(given)]
    fitting = [run for run in matches if wanted.job in ("", run.kind)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        got, listed = f"{given!r}, which begins {len(fitting)} runs", [run.run_id for run in fitting]
    else:
        got = f"{matches[0].run_id}, a {matches[0].kind} run" if matches else f"no measured run {given!r}"
        listed = [run.run_id for run in everything if wanted.job in ("", run.kind)]
    near = nearest(given, listed)
    shown = sorted(listed, key=lambda run_id: run_id != near)[:8]
    more = f" and {len(listed) - len(shown)} more" if len(listed) > len(shown) else ""
    raise StoreError(results.store.uri, got, f"one {wanted.run} of {', '.join(shown) or '(none yet)'}{more}")
