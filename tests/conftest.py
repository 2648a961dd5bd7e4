"""What every test shares: one thread, no W&B server, quiet Optuna."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["WANDB_MODE"] = "offline"
os.environ.setdefault("RAYSURF_DATA", str(Path("tests-have-no-data").absolute()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of tests that wait for Ray come first, so that the two processes end together."""
    items.sort(key=lambda item: item.path.parent.name not in ("cluster", "cli"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums are taken in one order on every machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One Ray of two CPUs for the whole run, with the dashboard that Train groups inside Tune need."""
    from raysurf.cluster.environment import connection

    with connection(None, needs_dashboard=True):
        yield
