"""One sweep's runs of W&B, written offline."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.wandb_process import SWEEP, in_process


@pytest.fixture(scope="session")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose sweep's runs have not been sent; tests only read it."""
    root = tmp_path_factory.mktemp("offline")
    in_process(SWEEP, {"WANDB_MODE": "offline"}, str(root))
    return root
