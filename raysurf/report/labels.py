"""Labels of runs, weights, noises and curves in pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from raysurf.report.pictures.axes import OKABE_ITO
from raysurf.report.runs import MeasuredRun
from raysurf.results.reader import Reader

NAMES = {"gaussian_dropout": "Gaussian dropout", "variance": "variance network"}


def noise_name(spec: Mapping[str, Any]) -> str:
    """Such as "variance network" or "variational dropout, layer + dropout"; the kind where no noise is stated.

    What the JSON of a variational job leaves out is the default: one noise level a weight, Gaussian variance.
    """
    names = []
    for noise in spec.get("noise") or ():
        if isinstance(noise, dict):
            kind, family = str(noise.get("kind", "noise")), noise.get("family", "gaussian")
            name = NAMES.get(kind, kind.replace("_", " "))
            if kind == "variational_dropout":
                name += f", {noise.get('sharing', 'weight')}"
            elif kind == "variance" and family != "gaussian":
                name += f", {family}"
            names.append(name)
    return " + ".join(dict.fromkeys(names)) or str(spec.get("kind", "variational"))


def noisy_layers(spec: Mapping[str, Any]) -> str:
    """Which layers are noisy, such as "conv2, dense1"; empty of other jobs."""
    return ", ".join(str(noise.get("layers")) for noise in spec.get("noise") or () if isinstance(noise, dict))


# Said of a run, given all that are called the same so far.
Detail = Callable[[MeasuredRun, Sequence[MeasuredRun]], str]
MEASURING = ("predict", "noise", "regions")


def labels_of(runs: Sequence[MeasuredRun], drawn: Sequence[Detail] = ()) -> dict[str, str]:
    """Labels by run id: what a run is, and where labels would coincide what tells the runs apart.

    That is the data, the ends of a line, the name of the configuration, the searched values, what is ``drawn`` of
    them, the seed, the ends or, at last, the run's id: the first of them that differs, then the next.
    """
    labels = {run.run_id: what_it_is(run) for run in runs}
    before = DETAILS.index(_seed)
    for detail in (*DETAILS[:before], *drawn, *DETAILS[before:]):
        alike = defaultdict(list)
        for run in runs:
            alike[labels[run.run_id]].append(run)
        for label, same in alike.items():
            said = [detail(run, same) for run in same]
            if len(set(said)) > 1:
                for run, text in zip(same, said, strict=True):
                    labels[run.run_id] = f"{label}, {text}" if text else label
    return labels


def what_it_is(run: MeasuredRun) -> str:
    """Such as "bezier curve, 2 bends" of a profile; the kind where there is no more to say."""
    if run.kind == "plane":
        return _plane(run.spec)
    if run.kind == "variational":
        return noise_name(run.spec)
    if run.kind in MEASURING and isinstance(run.spec.get("weights"), dict):
        return _weights(run.spec["weights"])
    along = {"kind": "path"} if run.kind == "path" else run.spec.get("along")
    if not isinstance(along, dict):
        return run.kind
    if along.get("kind") == "curve":
        return _curve(along)
    if along.get("kind") == "chain":
        listed = next((value for value in along.values() if isinstance(value, list)), [])
        return f"chain of {len(listed)}" if listed else "chain"
    return {"line": "straight line", "path": "minimum-energy path"}.get(str(along.get("kind")), run.kind)


def _weights(spec: Mapping[str, Any]) -> str:
    """What weights are, without their seed."""
    if spec.get("kind") == "variational":
        return noise_name(spec)
    return weights_name(spec) if spec.get("kind") in ("point", "weights") else str(spec.get("kind", "weights"))


def _curve(spec: Mapping[str, Any]) -> str:
    num_bends = spec.get("num_bends", 1)
    return f"{spec.get('shape', 'bezier')} curve, {num_bends} bend{'s' * (num_bends > 1)}"


def _plane(spec: Mapping[str, Any]) -> str:
    """The first curve or path that is drawn on it, else the weights that span it."""
    for drawn in spec.get("draw", ()):
        if drawn.get("kind") in ("curve", "path"):
            return _curve(drawn) if drawn["kind"] == "curve" else "minimum-energy path"
    kinds = [str(weights.get("kind")) for weights in spec.get("weights", ())]
    if not kinds:
        return "plane"
    return f"three {kinds[0]} networks" if len(set(kinds)) == 1 else ", ".join(kinds)


def weights_name(spec: Mapping[str, Any]) -> str:
    """Such as "swa seed 0" or "curve bend1", from the job that weights came of; as landmarks and origins are named."""
    if spec.get("kind") == "point":
        return f"{spec['of']['kind']} {spec['name']}"
    if spec.get("kind") == "weights":
        return PurePath(str(spec.get("file") or spec.get("pretrained") or "weights")).stem
    inner = spec
    while "seed" not in inner and isinstance(inner.get("start"), dict):
        inner = inner["start"]
    return f"{spec.get('kind', 'weights')} seed {inner.get('seed', 0)}"


def ends_of(run: MeasuredRun) -> tuple[str, str] | None:
    """What the two ends are called of what a run measured, if its job says so."""
    along = run.spec.get("along", run.spec)
    start, end = along.get("start"), along.get("end")
    if isinstance(start, dict) and isinstance(end, dict):
        return weights_name(start), weights_name(end)
    return None


def _seed(run: MeasuredRun, same: Sequence[MeasuredRun]) -> str:
    return "" if run.seed is None else f"seed {run.seed}"


def differing(params: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> str:
    """The values that are not the same, or not there, in all others, such as "lr = 0.1, cycle_epochs = 2"."""
    every = list(others)
    kept = {k: v for k, v in params.items() if any(k not in other or other[k] != v for other in every)}
    return ", ".join(f"{k} = {v:.3g}" if isinstance(v, float) else f"{k} = {v}" for k, v in kept.items())


def _ends(run: MeasuredRun, same: Sequence[MeasuredRun]) -> str:
    return " to ".join(ends_of(run) or ())


DETAILS: tuple[Detail, ...] = (
    lambda run, same: run.data or "",
    lambda run, same: _ends(run, same) if what_it_is(run) == "straight line" else "",
    # Of a run that measures those of its weights.
    lambda run, same: noisy_layers(weights if isinstance(weights := run.spec.get("weights"), dict) else run.spec),
    # The name begins with the kind, which has been said.
    lambda run, same: run.arm.removeprefix(f"{run.kind} "),
    lambda run, same: differing(run.params, [other.params for other in same]),
    _seed,
    _ends,
    lambda run, same: run.run_id,
)


def curve_colours(results: Reader) -> dict[str, str]:
    """A colour a curve or path, by the id of its run, in the order in which they were run; later ones change none.

    There are more curves than colours that all can tell apart: in a picture line styles tell those of one colour apart.
    """
    query = "select run_id from runs where kind in ('curve', 'path') order by started_at nulls last, run_id"
    ids = results.sql(query)["run_id"].to_pylist()
    return {run_id: OKABE_ITO[number % len(OKABE_ITO)] for number, run_id in enumerate(ids)}


def curve_of(run: MeasuredRun) -> str:
    """Run id of the measured curve or path; empty for other lines or if unknown."""
    if run.kind == "path":
        return run.run_id
    along = run.spec.get("along")
    kind = along.get("kind") if isinstance(along, dict) else None
    of_kind = (run_id for run_id in run.inputs if run_id.startswith(f"{kind}-"))
    return next(of_kind, "") if kind in ("curve", "path") else ""
