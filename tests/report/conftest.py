"""A sweep of 30 trials and two planes, and its pages, for all tests of the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from raysurf.report.sweep_report import write_report
from raysurf.results.api import Results
from tests.support.large_sweep import SWEEP, large_sweep


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return large_sweep(tmp_path_factory.mktemp("large"), trials=30, epochs=3)


@pytest.fixture(scope="session")
def pages(large: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``plain.html`` and ``interactive.html``."""
    folder = tmp_path_factory.mktemp("pages")
    for name in ("plain", "interactive"):
        write_report(large, [SWEEP], str(folder / f"{name}.html"), is_interactive=name == "interactive")
    return folder
