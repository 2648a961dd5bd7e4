"""A local Ray of raysurf's own: loopback address, a token per run, a private folder that is removed at the end."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from raysurf.cluster.ray_patches import own_session, reread_environment, shut_down, why_off
from raysurf.errors import ClusterError

# The longest path of a socket, and what follows our folder in one of Ray's.
LONGEST_SOCKET = 107 if sys.platform == "linux" else 103
RAYS_PART = len("/r/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store")
PREFIX = "raysurf-"
REMOVAL_S = 3.0
LOOPBACK = "lo" if sys.platform == "linux" else "lo0"
THIS_MACHINE = "this machine"

_folders: set[Path] = set()


@contextmanager
def own_ray(cpus: int, dashboard: bool) -> Iterator[None]:
    """Start a Ray on this machine, be connected to it, and stop it in the end.

    It can be reached from this machine alone, with a token that is made for it, unless the user has set
    RAY_AUTH_MODE or a token of his own. Its files, the token among them, are in a folder that only the user can read,
    which is removed in the end.

    Raises:
        ClusterError: If it does not start; its logs are kept then.
    """
    import ray

    with ExitStack() as stack:
        folder = stack.enter_context(_private_folder())
        if why_off("environment") is None:
            stack.enter_context(_environment(_settings(os.environ, folder)))
        stack.callback(shut_down)
        with own_session() as started:
            try:
                ray.init(
                    address="local",
                    num_cpus=cpus,
                    include_dashboard=dashboard,
                    dashboard_host="127.0.0.1",
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    configure_logging=True,
                    # Which Ray opens to everybody; the folder round it is closed.
                    _temp_dir=str(folder / "r"),
                )
            except Exception as error:  # Ray's own errors here are of every class, Exception itself among them
                for process in started:
                    process.kill()
                    process.wait()
                got, kept = f"{type(error).__name__}: {error}", _keep_logs(folder)
                expected = f"a Ray that starts: an idle machine, memory, room on its disk; Ray's own logs are in {kept}"
                raise ClusterError(THIS_MACHINE, got, expected) from error
        yield


def forget() -> None:
    """Remove the folders of this process's Ray, before the process exits hard."""
    for folder in _folders:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _private_folder() -> Iterator[Path]:
    """A folder for Ray's files that only this user can enter."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_place(os.environ)))
    _folders.add(folder)
    try:
        yield folder
    finally:
        # A worker that ends may still write its log.
        until = time.monotonic() + REMOVAL_S
        while folder.exists() and time.monotonic() < until:
            shutil.rmtree(folder, ignore_errors=True)
        _folders.discard(folder)


def _place(environ: Mapping[str, str]) -> str:
    """The folder to put it in: $RAY_TMPDIR, that of temporary files, or /tmp if that one's path is too long.

    Raises:
        ClusterError: If $RAY_TMPDIR is too long, or not there.
    """
    longest = LONGEST_SOCKET - RAYS_PART - len(f"/{PREFIX}12345678")
    chosen = environ.get("RAY_TMPDIR")
    place = os.path.abspath(chosen or tempfile.gettempdir())
    length = len(os.fsencode(place))
    if chosen is None:
        return place if length <= longest else "/tmp"
    if length > longest:
        got = f"RAY_TMPDIR={chosen}, of {length} bytes"
        expected = f"a folder whose path has {longest} at most, since Ray's sockets lie in it"
        raise ClusterError(THIS_MACHINE, got, expected)
    try:
        os.makedirs(place, exist_ok=True)
    except OSError as error:
        raise ClusterError(THIS_MACHINE, f"RAY_TMPDIR={chosen}: {error.strerror}", "a folder to write in") from error
    return place


def _settings(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Environment variables for Ray and its workers; those that the user has set are kept."""
    wanted = {
        # Ray then takes the loopback address for this machine's, and all its servers listen there alone.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "GLOO_SOCKET_IFNAME": LOOPBACK,
        "NCCL_SOCKET_IFNAME": LOOPBACK,
        "RAY_AUTH_MODE": "token",
    }
    settings = {name: value for name, value in wanted.items() if name not in environ}
    has_token = "RAY_AUTH_TOKEN" in environ or "RAY_AUTH_TOKEN_PATH" in environ
    if environ.get("RAY_AUTH_MODE", "token").lower() == "token" and not has_token:
        token = folder / "token"
        with open(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        settings["RAY_AUTH_TOKEN_PATH"] = str(token)
    return settings


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, and make Ray reread them."""
    os.environ.update(settings)
    reread_environment()
    try:
        yield
    finally:
        for name in settings:
            os.environ.pop(name, None)
        reread_environment()


def _keep_logs(folder: Path) -> Path:
    """Copy Ray's logs to a private folder that is kept."""
    kept = Path(tempfile.mkdtemp(prefix="raysurf-logs-"))
    for logs in folder.glob("r/session_2*/logs"):
        shutil.copytree(logs, kept / "logs", dirs_exist_ok=True, ignore_dangling_symlinks=True)
    return kept
