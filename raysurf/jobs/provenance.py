"""Where a figure comes from: the code, its versions, the command and the hardware."""

from __future__ import annotations

import json
import platform
import shlex
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata

PACKAGES = ("raysurf", "torch", "torchvision", "ray", "optuna", "numpy")


@dataclass(frozen=True)
class Provenance:
    """What is the same for every job of one command."""

    git_commit: str | None
    git_dirty: bool | None
    command: str
    versions: dict[str, str]

    def as_columns(self) -> dict[str, object]:
        """The columns of a ``runs`` row."""
        return asdict(self) | {"versions": json.dumps(self.versions, sort_keys=True)}


def collect() -> Provenance:
    """Look at this process and the working folder's git, if it is in one."""
    commit = _git("rev-parse", "HEAD")
    dirty = None if commit is None else bool(_git("status", "--porcelain", "--untracked-files=no"))
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return Provenance(commit, dirty, shlex.join([_program(sys.argv[0]), *sys.argv[1:]]), versions)


def _program(path: str) -> str:
    """What was called: ``raysurf``, also where Python was told to run its module, or a script's name."""
    return "raysurf" if path.endswith("raysurf/cli/main.py") else path.rsplit("/", 1)[-1]


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def device_name(device: object) -> str:
    """The hardware that a torch device is."""
    import torch

    if torch.device(str(device)).type == "cuda":
        return torch.cuda.get_device_name(torch.device(str(device)))
    return f"cpu ({platform.machine()})"
