"""Blocks of code in the README and the pages of ``docs/``.

A comment before a block, which readers do not see, says what the tests do with it: ``% file: NAME`` writes it to a
file, and ``% not run: WHY`` and ``% not a sweep: WHY`` leave it alone. In the README it is ``<!-- not run: WHY -->``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.support.cases import ROOT

DOCS = ROOT / "docs"
BLOCK = re.compile(
    r"(?:^(?:% |<!-- )(?P<mark>file|not run|not a sweep): (?P<text>[^\n]+?)(?: -->)?\n)?"
    r"^```(?P<language>[a-z]+)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A block of code: its language and text, the file that it stands for, and why it is left alone."""

    language: str
    code: str
    file: str
    left_alone: str


def pages() -> list[Path]:
    """The README and every page, as they are written."""
    return [ROOT / "README.md", *sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)]


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    matches = BLOCK.finditer(page.read_text())
    return [
        Block(
            match["language"],
            match["code"],
            match["text"] if match["mark"] == "file" else "",
            match["text"] if (match["mark"] or "").startswith("not") else "",
        )
        for match in matches
    ]


def write_files(page: Path, folder: Path) -> None:
    """Write the files that a page shows to a folder."""
    for block in blocks(page):
        if block.file:
            (folder / block.file).write_text(block.code)
