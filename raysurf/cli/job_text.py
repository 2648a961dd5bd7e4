"""Stored jobs as files that ``raysurf run`` takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from raysurf.jobs.parse import parse_job
from raysurf.store import Row
from raysurf.store.parts import mapping_in

PLAIN_TEXT = re.compile(r"[A-Za-z_][\w./:-]*")
FLOAT = re.compile(r"-?\d+(\.\d+)?(e[-+]?\d+)?$")
WORDS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")


def job_file(row: Row, uri: str) -> str:
    """The job of a run with its inputs as YAML, which reads back as the same job; see ``mapping_in`` for ``uri``."""
    return _head(row) + as_yaml(_as_written(row, uri))


def sweep_file(name: str, rows: Sequence[Row], uri: str) -> str:
    """Jobs that differ only in their seeds, as the file of a sweep of this name."""
    if len(rows) == 1:
        return job_file(rows[0], uri)
    tree, seeds = _without_differing_seeds([_as_written(row, uri) for row in rows])
    return "".join(map(_head, rows)) + as_yaml({"name": name, "job": tree, "seeds": seeds})


def _head(row: Row) -> str:
    of = row["sweep"] + ("" if row["trial"] is None else f", trial {row['trial']}")
    return f"# {row['run_id']} ({row['role']} of {of}): {row['status']}\n"


def _as_written(row: Row, uri: str) -> Any:
    """A run's job with 3 for 3.0, where that keeps its id (a network's own options may be floats)."""
    tree = mapping_in(row["spec"], uri, row["run_id"])
    short = _shortened(tree)
    return short if parse_job(short, look_up=False).id == row["run_id"] else tree


def _shortened(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _shortened(inner) for key, inner in tree.items()}
    if isinstance(tree, list):
        return [_shortened(item) for item in tree]
    is_whole = isinstance(tree, float) and tree.is_integer() and abs(tree) < 1e15
    return int(tree) if is_whole else tree


def _without_differing_seeds(trees: Sequence[Any]) -> tuple[Any, list[int]]:
    """Merge trees that differ in seeds alone: the common tree, and the seeds."""
    first, seeds = trees[0], list[int]()
    if isinstance(first, dict):
        kept = {}
        for key in first:
            inner = [tree[key] for tree in trees]
            if key == "seed" and len(set(inner)) > 1:
                seeds = inner
                continue
            kept[key], inner_seeds = _without_differing_seeds(inner)
            seeds = seeds or inner_seeds
        return kept, seeds
    if isinstance(first, list):
        parts = [_without_differing_seeds(items) for items in zip(*trees, strict=True)]
        return [part for part, _ in parts], next((inner_seeds for _, inner_seeds in parts if inner_seeds), [])
    return first, seeds


def as_yaml(tree: Any) -> str:
    """A tree as YAML, which raysurf reads back as the same tree."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Numbers and texts as raysurf's own reader takes them."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
        plain = PLAIN_TEXT.fullmatch(value) and value.lower() not in WORDS and not value.endswith(":")
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if plain else '"')

    def number(dumper: yaml.SafeDumper, value: float) -> yaml.Node:
        return dumper.represent_scalar("tag:yaml.org,2002:float", repr(value))

    Dumper.add_representer(str, text)
    Dumper.add_representer(float, number)
    # Else PyYAML would write a tag before 1e-05.
    Dumper.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-0123456789"))
    return str(yaml.dump(_kind_first(tree), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)).rstrip("\n")


def _kind_first(tree: Any) -> Any:
    if isinstance(tree, dict):
        first = {key: tree[key] for key in ("kind", "name") if key in tree}
        return {key: _kind_first(inner) for key, inner in (first | tree).items()}
    return [_kind_first(item) for item in tree] if isinstance(tree, list) else tree
