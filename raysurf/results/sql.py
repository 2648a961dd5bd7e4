"""Quoting of texts and names for SQL."""

from __future__ import annotations

from collections.abc import Iterable


def quoted(text: str) -> str:
    """A text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def quoted_name(name: str) -> str:
    """The name of a table or column in SQL."""
    return '"' + name.replace('"', '""') + '"'


def quoted_list(texts: Iterable[str]) -> str:
    """Texts as the list that follows ``in``: ``('a', 'b')``."""
    return f"({', '.join(map(quoted, texts))})"
