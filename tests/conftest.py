"""What every test shares: one thread, no W&B server, quiet Optuna."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

# Folders and files whose tests share what takes seconds to make: a Ray; runs of W&B; pages of a sweep.
WHOLE = ("tests/cluster/", "tests/tracking/", "tests/report/test_sweep_report")
os.environ["WANDB_MODE"] = "offline"
# Processes that tests start have one thread, or threads that sleep while they wait: others need the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("RAYSURF_DATA", str(Path("tests-have-no-data").absolute()))


class _ByFile(LoadFileScheduling):
    """A file's tests share a process, and so do those of some folders and files."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return next((folder for folder in WHOLE if file.startswith(folder)), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """How tests are shared out among processes. (``--dist loadgroup`` of xdist 3.8 does nothing under pytest 9.2.)"""
    return _ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of tests that wait for Ray come first, so that both processes end together."""
    items.sort(key=lambda item: item.path.parent.name not in ("cluster", "cli"))


def pytest_collection_finish() -> None:
    """What is imported by now stays: Python need not look through it for garbage again and again."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let Python end what it holds; some extensions report it as leaked otherwise."""
    gc.unfreeze()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums are taken in one order on every machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    """The port of a running S3 server; tests have buckets of their own in it."""
    from tests.support.s3_server import free_port, s3_server

    with s3_server(port := free_port()):
        yield port


@pytest.fixture
def port(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """The same, with the keys that it takes in the environment."""
    from tests.support.s3_server import KEYS

    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    return s3_port


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two sweeps."""
    from tests.support.kept_stores import run_two_sweeps

    run_two_sweeps(root := tmp_path_factory.mktemp("original") / "results")
    return root


@pytest.fixture
def store(original: Path, tmp_path: Path) -> Any:
    """A copy of it, ``results`` in the test's own folder."""
    from raysurf.store.store import Store

    shutil.copytree(original, tmp_path / "results")
    return Store(str(tmp_path / "results"))
