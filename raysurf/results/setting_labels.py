"""What tells settings apart that stand on the same row of a comparison."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from raysurf.results.compared_runs import ComparedRun

# Entries of a job that are told at most; what still coincides then is told apart by the group's id.
MOST = 3


def setting_labels(runs: Sequence[ComparedRun]) -> list[str]:
    """A label a setting, all different; empty if there is but one.

    The arm, the searched values, whatever else differs in the job, or at last the group's id: the first of them that
    differs, then the next.

    Args:
        runs: One run of each setting.
    """
    labels = [""] * len(runs)
    for detail in (_arms, _params, _specs, _groups):
        alike = defaultdict(list)
        for place, label in enumerate(labels):
            alike[label].append(place)
        for label, places in alike.items():
            said = detail([runs[place] for place in places])
            if len(set(said)) > 1:
                for place, text in zip(places, said, strict=True):
                    labels[place] = ", ".join(part for part in (label, text) if part)
    return labels


def _arms(runs: Sequence[ComparedRun]) -> list[str]:
    return [run.arm for run in runs]


def _params(runs: Sequence[ComparedRun]) -> list[str]:
    return _differences([run.params for run in runs])


def _specs(runs: Sequence[ComparedRun]) -> list[str]:
    return _differences([dict(_leaves(run.spec)) for run in runs])


def _groups(runs: Sequence[ComparedRun]) -> list[str]:
    return [run.group for run in runs]


def _differences(trees: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of each mapping the entries that are not the same in all, outer ones first; what is absent is not said."""
    texts = [{name: json.dumps(value, sort_keys=True) for name, value in tree.items()} for tree in trees]
    names = dict.fromkeys(name for tree in trees for name in tree)
    differing = [name for name in names if len({text.get(name) for text in texts}) > 1]
    differing.sort(key=lambda name: name.count("."))
    told = [[f"{name} = {_short(tree[name])}" for name in differing if name in tree] for tree in trees]
    return [", ".join([*each[:MOST], *(["…"] if len(each) > MOST else [])]) for each in told]


def _leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every scalar of a job by its dotted path, seeds left out."""
    if isinstance(tree, Mapping):
        inner = [(name, value) for name, value in tree.items() if name != "seed"]
    elif isinstance(tree, list):
        inner = [(str(place), value) for place, value in enumerate(tree)]
    else:
        yield path, tree
        return
    for name, value in inner:
        yield from _leaves(value, f"{path}.{name}" if path else name)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
