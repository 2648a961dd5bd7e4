"""Provenance and labels of a run: code, versions, command, hardware, and what its sweep calls it."""

from __future__ import annotations

import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from raysurf.failure import Failure
from raysurf.jobs.job import Job, seed_of
from raysurf.jobs.outcome import Metrics
from raysurf.redaction import redact

PACKAGES = ("raysurf", "torch", "torchvision", "ray", "optuna", "numpy")
# Lies in the folder of a submitted job, which is in no git: what stood in the folder that it was submitted from.
SUBMISSION = "raysurf-submission.json"


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

    def as_handed_over(self) -> dict[str, Any]:
        """What a submitted job is told of the code that it runs."""
        return {
            "git_commit": self.git_commit,
            "git_dirty": self.git_dirty,
            "versions": {"raysurf": self.versions["raysurf"]} if "raysurf" in self.versions else {},
        }


def collect() -> Provenance:
    """Look at this process and the working folder's git, if it is in one, or at what a submission says of it."""
    submission = _submission()
    commit = submission.get("git_commit") if submission else _git("rev-parse", "HEAD")
    dirty = None if commit is None else bool(_git("status", "--porcelain", "--untracked-files=no"))
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    if submission:
        dirty, versions = submission.get("git_dirty"), versions | submission.get("versions", {})
    command = redact(shlex.join([_program(sys.argv[0]), *sys.argv[1:]]))
    return Provenance(commit, dirty, command, versions)


def _submission() -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(Path(SUBMISSION).read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


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


@dataclass(frozen=True)
class Labels:
    """What a sweep calls a run: the columns of its ``runs`` row that the job itself does not know."""

    sweep: str
    role: str
    arm: str
    provenance: Provenance
    trial: int | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    def as_input(self) -> Labels:
        """The labels of an input that is run within this one's trial."""
        return Labels(self.sweep, "input", self.arm, self.provenance, self.trial)


def describe(job: Job, labels: Labels, status: str, metrics: Metrics, failure: Failure | None) -> dict[str, Any]:
    """The columns of a ``runs`` row that do not depend on where the job ran."""
    return {
        "run_id": job.id,
        "sweep": labels.sweep,
        "trial": labels.trial,
        "role": labels.role,
        "kind": job.kind,
        "arm": labels.arm,
        "group": job.group,
        "model": job.model_spec.name,
        "data": job.data_spec.shown,
        "seed": seed_of(job),
        "budget": job.budget_spent,
        "epochs": float(job.epochs_to_train),
        "params": json.dumps(dict(labels.params), sort_keys=True),
        "spec": json.dumps(job.tree, sort_keys=True),
        "inputs": [needed.id for needed in job.inputs],
        "status": status,
        "metrics": json.dumps(metrics, sort_keys=True),
        **labels.provenance.as_columns(),
        **(failure.columns if failure else {}),
    }
