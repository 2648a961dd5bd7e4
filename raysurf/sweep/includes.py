"""Which files a sweep file is made of."""

from __future__ import annotations

import os
from pathlib import Path

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from raysurf.errors import Fault, SpecError


def files_of(file: str | Path) -> list[Path]:
    """A sweep file and all that it includes, directly or through others, each once, as absolute paths.

    Args:
        file: One that ``document.load`` takes.

    Raises:
        SpecError: If an include is an absolute path, which would lead nowhere on another machine.
    """
    found: dict[Path, None] = {}
    _visit(Path(os.path.abspath(file)), found)
    return list(found)


def _visit(file: Path, found: dict[Path, None]) -> None:
    if file in found:
        return
    found[file] = None
    for root in yaml.compose_all(file.read_text(encoding="utf-8"), yaml.SafeLoader):
        seen: set[int] = set()
        waiting: list[Node] = [root] if root is not None else []
        while waiting:
            node = waiting.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, ScalarNode) and node.tag == "!include":
                if os.path.isabs(node.value):
                    got = f"the absolute path {node.value}"
                    wanted = "a path relative to the including file, since the file goes to another machine"
                    raise SpecError([Fault("!include", got, wanted, file=str(file), line=node.start_mark.line + 1)])
                _visit(Path(os.path.abspath(file.parent / node.value)), found)
            elif isinstance(node, SequenceNode):
                waiting += node.value
            elif isinstance(node, MappingNode):
                waiting += [each for pair in node.value for each in pair]
