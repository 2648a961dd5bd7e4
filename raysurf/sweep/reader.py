"""Reading YAML with holes: safely, with a place for everything, and every fault of a file at once."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from raysurf.errors import Fault, SpecError, nearest
from raysurf.sweep.holes import Choice, Each, Float, Int

Path = tuple[str | int, ...]
Place = tuple[str, int]

PLAIN = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))
TAGS = ("!float", "!int", "!choice", "!each", "!include")
MERGE = "<<"
NUM_DIGITS = 300
# Anchors and includes may stand for far more than what is written.
NUM_VALUES = 100_000
FLOAT = re.compile(r"[-+]?(\d[\d_]*\.[\d_]*|\.\d[\d_]*|\d[\d_]*)([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
INT = re.compile(r"[-+]?\d[\d_]*")


@dataclass(frozen=True)
class Document:
    """One document of a file: its tree, and where each part of it stands.

    Inside a hole's options the path goes through the option's number.
    """

    tree: dict[str, Any]
    places: Mapping[Path, Place]

    def place(self, path: Path) -> Place:
        """File and line of a path, or of the nearest thing around it."""
        while path not in self.places:
            path = path[:-1]
        return self.places[path]


def read(path: str | FilePath) -> list[Document]:
    """Read every document of a YAML file.

    Numbers may be written ``1e-4``; only ``true`` and ``false`` are booleans; a key may stand once. ``!float``,
    ``!int``, ``!choice`` and ``!each`` are holes, ``!include other.yaml`` another file's one document (relative to
    the including file), and ``<<`` merges mappings, keys written beside it winning.

    Args:
        path: The file.

    Raises:
        SpecError: With every fault of the file, each with its file and line.
    """
    reading = _Reading()
    documents = []
    nodes = reading.compose(str(path), None)
    if not nodes and not reading.faults:
        reading.fault(str(path), 1, "", "an empty file", "at least one document")
    for node in nodes:
        places: dict[Path, Place] = {}
        try:
            tree = reading.build(node, _At(str(path), (), places, (FilePath(path).resolve(),)))
        except RecursionError:
            tree = reading.too_deep(str(path), node.start_mark.line + 1)
        except _TooManyError:
            raise SpecError(reading.faults) from None
        if isinstance(tree, dict):
            documents.append(Document(tree, places))
        elif tree is not _BAD:
            got = "an empty document" if tree is None else f"{tree!r}"
            reading.fault(str(path), node.start_mark.line + 1, "", got, "a mapping with name and job, or with kind")
    if reading.faults:
        raise SpecError(reading.faults)
    return documents


class _TooManyError(Exception):
    """A document that stands for more values than are read; its fault is noted already."""


class _Bad:
    """Stands for what could not be built; its fault is noted already."""


_BAD: Any = _Bad()


@dataclass(frozen=True)
class _At:
    """Where the building is: file, path, the places noted so far, and the files that include one another."""

    file: str
    path: Path
    places: dict[Path, Place]
    chain: tuple[FilePath, ...]

    def __truediv__(self, step: str | int) -> _At:
        return _At(self.file, (*self.path, step), self.places, self.chain)


class _Loader(yaml.SafeLoader):
    """Composes nodes only; scalars are resolved here, not by YAML 1.1's rules."""


_Loader.yaml_implicit_resolvers = {}


@dataclass
class _Reading:
    faults: list[Fault] = field(default_factory=list)
    open_nodes: set[int] = field(default_factory=set)
    num_values: int = 0

    def fault(self, file: str, line: int, where: str, got: str, expected: str, hint: str = "") -> Any:
        self.faults.append(Fault(where or "document", got, expected, hint, file, line))
        return _BAD

    def too_deep(self, file: str, line: int) -> Any:
        return self.fault(file, line, "", "lists or mappings too deep to read", "a document of less depth")

    def compose(self, file: str, at: tuple[str, int] | None) -> list[Node]:
        """The root nodes of a file; a file that cannot be read is a fault at ``at``."""
        place_file, place_line = at or (file, 1)
        nodes: list[Node] = []
        text = ""
        try:
            if at is not None and FilePath(file).exists() and not FilePath(file).is_file():
                # A device or pipe may never end.
                self.fault(place_file, place_line, "", f"{file}, which is no file", "a YAML file that can be read")
                return nodes
            text = FilePath(file).read_text(encoding="utf-8")
            for node in yaml.compose_all(text, _Loader):
                if node is not None:
                    nodes.append(node)
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            self.fault(file, line, "", "text that is not UTF-8", "a YAML file in UTF-8")
        except OSError as error:
            self.fault(place_file, place_line, "", f"{file}: {error.strerror}", "a YAML file that can be read")
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            self.fault(file, line, "", f"no YAML: {error.problem or error.context}", "YAML")
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            self.fault(file, line, "", f"no YAML: the character {chr(error.character)!r}", "YAML")
        except RecursionError:
            self.too_deep(file, 1)
        return nodes

    def build(self, node: Node, at: _At) -> Any:
        """The tree of a node, its places noted."""
        if id(node) in self.open_nodes:
            return self.fault(at.file, node.start_mark.line + 1, "", "an anchor that holds itself", "a finite document")
        self.num_values += 1
        if self.num_values > NUM_VALUES:
            got = f"more than {NUM_VALUES:,} values, anchors and includes written out"
            self.fault(at.file, node.start_mark.line + 1, ".".join(map(str, at.path)), got, "a smaller document")
            raise _TooManyError
        self.open_nodes.add(id(node))
        try:
            return self._build(node, at)
        finally:
            self.open_nodes.discard(id(node))

    def _build(self, node: Node, at: _At) -> Any:
        line = node.start_mark.line + 1
        at.places.setdefault(at.path, (at.file, line))
        where = ".".join(map(str, at.path))
        if node.tag in ("!float", "!int"):
            return self._range(node, at, where)
        if node.tag in ("!choice", "!each"):
            return self._options(node, at, where)
        if node.tag == "!include":
            return self._include(node, at, where)
        if node.tag != "!" and node.tag not in PLAIN:
            near = nearest(node.tag, TAGS)
            hint = f"did you mean {near}?" if near else ""
            return self.fault(at.file, line, where, f"the unknown tag {node.tag}", f"one of {', '.join(TAGS)}", hint)
        if isinstance(node, ScalarNode):
            return self._scalar(node, at, where)
        if isinstance(node, SequenceNode):
            return self._all([self.build(inner, at / i) for i, inner in enumerate(node.value)])
        assert isinstance(node, MappingNode)
        return self._mapping(node, at, where)

    @staticmethod
    def _all(items: list[Any]) -> Any:
        return _BAD if any(item is _BAD for item in items) else items

    def _scalar(self, node: ScalarNode, at: _At, where: str) -> Any:
        text = node.value
        if node.style is not None or (node.tag == "tag:yaml.org,2002:str" and text == ""):
            return text if node.style is not None else None
        if text in ("null", "~", "Null", "NULL", ""):
            return None
        if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
            return text.lower() == "true"
        if INT.fullmatch(text):
            if len(text) > NUM_DIGITS:
                return self.fault(
                    at.file, node.start_mark.line + 1, where, f"{len(text)} digits", f"at most {NUM_DIGITS}"
                )
            return int(text.replace("_", ""))
        if FLOAT.fullmatch(text):
            if text.lower().endswith(("inf", "nan")) or not math.isfinite(float(text.replace("_", ""))):
                return self.fault(at.file, node.start_mark.line + 1, where, text, "a finite number")
            return float(text.replace("_", ""))
        return text

    def _mapping(self, node: MappingNode, at: _At, where: str) -> Any:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        lines: dict[str, int] = {}
        merged_places: dict[Path, Place] = {}
        good = True
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            plain = isinstance(key_node, ScalarNode) and key_node.tag == PLAIN[0]
            if not plain or not isinstance(key := self._scalar(key_node, at, where), str):
                good = False
                got = f"the key {key_node.value!r}" if plain else "a key with a tag, or of several values"
                self.fault(at.file, line, where, got, "a key that is a word")
                continue
            if key in lines:
                good = False
                inside = f"{where}.{key}" if where else key
                self.fault(
                    at.file, line, inside, f"the key {key!r} again", f"each key once (it stands in line {lines[key]})"
                )
                continue
            lines[key] = line
            if key == MERGE:
                good = self._merge(value_node, at, where, merged, merged_places) and good
                continue
            own[key] = self.build(value_node, at / key)
            at.places[*at.path, key] = (at.file, line)
            good = good and own[key] is not _BAD
        at.places.update({path: place for path, place in merged_places.items() if path[len(at.path)] not in own})
        return {**merged, **own} if good else _BAD

    def _merge(self, node: Node, at: _At, where: str, merged: dict[str, Any], places: dict[Path, Place]) -> bool:
        """Take in the mappings of ``<<`` and their places; of several, the earlier one wins."""
        good = True
        plain_list = isinstance(node, SequenceNode) and not node.tag.startswith("!")
        for inner in node.value if plain_list else [node]:
            inside: dict[Path, Place] = {}
            found = self.build(inner, _At(at.file, at.path, inside, at.chain))
            if found is _BAD:
                good = False
            elif not isinstance(found, dict):
                self.fault(at.file, inner.start_mark.line + 1, where, f"{found!r} under <<", "a mapping to merge")
                good = False
            else:
                new = found.keys() - merged.keys()
                merged.update({key: value for key, value in found.items() if key in new})
                depth = len(at.path)
                places.update({p: place for p, place in inside.items() if len(p) > depth and p[depth] in new})
        return good

    def _include(self, node: Node, at: _At, where: str) -> Any:
        line = node.start_mark.line + 1
        if not isinstance(node, ScalarNode) or not node.value or "\0" in node.value:
            return self.fault(at.file, line, where, "!include without a file", "!include and a file's name")
        target = FilePath(at.file).parent / node.value
        if target.resolve() in at.chain:
            names = " -> ".join(path.name for path in (*at.chain, target.resolve()))
            return self.fault(
                at.file, line, where, f"a circle of includes: {names}", "files that do not include themselves"
            )
        before = len(self.faults)
        nodes = self.compose(str(target), (at.file, line))
        if len(self.faults) > before:
            return _BAD
        if len(nodes) != 1:
            return self.fault(
                at.file, line, where, f"{node.value} with {len(nodes)} documents", "a file of one document"
            )
        inside = _At(str(target), at.path, at.places, (*at.chain, target.resolve()))
        at.places.pop(at.path, None)
        return self.build(nodes[0], inside)

    def _range(self, node: Node, at: _At, where: str) -> Any:
        line, tag = node.start_mark.line + 1, node.tag
        hole = Float if tag == "!float" else Int
        arguments: dict[str, Any] = {}
        if isinstance(node, SequenceNode) and len(node.value) == 2:
            arguments = {k: self.build(v, at / k) for k, v in zip(("low", "high"), node.value, strict=True)}
        elif isinstance(node, MappingNode):
            built = self._mapping(node, at, where)
            if built is _BAD:
                return _BAD
            arguments = built
        else:
            return self.fault(
                at.file, line, where, f"{tag} without bounds", f"{tag} {{low: …, high: …}} or {tag} [low, high]"
            )
        if any(value is _BAD for value in arguments.values()):
            return _BAD
        known = ("low", "high", "log", "step")
        for key in (key for key in arguments if key not in known):
            _, key_line = at.places[*at.path, key]
            near = nearest(key, known)
            hint = f"did you mean {near!r}?" if near else ""
            self.fault(at.file, key_line, f"{where}.{key}", "an unknown key", f"one of {', '.join(known)}", hint)
        if missing := [key for key in ("low", "high") if key not in arguments]:
            return self.fault(at.file, line, where, f"{tag} without {missing[0]}", "low and high")
        if arguments.keys() - set(known):
            return _BAD
        try:
            return hole(**arguments)
        except SpecError as error:
            return self.fault(at.file, line, where, error.faults[0].got, error.faults[0].expected)

    def _options(self, node: Node, at: _At, where: str) -> Any:
        line, tag = node.start_mark.line + 1, node.tag
        if not isinstance(node, SequenceNode):
            return self.fault(at.file, line, where, f"{tag} without a list", f"{tag} and a list of options")
        options = self._all([self.build(inner, at / i) for i, inner in enumerate(node.value)])
        if options is _BAD:
            return _BAD
        try:
            return Choice(tuple(options)) if tag == "!choice" else Each(tuple(options))
        except SpecError as error:
            return self.fault(at.file, line, where, error.faults[0].got, error.faults[0].expected)
