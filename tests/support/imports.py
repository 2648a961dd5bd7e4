"""Imports of a file, those inside functions and for typing alone among them."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path


@cache
def imports(path: object) -> set[str]:
    """Every module that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(Path(str(path)).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def imported_files(path: Path, files: Mapping[str, Path]) -> set[Path]:
    """Which of some files, by module, a file imports: the named module, or the package that a name is of."""
    imported: set[Path | None] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {files.get(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported |= {files.get(f"{node.module}.{alias.name}", files.get(node.module)) for alias in node.names}
    return {file for file in imported if file not in (None, path)}
