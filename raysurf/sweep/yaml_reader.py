"""Reading YAML with holes: safely, with a place for everything, and every fault of a file at once."""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, NoReturn

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from raysurf.errors import Fault, SpecError, nearest
from raysurf.sweep.space import Choice, Each, Float, Int, Path

Place = tuple[str, int]

PLAIN = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))
TAGS = ("!float", "!int", "!choice", "!each", "!include")
MERGE = "<<"
NUM_DIGITS = 300
# Limits of what is read, so that any file is answered within seconds: the longest sweep file that is shipped has 4 KB
# and 150 values. Anchors and includes may stand for far more than what is written.
NUM_BYTES = 1_000_000
NUM_VALUES = 20_000
FLOAT = re.compile(r"[-+]?(\d[\d_]*\.[\d_]*|\.\d[\d_]*|\d[\d_]*)([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
INT = re.compile(r"[-+]?\d[\d_]*")
SURROGATE = re.compile("[\ud800-\udfff]")


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
    for node, tree, places in reading.documents(str(path)):
        if isinstance(tree, dict):
            documents.append(Document(tree, places))
        elif tree is not _BAD:
            got = "an empty document" if tree is None else f"{tree!r}"
            reading.fault(str(path), node.start_mark.line + 1, "", got, "a mapping with name and job, or with kind")
    if reading.faults:
        raise SpecError(reading.faults)
    return documents


class _NoFileError(Exception):
    """The path is no small regular file; the message says what it is."""


def _bytes(file: str) -> bytes:
    """Bytes of a small regular file; devices and pipes, which may never end, are refused."""
    # Without waiting: a pipe that nobody writes to, or the kernel's log, would be waited for for ever.
    handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb") as opened:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise _NoFileError("which is a folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "which is no file")
        data: bytes | None = opened.read(NUM_BYTES + 1)
    if data is None:
        raise _NoFileError("which would be waited for")
    if len(data) > NUM_BYTES:
        raise _NoFileError("which is larger")
    return data


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
    chain: tuple[str, ...]

    def __truediv__(self, step: str | int) -> _At:
        return _At(self.file, (*self.path, step), self.places, self.chain)


class _Loader(yaml.SafeLoader):
    """Composes nodes and reports each to ``on_node``; scalars are resolved here, not by YAML 1.1's rules."""

    def __init__(self, text: str, on_node: Callable[[int], None]) -> None:
        super().__init__(text)
        self._on_node = on_node

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        self._on_node(self.peek_event().start_mark.line + 1)  # type: ignore[no-untyped-call]
        return super().compose_node(parent, index)

    def roots(self) -> Iterator[Node]:
        """Root nodes of the documents; empty ones, as after a trailing ---, are skipped."""
        while self.check_node():
            node = self.get_node()
            is_empty = isinstance(node, ScalarNode) and (node.value, node.style, node.tag) == ("", None, PLAIN[0])
            if node is not None and not is_empty:
                yield node


_Loader.yaml_implicit_resolvers = {}


@dataclass
class _Reading:
    faults: list[Fault] = field(default_factory=list)
    open_nodes: set[int] = field(default_factory=set)
    files: dict[str, list[Node]] = field(default_factory=dict)
    num_nodes: int = 0
    num_values: int = 0

    def documents(self, file: str) -> Iterator[tuple[Node, Any, dict[Path, Place]]]:
        """The root of every document of a file, its tree, and where each part of it stands."""
        try:
            nodes = self.compose(file, None)
            if not nodes and not self.faults:
                self.fault(file, 1, "", "an empty file", "at least one document")
            for node in nodes:
                places: dict[Path, Place] = {}
                try:
                    tree = self.build(node, _At(file, (), places, (os.path.realpath(file),)))
                except RecursionError:
                    tree = self.too_deep(file, node.start_mark.line + 1)
                yield node, tree, places
        except _TooManyError:
            return

    def fault(self, file: str, line: int, where: str, got: str, expected: str, hint: str = "") -> Any:
        self.faults.append(Fault(where or "document", got, expected, hint, file, line))
        return _BAD

    def too_deep(self, file: str, line: int) -> Any:
        return self.fault(file, line, "", "lists or mappings too deep to read", "a document of less depth")

    def compose(self, file: str, at: tuple[str, int] | None) -> list[Node]:
        """The root nodes of a file, which is parsed once; one that cannot be read is a fault at ``at``."""
        key = os.path.realpath(file)
        if key in self.files:
            return self.files[key]
        before = len(self.faults)
        nodes = self._composed(file, at or (file, 1))
        if len(self.faults) == before:
            self.files[key] = nodes
        return nodes

    def _composed(self, file: str, at: tuple[str, int]) -> list[Node]:
        nodes: list[Node] = []
        text = ""

        def on_node(line: int) -> None:
            self.num_nodes += 1
            if self.num_nodes > NUM_VALUES:
                self.too_many(file, line, "", f"more than {NUM_VALUES:,} values, those of included files counted")

        try:
            text = _bytes(file).decode("utf-8")
            nodes.extend(_Loader(text, on_node).roots())
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            self.fault(file, line, "", "text that is not UTF-8", "a YAML file in UTF-8")
        except UnicodeEncodeError:
            self.fault(*at, "", f"{file!r}, which is no name of a file", "a YAML file that can be read")
        except OSError as error:
            self.fault(*at, "", f"{file}: {error.strerror}", "a YAML file that can be read")
        except _NoFileError as error:
            self.fault(*at, "", f"{file}, {error}", f"a YAML file of at most {NUM_BYTES:,} bytes")
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

    def too_many(self, file: str, line: int, where: str, got: str) -> NoReturn:
        self.fault(file, line, where, got, "a smaller document")
        raise _TooManyError

    def build(self, node: Node, at: _At) -> Any:
        """The tree of a node, its places noted."""
        if id(node) in self.open_nodes:
            return self.fault(at.file, node.start_mark.line + 1, "", "an anchor that holds itself", "a finite document")
        self.num_values += 1
        if self.num_values > NUM_VALUES:
            got = f"more than {NUM_VALUES:,} values, anchors and includes written out"
            self.too_many(at.file, node.start_mark.line + 1, ".".join(map(str, at.path)), got)
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
        text, line = node.value, node.start_mark.line + 1
        if SURROGATE.search(text):
            return self.fault(at.file, line, where, f"{text!r}, which has half a character", "text of whole characters")
        if node.style is not None or (node.tag == "tag:yaml.org,2002:str" and text == ""):
            return text if node.style is not None else None
        if text in ("null", "~", "Null", "NULL", ""):
            return None
        if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
            return text.lower() == "true"
        if at.path[-1:] == ("name",) and "options" not in at.path and (INT.fullmatch(text) or FLOAT.fullmatch(text)):
            return text
        if INT.fullmatch(text):
            if len(text) > NUM_DIGITS:
                return self.fault(at.file, line, where, f"{len(text)} digits", f"at most {NUM_DIGITS}")
            return int(text.replace("_", ""))
        if FLOAT.fullmatch(text):
            if text.lower().endswith(("inf", "nan")) or not math.isfinite(float(text.replace("_", ""))):
                return self.fault(at.file, line, where, text, "a finite number")
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
            mapping = self.build(inner, _At(at.file, at.path, inside, at.chain))
            if mapping is _BAD:
                good = False
            elif not isinstance(mapping, dict):
                self.fault(at.file, inner.start_mark.line + 1, where, f"{mapping!r} under <<", "a mapping to merge")
                good = False
            else:
                new = mapping.keys() - merged.keys()
                merged.update({key: value for key, value in mapping.items() if key in new})
                depth = len(at.path)
                places.update({p: place for p, place in inside.items() if len(p) > depth and p[depth] in new})
        return good

    def _include(self, node: Node, at: _At, where: str) -> Any:
        line = node.start_mark.line + 1
        if not isinstance(node, ScalarNode) or not node.value or "\0" in node.value or SURROGATE.search(node.value):
            return self.fault(at.file, line, where, "!include without a file", "!include and a file's name")
        target = os.path.join(os.path.dirname(at.file), node.value)
        resolved = os.path.realpath(target)
        if resolved in at.chain:
            names = " -> ".join(map(os.path.basename, (*at.chain, resolved)))
            return self.fault(
                at.file, line, where, f"a circle of includes: {names}", "files that do not include themselves"
            )
        before = len(self.faults)
        nodes = self.compose(target, (at.file, line))
        if len(self.faults) > before:
            return _BAD
        if len(nodes) != 1:
            return self.fault(
                at.file, line, where, f"{node.value} with {len(nodes)} documents", "a file of one document"
            )
        inside = _At(target, at.path, at.places, (*at.chain, resolved))
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
