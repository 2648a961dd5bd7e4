"""Everything that can be wrong with a sweep, each fault with its path in the document."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from raysurf import plugs
from raysurf.errors import SpecError, nearest
from raysurf.jobs.parse import parse
from raysurf.sweep import assignments, space
from raysurf.sweep.assignments import misfits
from raysurf.sweep.search import MAX_TRIALS, Search, Sweep
from raysurf.values import Path, PathFault, fault, shown

EVERY_EPOCH = ("accuracy", "error", "nll", "loss")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# A file's name has 255 bytes, of which the lock of a study's journal, while it is given back, takes 63 more than it.
LONGEST_NAME = 190


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
    misplaced, every = [], list(space.places(tree, path=("job",)))
    axes = {place.name for place in every if isinstance(place.hole, space.Each)}
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
        space.configurations(tree)
        samples = assignments.samples(tree)
    except SpecError as error:
        return [(("job", *wrong.where.split(".")), wrong) for wrong in error.faults]
    faults: dict[tuple[Path, str], PathFault] = {}
    for params in samples:
        for path, wrong in parse(space.fill(tree, params), ("job",))[1]:
            where = place_of(tree, params, path)
            faults.setdefault((where, wrong.expected), (where, wrong))
    return list(faults.values())


def _size_faults(sweep: Sweep) -> list[PathFault]:
    """Limit on the number of runs of a sweep."""
    seeds, trials = (
        max(1, len(sweep.seeds)),
        sum(sweep.trials_in(configuration) for configuration in sweep.configurations),
    )
    most = MAX_TRIALS if sweep.is_searched else space.MAX_SETTINGS
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
        searched = ", ".join(k for k, hole in sweep.parameters.items() if not isinstance(hole, space.Each))
        return [fault(("search",), "nothing", f"search: with a metric and trials, since {searched} is to be found")]
    faults = _metric_faults(sweep, search)
    if not sweep.is_searched:
        faults.append(fault(("search",), "a search", "a hole in the job that is searched", "or leave search: out"))
    else:
        faults += search.method.faults(sweep, search)
    faults += _foreign_faults(search)
    chooses = any(isinstance(hole, space.Choice) and len(hole.options) > 1 for hole in sweep.parameters.values())
    kind, method = search.method.kind, search.method
    if method.NUMBERS and chooses:
        faults.append(fault(("search", "sampler"), repr(kind), "tpe, gp or random", method.NUMBERS))
    faults += _point_faults(sweep, search)
    if search.warm_start and not method.LEARNS:
        learning = " or ".join(name for name, cls in plugs.every("samplers") if cls.LEARNS)
        learnt = f"of the samplers these learn from trials of other sweeps, {kind} does not"
        faults.append(fault(("search", "warm_start"), f"sampler {kind}", learning, learnt))
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
    if search.method.ONE_METRIC and several > 1:
        kind, why = search.method.kind, search.method.ONE_METRIC
        faults.append(fault(("search", "sampler"), repr(kind), "nsga2, tpe, gp or random", why))
    return faults


def _point_faults(sweep: Sweep, search: Search) -> list[PathFault]:
    where = ("search", "points")
    if search.points and search.method.LISTS:
        return [fault(where, "points of a grid", "no points", "a grid tries every assignment")]
    most, of = search.method.most_points(search)
    if most is not None and len(search.points) > most:
        return [fault(where, f"{len(search.points)} points", f"at most {most}, as many as {of}")]
    return [
        fault((*where, i, misfit.where), misfit.got, misfit.expected, misfit.hint)
        for i, point in enumerate(search.points)
        for misfit in misfits(sweep.job, point)
    ]


def _foreign_faults(search: Search) -> list[PathFault]:
    """Settings that are another sampler's."""
    every = dict(plugs.every("samplers"))
    able = {name: [kind for kind, cls in every.items() if name in cls.SETTINGS] for name in search.model_fields_set}
    kind = search.method.kind
    return [
        fault(("search", name), f"{name} with {kind}", f"sampler: {' or '.join(kinds)}, or no {name}")
        for name, kinds in able.items()
        if kinds and kind not in kinds
    ]


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
        while isinstance(node, space.Choice | space.Each):
            label = params[".".join(name)]
            place.append(space.labels(node).index(label))
            name.append(str(label))
            node = node.by_label[label]
    return tuple(place)
