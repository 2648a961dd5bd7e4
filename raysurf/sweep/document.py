"""From a file to its sweeps, with every fault of the file reported together."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path as FilePath
from typing import Annotated, Any

from pydantic import Field, ValidationError

from raysurf import own_code
from raysurf.errors import Fault, SpecError
from raysurf.jobs.job import Job
from raysurf.jobs.parse import parse
from raysurf.sweep import yaml_reader
from raysurf.sweep.checks import LONGEST_NAME, NAME, did_you_mean, job_faults, sweep_faults
from raysurf.sweep.search import INITIAL, Budget, Search
from raysurf.sweep.space import places
from raysurf.sweep.sweep import Failures, Resources, Sweep
from raysurf.values import PathFault, Value, fault, faults_of, shown


class SweepFile(Value):
    """What a document of a sweep file says."""

    name: str = Field(
        "",
        pattern=f"^{NAME.pattern}$",
        max_length=LONGEST_NAME,
        description="the sweep's name in every table; if left out, that of its file",
    )
    job: Job = Field(description="what is run, with a hole wherever a value is searched or compared")
    search: Search | None = Field(None, description="how holes are filled, if there are any besides !each")
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (), description="each trial runs once a seed, and its value is the mean"
    )
    baselines: tuple[Job, ...] = Field((), description="jobs without holes that are run once each, to compare with")
    resources: Resources | None = Field(None, description="what each job runs on")
    budget: Budget | None = Field(None, description="what the whole sweep may spend")
    failures: Failures | None = Field(None, description="what is done about trials that fail")


KEYS = tuple(SweepFile.model_fields)


def load(path: str | FilePath) -> list[Sweep]:
    """Read the sweeps of a YAML file, in order.

    A document is a sweep (``name``, ``job``, ``search`` …) or a job by itself (``kind`` at its top), which is a
    sweep of one run, named for the file.

    Raises:
        SpecError: With every fault of the file, each with its line.
    """
    documents = yaml_reader.read(path)
    folder = str(FilePath(path).absolute().parent)
    own_code.look_in(folder)
    # A sweep without a name has its file's, with invalid characters replaced.
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", FilePath(path).stem).strip("._-")[: LONGEST_NAME - 8] or "sweep"
    sweeps: list[Sweep] = []
    faults: list[Fault] = []
    names: dict[str, int] = {}
    for i, document in enumerate(documents):
        default = stem if len(documents) == 1 else f"{stem}-{i + 1}"
        sweep, wrong = from_tree(document.tree, default)
        for place, inner in _as_written(document.tree, wrong):
            file, line = document.place(place)
            faults.append(dataclasses.replace(inner, file=file, line=line))
        name = str(document.tree.get("name", default))
        if name in names:
            file, line = document.place(("name",))
            got = f"{name!r}, the name of document {names[name]} too"
            faults.append(Fault("name", got, "a name of its own for every document", file=file, line=line))
        names.setdefault(name, i + 1)
        if sweep is not None:
            object.__setattr__(sweep, "folder", folder)
            sweeps.append(sweep)
    if faults:
        raise SpecError(faults)
    return sweeps


def _as_written(tree: Mapping[str, Any], faults: Iterable[PathFault]) -> Iterator[PathFault]:
    """Faults of initial trials under the name that the document has for them."""
    search = tree.get("search")
    says_initial = isinstance(search, Mapping) and INITIAL in search
    for path, wrong in faults:
        if says_initial and path[:2] == ("search", "points"):
            where = wrong.where.replace("search.points", f"search.{INITIAL}", 1)
            yield ("search", INITIAL, *path[2:]), dataclasses.replace(wrong, where=where)
        else:
            yield path, wrong


def from_tree(tree: Mapping[str, Any], default_name: str) -> tuple[Sweep | None, list[PathFault]]:
    """Build the sweep that a document describes.

    Returns:
        The sweep, or None; and every fault with its path in the document.
    """
    if "kind" in tree and "job" not in tree:
        sweep, wrong = from_tree({"name": default_name, "job": dict(tree)}, default_name)
        return sweep, [(path[1:] if path[0] == "job" else path, inner) for path, inner in wrong]
    faults: list[PathFault] = []
    for key in tree:
        if key not in KEYS:
            faults.append(fault((key,), "an unknown key", f"one of {', '.join(KEYS)}", did_you_mean(key, KEYS)))
        elif key != "job":
            for place in places(tree[key], path=(key,)):
                faults.append(fault(place.path, shown(place.hole), "a plain value: holes may stand under job alone"))
    parts = {
        "search": _value(Search, tree, "search", faults),
        "budget": _value(Budget, tree, "budget", faults),
        "resources": _value(Resources, tree, "resources", faults) or Resources(),
        "failures": _value(Failures, tree, "failures", faults) or Failures(),
        "name": tree.get("name", default_name),
        "seeds": tuple(_list(tree, "seeds", "whole numbers", faults)),
    }
    baselines = []
    for i, inner in enumerate(_list(tree, "baselines", "jobs", faults)):
        job, wrong = parse(inner, ("baselines", i))
        faults += wrong
        baselines.append(job)
    if "job" not in tree:
        return None, [*faults, fault(("job",), "nothing", "a job: a mapping with kind")]
    if faults:
        return None, faults + job_faults(tree["job"])
    sweep = object.__new__(Sweep)
    for name, value in {**parts, "job": tree["job"], "baselines": tuple(baselines)}.items():
        object.__setattr__(sweep, name, value)
    faults = sweep_faults(sweep)
    return (None if faults else sweep), faults


def _list(tree: Mapping[str, Any], key: str, of: str, faults: list[PathFault]) -> list[Any]:
    value = tree.get(key, [])
    if isinstance(value, list):
        return value
    if not any(places(value)):
        faults.append(fault((key,), shown(value), f"a list of {of}"))
    return []


def _value(cls: type[Value], tree: Mapping[str, Any], key: str, faults: list[PathFault]) -> Any:
    value = tree.get(key)
    if value is None or any(places(value)):
        return None
    if not isinstance(value, Mapping):
        faults.append(fault((key,), shown(value), f"a mapping of {', '.join(cls.model_fields)}"))
        return None
    try:
        return cls.model_validate(value)
    except ValidationError as error:
        faults += faults_of(cls, error, (key,))
        return None
