"""A store of two sweeps, made once, and copies of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from raysurf.store.store import Store
from tests.support.kept_stores import run_two_sweeps


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two sweeps."""
    run_two_sweeps(root := tmp_path_factory.mktemp("original") / "results")
    return root


@pytest.fixture
def store(original: Path, tmp_path: Path) -> Store:
    """A copy of it."""
    shutil.copytree(original, tmp_path / "results")
    return Store(str(tmp_path / "results"))
