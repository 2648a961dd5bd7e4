"""What the files in ``sweeps/`` look for."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def imagenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder where ImageNet would lie: one class, without images."""
    for part in ("train", "val"):
        (tmp_path / "imagenet" / part / "n01440764").mkdir(parents=True)
    monkeypatch.setenv("RAYSURF_DATA", str(tmp_path))
