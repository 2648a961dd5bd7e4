"""What two runs differ in: job, versions, commit, data and hardware, and their figures side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raysurf.results.one_run import one_run
from raysurf.results.parts import mapping_in

if TYPE_CHECKING:
    from raysurf.results.query import Results

# Columns of ``runs`` that say where a run comes from and how it went.
NETWORK = ("model_source", "model_shapes", "weights_file")
PROVENANCE = ("git_commit", "git_dirty", "device", "workers", "data_fingerprint", *NETWORK, "command")
RUN = ("sweep", "trial", "role", "status", "budget", "skipped")


@dataclass(frozen=True)
class Differing:
    """A thing that two runs have differently; None stands for nothing. ``name`` is a dotted path, or a column."""

    name: str
    a: Any
    b: Any


@dataclass(frozen=True)
class RunDifference:
    """Two runs beside one another.

    Args:
        a, b: Their ids.
        job: What differs in their jobs, by dotted path, defaults that were not stated being nothing.
        versions: Packages, and Python.
        provenance: Commit, whether tracked files differed from it, device, workers, fingerprints, command.
        run: Sweep, trial, role, status, budget, unreadable files.
        figures: All figures of either, those that agree too.
    """

    a: str
    b: str
    job: tuple[Differing, ...]
    versions: tuple[Differing, ...]
    provenance: tuple[Differing, ...]
    run: tuple[Differing, ...]
    figures: tuple[Differing, ...]


def run_difference(results: Results, a: str, b: str) -> RunDifference:
    """Compare two runs.

    Args:
        results: The store.
        a, b: Ids of runs, or beginnings of ids that are unique.

    Raises:
        UnknownNameError: If there is no such run.
        StoreError: If an id is not unique.
    """
    first, second = one_run(results, a), one_run(results, b)

    def read(name: str) -> tuple[Any, Any]:
        ours, theirs = (mapping_in(row[name], results.store.uri, row["run_id"]) for row in (first, second))
        return ours, theirs

    def columns(names: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
        return {name: first[name] for name in names}, {name: second[name] for name in names}

    ours, theirs = read("spec")
    return RunDifference(
        first["run_id"],
        second["run_id"],
        _differing(dict(_flat(ours)), dict(_flat(theirs))),
        _differing(*read("versions")),
        _differing(*columns(PROVENANCE)),
        _differing(*columns(RUN)),
        _differing(*read("metrics"), also_equal=True),
    )


def _differing(a: Mapping[str, Any], b: Mapping[str, Any], also_equal: bool = False) -> tuple[Differing, ...]:
    names = dict.fromkeys((*a, *b))
    pairs = (Differing(name, a.get(name), b.get(name)) for name in names)
    # A boolean equals a number to Python, and is another setting.
    return tuple(each for each in pairs if also_equal or (type(each.a), each.a) != (type(each.b), each.b))


def _flat(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The scalars of nested mappings and lists, each with its dotted path."""
    if isinstance(tree, Mapping | list) and tree:
        items = tree.items() if isinstance(tree, Mapping) else enumerate(tree)
        for key, inner in items:
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, tree
