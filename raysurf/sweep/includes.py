"""Which files a sweep file is made of."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from raysurf.errors import Fault, SpecError


def files_of(file: str | Path) -> list[Path]:
    """A sweep file and all that it includes, directly or through others, each once, as absolute paths.

    Args:
        file: One that ``document.load`` takes.

    Raises:
        SpecError: If an include is an absolute path, which would lead nowhere on another machine.
    """
    files: dict[Path, None] = {}
    _visit(Path(os.path.abspath(file)), files)
    return list(files)


def _visit(file: Path, files: dict[Path, None]) -> None:
    if file in files:
        return
    files[file] = None
    for event in yaml.parse(file.read_text(encoding="utf-8"), yaml.SafeLoader):
        if isinstance(event, yaml.ScalarEvent) and event.tag == "!include":
            if os.path.isabs(event.value):
                line = event.start_mark.line + 1 if event.start_mark else 1
                got = f"the absolute path {event.value}"
                wanted = "a path relative to the including file, since the file goes to another machine"
                raise SpecError([Fault("!include", got, wanted, file=str(file), line=line)])
            _visit(Path(os.path.abspath(file.parent / event.value)), files)
