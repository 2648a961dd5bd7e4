"""Everything that can be wrong with a sweep, each fault with its path in the document."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from raysurf.errors import SpecError, nearest
from raysurf.jobs.parse import parse
from raysurf.sweep import assignments
from raysurf.sweep import space as holes
from raysurf.sweep.assignments import misfits
from raysurf.sweep.lineage import FIXED, kinds_that_go_on
from raysurf.sweep.search import MAX_TRIALS, Search
from raysurf.values import Path, PathFault, fault, shown

# Those of Optuna's samplers that learn from trials which were only added to their study.
LEARNING = ("tpe", "gp")
EVERY_EPOCH = ("accuracy", "error", "nll", "loss")
# Settings that only some samplers have.
OF_PBT = {"population": "trials a generation", "generations": "generations, each of which trains the job's epochs"}
OF_SAMPLERS = {
    "population": ("nsga2", "pbt"),
    **dict.fromkeys(("generations", "exploit_share", "perturb", "resample"), ("pbt",)),
}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# A file's name has 255 bytes, of which the lock of a study's journal, while it is given back, takes 63 more than it.
LONGEST_NAME = 190


class Sweep(Protocol):
    """What is asked of a sweep."""

    @property
    def name(self) -> str: ...
    @property
    def job(self) -> Any: ...
    @property
    def search(self) -> Search | None: ...
    @property
    def seeds(self) -> tuple[int, ...]: ...
    @property
    def parameters(self) -> dict[str, Any]: ...
    @property
    def is_searched(self) -> bool: ...
    @property
    def arms(self) -> list[dict[str, Any]]: ...
    @property
    def samples(self) -> Sequence[Any]: ...
    def trials_in(self, arm: Mapping[str, Any]) -> int: ...


def did_you_mean(got: object, known: Sequence[str]) -> str:
    """A question that names the nearest known name; empty if none is near."""
    near = nearest(str(got), known)
    return f"did you mean {near!r}?" if near else ""


def sweep_faults(sweep: Sweep) -> list[PathFault]:
    """Find everything wrong with a sweep."""
    faults: list[PathFault] = []
    if not isinstance(sweep.name, str) or not NAME.fullmatch(sweep.name):
        faults.append(fault(("name",), shown(sweep.name), "letters, digits, '.', '_' and '-', the first no sign"))
    elif len(sweep.name) > LONGEST_NAME:
        got = f"{sweep.name[:20]}… of {len(sweep.name)} characters"
        faults.append(fault(("name",), got, f"at most {LONGEST_NAME}, since files are named for it"))
    for i, seed in enumerate(sweep.seeds):
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            faults.append(fault(("seeds", i), shown(seed), "a whole number, 0 or more"))
    if len(set(map(repr, sweep.seeds))) < len(sweep.seeds):
        faults.append(fault(("seeds",), shown(list(sweep.seeds)), "each seed once"))
    if faults := faults + job_faults(sweep.job):
        return faults
    return search_faults(sweep) or _size_faults(sweep)


def job_faults(tree: Any) -> list[PathFault]:
    """Find everything wrong with a job and its holes, whatever is chosen."""
    misplaced, every = [], list(holes.places(tree, path=("job",)))
    axes = {place.name for place in every if isinstance(place.hole, holes.Each)}
    for place in every:
        got = shown(place.hole)
        if place.path[-1] in ("kind", "seed"):
            instead = (
                "use seeds: for replicates" if place.path[-1] == "seed" else "put the hole around the whole mapping"
            )
            misplaced.append(fault(place.path, got, "a plain value: no hole may stand here", instead))
        if not axes.isdisjoint(place.chosen):
            misplaced.append(fault(place.path, got, "a plain value: an option of !each holds no hole"))
    if misplaced:
        return misplaced
    try:
        holes.arms(tree)
        samples = assignments.samples(tree)
    except SpecError as error:
        return [(("job", *found.where.split(".")), found) for found in error.faults]
    faults: dict[tuple[Path, str], PathFault] = {}
    for params in samples:
        for path, found in parse(holes.fill(tree, params), ("job",))[1]:
            where = place_of(tree, params, path)
            faults.setdefault((where, found.expected), (where, found))
    return list(faults.values())


def _size_faults(sweep: Sweep) -> list[PathFault]:
    """Limit on the number of runs of a sweep."""
    seeds, trials = max(1, len(sweep.seeds)), sum(sweep.trials_in(arm) for arm in sweep.arms)
    most = MAX_TRIALS if sweep.is_searched else holes.MAX_SETTINGS
    if trials * seeds <= most:
        return []
    got = f"{trials:,} trials" + (f" x {seeds:,} seeds" if seeds > 1 else "")
    where = ("seeds",) if seeds > 1 else ("search", "trials") if sweep.is_searched else ("job",)
    return [fault(where, got, f"at most {most:,} runs")]


def search_faults(sweep: Sweep) -> list[PathFault]:
    """Find what is wrong with the search of a sweep whose job is sound."""
    search = sweep.search
    if search is None:
        if not sweep.is_searched:
            return []
        searched = ", ".join(k for k, hole in sweep.parameters.items() if not isinstance(hole, holes.Each))
        return [fault(("search",), "nothing", f"search: with a metric and trials, since {searched} is to be found")]
    faults = _metric_faults(sweep, search)
    if not sweep.is_searched:
        faults.append(fault(("search",), "a search", "a hole in the job that is searched", "or leave search: out"))
    elif search.sampler == "grid":
        try:
            assignments.grid(sweep.job)
        except SpecError as error:
            faults += [(("job", *found.where.split(".")), found) for found in error.faults]
    elif search.sampler == "pbt":
        faults += population_faults(sweep, search)
    elif search.trials is None:
        faults.append(fault(("search", "trials"), "nothing", "how many assignments to try"))
    faults += _foreign_faults(search)
    chooses = any(isinstance(hole, holes.Choice) and len(hole.options) > 1 for hole in sweep.parameters.values())
    if search.sampler == "cmaes" and chooses:
        faults.append(fault(("search", "sampler"), "'cmaes'", "tpe, gp or random", "CMA-ES searches numbers alone"))
    faults += _point_faults(sweep, search)
    if search.warm_start and search.sampler not in LEARNING:
        learnt = f"of Optuna's samplers these learn from trials of other sweeps, {search.sampler} does not"
        faults.append(fault(("search", "warm_start"), f"sampler {search.sampler}", " or ".join(LEARNING), learnt))
    if search.stopping is not None and search.metrics[0].partition("/")[2] not in EVERY_EPOCH:
        measured = f"a metric that is measured every epoch: {', '.join(EVERY_EPOCH)}"
        faults.append(fault(("search", "stopping"), f"early stopping by {search.metrics[0]!r}", measured))
    if search.stopping is not None and len(search.metrics) > 1:
        several = f"early stopping by {len(search.metrics)} metrics"
        faults.append(fault(("search", "stopping"), several, "one metric, or no stopping"))
    if search.stopping is not None and len(sweep.seeds) > 1:
        faults.append(fault(("search", "stopping"), "early stopping of a mean over seeds", "one seed, or no stopping"))
    return faults


def _metric_faults(sweep: Sweep, search: Search) -> list[PathFault]:
    jobs = [job for assignment in sweep.samples for job in assignment.jobs]
    every = [job.metric_names() for job in jobs]
    known = [name for name in every[0] if all(name in names for names in every)]
    allowed = [name for name in known if not name.startswith("test/")]
    faults = []
    for i, metric in enumerate(search.metrics):
        where = ("search", "metric") if isinstance(search.metric, str) else ("search", "metric", i)
        if metric in known and metric.startswith("test/"):
            better = metric.replace("test/", "validation/")
            reason = f"a search that looks at the test split leaves nothing to test with; use {better!r}"
            faults.append(fault(where, shown(metric), "a train or validation metric", reason))
        elif metric not in known:
            faults.append(fault(where, shown(metric), f"one of {', '.join(allowed)}", did_you_mean(metric, allowed)))
        elif metric.startswith("validation/") and any(job.data_spec.validation == 0 for job in jobs):
            faults.append(fault(where, shown(metric), "a held-out split to measure on", "data has validation: 0"))
        elif metric in search.metrics[:i]:
            faults.append(fault(where, f"{metric!r} again", "each metric once"))
    several = len(search.metrics)
    if isinstance(search.mode, tuple) and len(search.mode) != several:
        faults.append(fault(("search", "mode"), shown(list(search.mode)), f"one for each of {several} metrics"))
    if isinstance(search.mode, str) and several > 1:
        faults.append(fault(("search", "mode"), shown(search.mode), f"a list, one for each of {several} metrics"))
    if search.sampler in ("cmaes", "pbt") and several > 1:
        objective = "CMA-ES has one objective" if search.sampler == "cmaes" else "a population is ranked by one metric"
        faults.append(fault(("search", "sampler"), f"'{search.sampler}'", "nsga2, tpe, gp or random", objective))
    return faults


def _point_faults(sweep: Sweep, search: Search) -> list[PathFault]:
    where = ("search", "points")
    if search.points and search.sampler == "grid":
        return [fault(where, "points of a grid", "no points", "a grid tries every assignment")]
    most, of = (search.population, "members") if search.sampler == "pbt" else (search.trials, "trials")
    if most is not None and len(search.points) > most:
        return [fault(where, f"{len(search.points)} points", f"at most {most}, as many as {of}")]
    return [
        fault((*where, i, each.where), each.got, each.expected, each.hint)
        for i, point in enumerate(search.points)
        for each in misfits(sweep.job, point)
    ]


def _foreign_faults(search: Search) -> list[PathFault]:
    """Settings that are another sampler's."""
    stated = search.model_fields_set
    return [
        fault(("search", name), f"{name} with {search.sampler}", f"sampler: {' or '.join(samplers)}, or no {name}")
        for name, samplers in OF_SAMPLERS.items()
        if name in stated and search.sampler not in samplers
    ]


def population_faults(sweep: Sweep, search: Search) -> list[PathFault]:
    """Find what is wrong with a search by population-based training."""
    faults: list[PathFault] = []
    for name in ("population", "generations"):
        if name not in search.model_fields_set or getattr(search, name) is None:
            faults.append(fault(("search", name), "nothing", f"a number of {OF_PBT[name]}"))
    if search.trials is not None:
        product = "no trials: they are population times generations"
        faults.append(fault(("search", "trials"), shown(search.trials), product))
    if "batch" in search.model_fields_set:
        faults.append(fault(("search", "batch"), shown(search.batch), "no batch: a generation is suggested at a time"))
    if not 0 < search.perturb[0] < 1 < search.perturb[1]:
        factors = "two factors above 0, the first below 1 and the second above"
        faults.append(fault(("search", "perturb"), shown(list(search.perturb)), factors))
    if search.stopping is not None:
        instead = "the worst of a generation are replaced when it ends"
        faults.append(fault(("search", "stopping"), "early stopping of a population", "no stopping", instead))
    jobs = {job.kind: job for assignment in sweep.samples for job in assignment.jobs}
    able_kinds = kinds_that_go_on()
    for kind in jobs.keys() - set(able_kinds):
        able = f"one of {', '.join(able_kinds)}, which can start from the weights of their own kind"
        faults.append(fault(("job", "kind"), f"{kind} with sampler pbt", able))
    if any(getattr(job, "budget", None) is not None for job in jobs.values()):
        faults.append(fault(("job", "budget"), "budget with sampler pbt", "epochs, which every generation trains"))
    for name, hole in sweep.parameters.items():
        field = name.partition(".")[0]
        if not isinstance(hole, holes.Each) and (not field or field in FIXED):
            fixed = "a plain value, the same for all generations" if field else "one job, with holes in it"
            faults.append(fault(("job", *name.split(".")) if name else ("job",), f"{hole} with sampler pbt", fixed))
    return faults


def place_of(tree: Any, params: Mapping[str, Any], path: Path) -> Path:
    """Where a path of the filled job stands in the document: the options chosen on the way are put in."""
    place: list[str | int] = [path[0]]
    name: list[str] = []
    node = tree
    for step in (None, *path[1:]):
        if step is not None:
            place.append(step)
            name.append(str(step))
            inside = step in node if isinstance(node, Mapping) else isinstance(node, list) and step in range(len(node))
            node = node[step] if inside else None
        while isinstance(node, holes.Choice | holes.Each):
            label = params[".".join(name)]
            place.append(holes.labels(node).index(label))
            name.append(str(label))
            node = node.by_label[label]
    return tuple(place)
