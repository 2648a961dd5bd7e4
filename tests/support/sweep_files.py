"""Sweep files, and the faults of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from raysurf.errors import SpecError
from raysurf.sweep.document import load


def write(folder: Path, text: str, name: str = "sweep.yaml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def faults(path: str) -> dict[tuple[str, int], str]:
    with pytest.raises(SpecError, match="expected") as caught:
        load(path)
    return {(fault.where, fault.line): str(fault) for fault in caught.value.faults}
