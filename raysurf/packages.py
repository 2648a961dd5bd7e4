"""Packages that are not installed with raysurf itself: which part needs them, and what to install.

Reading results takes the project's own dependencies; running jobs takes those of its extra ``run``.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

from raysurf.errors import MissingPackageError

RUN = "raysurf[run]"
# Modules of the extra's packages.
WITHOUT_WHICH_NOTHING_RUNS = ("torch", "ray", "optuna")
OF_RUN = (
    *WITHOUT_WHICH_NOTHING_RUNS,
    "PIL",
    "cmaes",
    "jinja2",
    "markupsafe",
    "matplotlib",
    "plotly",
    "requests",
    "rich",
    "scipy",
    "sklearn",
    "torchvision",
    "wandb",
    "wandb_workspaces",
)


def imported(module: str, needed_for: str, install: str) -> Any:
    """Import a module whose package may be absent.

    Args:
        module: Such as ``polars``.
        needed_for: What needs it, such as ``to_polars()``.
        install: What pip is to be told.

    Raises:
        MissingPackageError: If its package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingPackageError(error.name or module, needed_for, install) from error


def require_run(needed_for: str) -> None:
    """Check that what runs jobs is installed.

    Raises:
        MissingPackageError: If it is not; the first package that is absent is named.
    """
    for module in WITHOUT_WHICH_NOTHING_RUNS:
        if find_spec(module) is None:
            raise MissingPackageError(module, needed_for, RUN)


def missing(error: ModuleNotFoundError, needed_for: str) -> MissingPackageError | None:
    """What a failed import comes to, if the module is one of the extra's; None if it is somebody else's."""
    module = (error.name or "").partition(".")[0]
    return MissingPackageError(module, needed_for, RUN) if module in OF_RUN else None
