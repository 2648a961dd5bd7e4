"""What is handed to a cluster as a Ray job, and what a Ray job says of what was handed over. Nothing here acts."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from raysurf import own_code
from raysurf.cluster.spending import with_inputs
from raysurf.cluster.working_folder import Folder, check_secrets, check_size, select, without_private_keys
from raysurf.data.registry import data_elsewhere
from raysurf.errors import SubmissionError
from raysurf.failure import is_installed
from raysurf.jobs.job import Job
from raysurf.jobs.provenance import SUBMISSION, Provenance
from raysurf.redaction import holds_secret
from raysurf.results.progress import PlannedSweep
from raysurf.store.filesystem import address_of
from raysurf.sweep.includes import files_of
from raysurf.sweep.sweep import Sweep

if TYPE_CHECKING:
    from ray.job_submission import JobDetails

# A file that lies outside the working folder is put here, with what it includes.
OUTSIDE = "_submitted"
# Ray ends a job as Ctrl-C does, and gives the driver this long to write what it has.
STOPPING = {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": "30"}
OWN_OPTIONS = ("--results", "--address")


@dataclass(frozen=True)
class Submission:
    """A Ray job that runs a sweep file.

    Args:
        id: Its name on the cluster.
        entrypoint: The shell command that the cluster runs in the folder.
        metadata: What Ray keeps with the job; ``Submitted`` reads it again.
        env_vars: Environment of the job; none of it comes from the environment here.
        folder: The files that travel.
        extra: Files that are made for the journey, by their path in the folder.
        notices: What the user should know of data that the jobs read.
    """

    id: str
    entrypoint: str
    metadata: Mapping[str, str]
    env_vars: Mapping[str, str]
    folder: Folder
    extra: Mapping[str, bytes]
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Submitted:
    """A job on a cluster that raysurf has submitted.

    Args:
        id: Its name.
        state: pending, running, done, failed or stopped.
        file: The sweep file, as it was named.
        results: Address of its result store.
        sweeps: What it was to do.
        began_ms, ended_ms: Milliseconds since 1970.
        message: What Ray says of its state; of a failed one the end of its log.
        exit_code: Of its command, if that has ended.
    """

    id: str
    state: str
    file: str
    results: str
    sweeps: tuple[PlannedSweep, ...]
    began_ms: int | None = None
    ended_ms: int | None = None
    message: str = ""
    exit_code: int | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ("done", "failed", "stopped")


STATES = {"PENDING": "pending", "RUNNING": "running", "SUCCEEDED": "done", "FAILED": "failed", "STOPPED": "stopped"}


def resolve_results(results: str, folder: Path, is_here: bool) -> str:
    """The address of a result store that the cluster and the user both see.

    Args:
        results: As the user gave it.
        folder: The working folder, which a relative path starts from.
        is_here: Whether all of the cluster is on this machine.

    Raises:
        SubmissionError: If it is a relative path on a cluster elsewhere, or has a secret in it.
    """
    if holds_secret(results):
        raise SubmissionError(
            f"results {results}",
            "an address without secrets, since it is kept with the job (give them to the cluster's nodes, as "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or as a role)",
        )
    results = address_of(results)
    if "://" in results or os.path.isabs(results):
        return results
    if not is_here:
        raise SubmissionError(
            f"results {results!r}, a relative path, for a cluster that is not this machine alone",
            "--results with an address such as s3://bucket/results, or with the absolute path of a disk that all "
            "nodes share",
        )
    return os.path.abspath(folder / results)


def submit_plan(
    file: str,
    sweeps: Sequence[Sweep],
    results: str,
    folder: Path,
    token: str,
    provenance: Provenance,
    options: Sequence[str] = (),
    secrets: Mapping[str, str] | None = None,
) -> Submission:
    """Decide what is handed over.

    Args:
        file: The sweep file, absolute or relative to the folder.
        sweeps: What stands in it.
        results: As ``resolve_results`` gives it.
        folder: The working folder; files that jobs name by relative paths, and models by dotted ones, lie in it.
        token: A few letters that make the job's name its own.
        provenance: Of the code here, since the folder on the cluster is in no git.
        options: More options of ``raysurf run``.
        secrets: Values that must not travel, by what holds them.

    Raises:
        SubmissionError: If the folder is too large, a file holds a secret, or data cannot travel.
        SpecError: If an include leads nowhere on another machine.
    """
    if (wrong := next((option for option in options if option.split("=")[0] in OWN_OPTIONS), None)) is not None:
        raise SubmissionError(f"{wrong} among the options of run", "it before the --, as an option of submit")
    if holds_secret(shlex.join(options)):
        raise SubmissionError(f"the options {shlex.join(options)}", "options without secrets, since they are kept")
    if folder.resolve() in (Path.home().resolve(), Path("/")):
        raise SubmissionError(f"the working folder {folder}", "a folder of your project, since all of it travels")
    folder, parts = folder.resolve(), [path.resolve() for path in files_of(folder / file)]
    inside = all(path.is_relative_to(folder) for path in parts)
    local, notices = _data(sweeps, folder)
    store = [Path(results)] if os.path.isabs(results) else []
    # Source files of the user's modules that jobs name, and of those that they import.
    modules = [own_code.sources(name) for sweep in sweeps for name in sweep.code]
    beside = {path.resolve() for sources in modules for path in sources.values() if not is_installed(path)}
    code = [path for path in beside if path.is_relative_to(folder)]
    selected = select(folder, [*(parts if inside else []), *local, *code], store)
    files = dict(selected.files)
    entry = (folder / file).resolve().relative_to(folder).as_posix() if inside else ""
    if not inside:
        top = Path(os.path.commonpath([path.parent for path in parts]))
        parts += [path for path in beside if path.is_relative_to(parts[0].parent)]
        files |= {f"{OUTSIDE}/{path.relative_to(top).as_posix()}": path for path in parts}
        entry = f"{OUTSIDE}/{parts[0].relative_to(top).as_posix()}"
    if "raysurf/cli/main.py" not in files:
        package = Path(str(resources.files("raysurf"))).resolve()
        own = (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        files |= {path.relative_to(package.parent).as_posix(): path for path in own}
    whole = Folder(files, selected.secret)
    check_size(whole)
    needed = {*parts, *(file for path in local for file in ([path] if path.is_file() else path.rglob("*")))}
    whole = without_private_keys(whole, [name for name, path in files.items() if path.resolve() in needed])
    check_secrets(whole, secrets or {})
    planned = [
        {"name": sweep.name, "trials": sum(map(sweep.trials_in, sweep.configurations)), "definition": sweep.digest}
        for sweep in sweeps
    ]
    command = ["python", "-m", "raysurf.cli.main", "run", entry, *options, "--address", "auto", "--results", results]
    return Submission(
        id=f"{re.sub(r'[^A-Za-z0-9]+', '-', Path(file).stem).strip('-') or 'sweep'}-{token}",
        entrypoint=shlex.join(command),
        metadata={
            "raysurf.version": provenance.versions.get("raysurf", "unknown"),
            "raysurf.file": file,
            "raysurf.sweeps": json.dumps(planned),
            "raysurf.results": results,
        },
        env_vars=STOPPING,
        folder=whole,
        extra={SUBMISSION: json.dumps(provenance.as_handed_over()).encode()},
        notices=(*notices, *(f"left out, since it looks like a secret: {name}" for name in whole.secret)),
    )


def read_job(job: JobDetails) -> Submitted | None:
    """What a job of Ray's was handed; None if raysurf has not submitted it."""
    kept = job.metadata or {}
    if "raysurf.version" not in kept or not job.submission_id:
        return None
    return Submitted(
        id=job.submission_id,
        state=STATES.get(job.status.value, "pending"),
        file=kept.get("raysurf.file", ""),
        results=kept.get("raysurf.results", ""),
        sweeps=tuple(PlannedSweep(**sweep) for sweep in json.loads(kept.get("raysurf.sweeps", "[]"))),
        began_ms=job.start_time,
        ended_ms=job.end_time or None,
        message=job.message or "",
        exit_code=job.driver_exit_code,
    )


def _data(sweeps: Sequence[Sweep], folder: Path) -> tuple[list[Path], list[str]]:
    """Files that jobs read: those that travel, and what is to be said of all."""
    travels: list[Path] = []
    notices: list[str] = []
    with data_elsewhere():
        jobs = [job for sweep in sweeps for sample in sweep.samples for job in sample.jobs]
        needed = with_inputs([*jobs, *(job for sweep in sweeps for job in sweep.baselines)])
        names = {path for job in needed for path in _paths(job)}
    for name in sorted(names):
        if "://" in name:
            continue
        if os.path.isabs(name):
            notices.append(f"read on every node: {name}")
            continue
        path = (folder / name).resolve()
        if not path.is_relative_to(folder) or not path.exists():
            why = "leads out of the folder" if path.exists() else "is not there"
            raise SubmissionError(
                f"the path {name!r}, which a job reads and which {why}",
                f"a file or folder within {folder}, or an absolute path that every node sees",
            )
        travels.append(path)
        notices.append(f"travels with the job: {name}")
    return travels, notices


def _paths(job: Job) -> Iterator[str]:
    data = job.data_spec
    yield from (path for path in (data.root, data.train, data.test, getattr(job, "file", None)) if path is not None)
