"""What runs and weights are called in pictures, from their jobs as JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from raysurf.report.measured_runs import MeasuredRun
from raysurf.report.noise_labels import noise_name, noisy_layers, noisy_spec

# Said of a run, given all that are called the same so far.
Detail = Callable[[MeasuredRun, Sequence[MeasuredRun]], str]
MEASURING = ("predict", "noise", "regions")


def labels_of(runs: Sequence[MeasuredRun], drawn: Sequence[Detail] = ()) -> dict[str, str]:
    """A label a run, by id: what it is, and where labels would coincide what tells the runs apart.

    That is the data, the ends of a line, the arm, the searched values, the seed, the ends or, at last, the run's id:
    the first of them that differs, then the next.

    Args:
        runs: The runs.
        drawn: What else tells them apart, seen in what is drawn of them: said rather than the seed.
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
    if run.kind == "path":
        return "minimum-energy path"
    if run.kind == "plane":
        return _plane(run.spec)
    if run.kind == "variational":
        return noise_name(run.spec)
    if run.kind in MEASURING and isinstance(run.spec.get("weights"), dict):
        return _weights(run.spec["weights"])
    along = run.spec.get("along")
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
    kinds = [str(each.get("kind")) for each in spec.get("weights", ())]
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


def _params(run: MeasuredRun, same: Sequence[MeasuredRun]) -> str:
    """The searched values that are not the same for all."""
    differing = {
        name: value
        for name, value in run.params.items()
        if any(name not in other.params or other.params[name] != value for other in same)
    }
    return ", ".join(f"{name} = {v:.3g}" if isinstance(v, float) else f"{name} = {v}" for name, v in differing.items())


def _ends(run: MeasuredRun, same: Sequence[MeasuredRun]) -> str:
    return " to ".join(ends_of(run) or ())


DETAILS: tuple[Detail, ...] = (
    lambda run, same: run.data or "",
    lambda run, same: _ends(run, same) if what_it_is(run) == "straight line" else "",
    lambda run, same: noisy_layers(noisy_spec(run.spec)),
    # An arm begins with its kind, which has been said.
    lambda run, same: run.arm.removeprefix(f"{run.kind} "),
    _params,
    _seed,
    _ends,
    lambda run, same: run.run_id,
)
