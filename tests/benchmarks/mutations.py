"""Mutants of a source file: each is a change of one node of its syntax tree."""

from __future__ import annotations

import ast
import copy
import difflib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

SWAPS: dict[type[ast.AST], type[Any]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.MatMult: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.And: ast.Or,
    ast.Or: ast.And, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
FALLBACK = "assign None"
SIMILAR = 0.85
Record = dict[str, Any]
Change = tuple[str, ast.AST]


class Mutant(NamedTuple):
    """A change that is not made yet: ``new`` for ``old`` at ``holder[key]``."""

    path: Path
    tree: ast.Module
    scope: str
    """Qualified name of the function or class; empty in the module."""
    at_import: bool
    """Whether the line runs when its module is imported, not when a function is called."""
    statement: ast.stmt
    kind: str
    holder: Any
    key: Any
    old: ast.AST
    new: ast.AST

    @property
    def line(self) -> int:
        """Number of the line in the file, from 1."""
        return int(getattr(self.old, "lineno", self.statement.lineno))

    @property
    def lines(self) -> range:
        """Lines of the statement; of a compound one without its body."""
        body = getattr(self.statement, "body", None)
        end = max(body[0].lineno, self.line + 1) if body else (self.statement.end_lineno or self.line) + 1
        return range(self.statement.lineno, end)

    def put(self, node: ast.AST) -> None:
        """Put a node into the place that changes."""
        if isinstance(self.holder, list):
            self.holder[self.key] = node
        else:
            setattr(self.holder, self.key, node)

    def record(self) -> Record:
        """The mutant as text."""
        before = ast.unparse(self.statement).splitlines()
        self.put(self.new)
        after = ast.unparse(self.new if self.old is self.statement else self.statement).splitlines()
        self.put(self.old)
        was, now = next((a, b) for a, b in zip(before, after, strict=False) if a != b)
        file = "/".join(self.path.parts[self.path.parts.index("raysurf") :])
        line = self.path.read_text().splitlines()[self.line - 1].strip()
        where = {"file": file, "function": self.scope, "line": line, "kind": self.kind}
        return where | {"before": was.strip(), "after": now.strip()}


def mutants_of(path: Path) -> list[Mutant]:
    """Every mutant of a file: not of imports, annotations, docstrings, asserts, or texts of errors and help."""
    tree = ast.parse(path.read_text())

    def walk(parent: ast.AST, scope: str, at_import: bool, statement: ast.stmt | None) -> Iterator[Mutant]:
        for field, holder, key, node in _children(parent):
            imports = at_import and not (isinstance(parent, ast.FunctionDef) and field == "body")
            here = f"{scope}.{parent.name}".lstrip(".") if isinstance(parent, ast.FunctionDef | ast.ClassDef) else scope
            inner = node if isinstance(node, ast.stmt) else statement
            assert inner is not None
            for kind, new in _changes(node):
                # At import, an alias such as ``Bits = int | None`` is an annotation too.
                if not (imports and (kind == FALLBACK or isinstance(getattr(node, "op", None), ast.BitOr))):
                    ast.fix_missing_locations(ast.copy_location(new, node))
                    yield Mutant(path, tree, here, imports, inner, kind, holder, key, node, new)
            if not isinstance(node, ast.Raise):
                yield from walk(node, here, imports, inner)

    return list(walk(tree, "", True, None))


def find_again(records: Sequence[Record], mutants: Sequence[Mutant]) -> list[Mutant | None]:
    """Each recorded mutant in today's files: the same text in a function of that name, or else the most similar one."""
    by_text: defaultdict[str, dict[str, Mutant]] = defaultdict(dict)
    for mutant in mutants:
        by_text[mutant.kind].setdefault(_text(mutant.record()), mutant)

    def find(record: Record) -> Mutant | None:
        near = difflib.get_close_matches(_text(record), by_text[record["kind"]], n=1, cutoff=SIMILAR)
        return by_text[record["kind"]][near[0]] if near else None

    return [find(record) for record in records]


def _text(record: Record) -> str:
    return f"{record['function']}: {record['before']} -> {record['after']}"


def _children(parent: ast.AST) -> Iterator[tuple[str, Any, Any, ast.AST]]:
    for field, value in ast.iter_fields(parent):
        if field not in ("annotation", "returns"):
            holder, keys = (value, range(len(value))) if isinstance(value, list) else (parent, [field])
            for key in keys:
                node = value[key] if isinstance(value, list) else value
                if isinstance(node, ast.AST) and not _is_text(node):
                    yield field, holder, key, node


def _is_text(node: ast.AST) -> bool:
    """Whether a node is for readers or for type checkers, or asserts what holds anyway."""
    match node:
        case ast.Import() | ast.ImportFrom() | ast.JoinedStr() | ast.Expr(value=ast.Constant()) | ast.Assert():
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")) | ast.Subscript(value=ast.Name(id="Literal")):
            return True
        case ast.keyword(arg="description" | "strict") | ast.Raise(exc=ast.Call(func=ast.Name(id="AssertionError"))):
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name.endswith(("Error", "cast"))
        case ast.Constant(value=str(text)):
            return " " in text or not text
    return False


def _changes(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.BinOp(op=op) | ast.AugAssign(op=op) | ast.BoolOp(op=op) if type(op) in SWAPS:
            yield "operator", _like(node, op=SWAPS[type(op)]())
        case ast.Compare(ops=[op, *others]):
            yield "comparison", _like(node, ops=[SWAPS[type(op)](), *others])
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield "sign", _like(node.operand)
        case ast.Constant(value=bool(value)):
            yield "constant", ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield "constant", ast.Constant(value + 1)
            if value:
                yield "constant", ast.UnaryOp(ast.USub(), ast.Constant(value))
        case ast.Constant(value=str(value)):
            yield "text", ast.Constant(value + "_")
        case ast.Call(args=[first, second, *others]) if not isinstance(first, ast.Starred):
            # Swapped, these do the same, or raise at once.
            is_plain = ast.unparse(node.func) not in ("min", "max", "isinstance")
            if is_plain and not isinstance(second, ast.Starred) and ast.unparse(first) != ast.unparse(second):
                yield "arguments", _like(node, args=[second, first, *others])
        case ast.Return(value=ast.expr()) if not _is_none(node.value):
            yield "return None", ast.Return(ast.Constant(None))
        case ast.Assign() if not _is_none(node.value) and not isinstance(node.value, ast.JoinedStr):
            yield FALLBACK, _like(node, value=ast.Constant(None))
    match node:
        case ast.If() | ast.While() | ast.IfExp():
            yield "condition", _like(node, test=ast.UnaryOp(ast.Not(), node.test))
        case ast.comprehension(ifs=[test, *others]):
            yield "condition", _like(node, ifs=[ast.UnaryOp(ast.Not(), test), *others])
        case ast.Expr() | ast.AugAssign() | ast.Raise() | ast.Delete() | ast.Continue() | ast.Break():
            if not isinstance(getattr(node, "value", None), ast.Yield | ast.YieldFrom):
                yield "dropped", ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield "dropped", ast.Pass()


def _is_none(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _like(node: ast.AST, **changed: Any) -> ast.AST:
    """A copy of a node, with some fields of its own."""
    copied = copy.copy(node)
    for field, value in changed.items():
        setattr(copied, field, value)
    return copied
