"""What every test shares: one thread, no W&B server, quiet Optuna."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["WANDB_MODE"] = "offline"
os.environ.setdefault("RAYSURF_DATA", str(Path("tests-have-no-data").absolute()))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file is never divided between the two processes; those of tests of Ray, which wait most, come first."""
    items.sort(key=lambda item: item.path.parent.name not in ("cluster", "cli"))
    for item in items:
        item.add_marker(pytest.mark.xdist_group(f"{item.path.parent.name}/{item.path.name}"))


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
