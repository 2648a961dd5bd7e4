"""Optional dependencies: which part of raysurf needs them, and what to install.

Reading results needs the core dependencies alone; running jobs needs the extra ``run``.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

from raysurf.errors import MissingPackageError

RUN = ".[run]"
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
    """Import a module of an optional dependency.

    Args:
        module: Such as ``polars``.
        needed_for: What needs it, such as ``to_polars()``.
        install: The argument of ``pip install``.

    Raises:
        MissingPackageError: If its package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingPackageError(error.name or module, needed_for, install) from error


def require_run(needed_for: str) -> None:
    """Check that the extra ``run`` is installed.

    Raises:
        MissingPackageError: If one of its packages is missing; the first is named.
    """
    for module in WITHOUT_WHICH_NOTHING_RUNS:
        if find_spec(module) is None:
            raise MissingPackageError(module, needed_for, RUN)


def missing(error: ModuleNotFoundError, needed_for: str) -> MissingPackageError | None:
    """The error for a failed import of a module of the extra ``run``; None for any other module."""
    module = (error.name or "").partition(".")[0]
    return MissingPackageError(module, needed_for, RUN) if module in OF_RUN else None
