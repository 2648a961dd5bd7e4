"""The Ray that raysurf starts: where it listens, whom it lets in, and what it writes of the environment."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import requests

import raysurf as rs
from raysurf.cluster.local_ray import _place, _settings
from raysurf.errors import ClusterError
from tests.support.cases import tiny_sgd
from tests.support.planted_keys import KEYS, holders
from tests.support.ray_home import descendants

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")]


@dataclass(frozen=True)
class Watched:
    """A run of a Ray that has keys in its driver's environment: what was seen of its processes, and its folders."""

    sockets: set[tuple[str, str]]
    commands: set[str]
    keys: list[str]
    places: tuple[Path, Path]


def session() -> Path:
    """The folder of this process's Ray."""
    import ray

    return Path(ray._private.worker._global_node.get_session_dir_path())


def look(watched: Watched) -> None:
    """Write down where each process of this process's Ray listens, and by which command it was started."""
    for pid in descendants(os.getpid()) | {os.getpid()}:
        try:
            process = psutil.Process(pid)
            watched.commands.add(" ".join(process.cmdline()))
            listening = [
                listener for listener in process.net_connections("inet") if listener.status == psutil.CONN_LISTEN
            ]
        except psutil.Error:
            continue
        watched.sockets.update((listener.laddr.ip, process.name()) for listener in listening)


@pytest.fixture(scope="module")
def watched(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """A trial in a Train group of one worker to three."""
    root = tmp_path_factory.mktemp("watched")
    seen = Watched(set(), set(), [secrets.token_hex(12) for _ in KEYS], (session(), root))
    ended = threading.Event()

    def keep_looking() -> None:
        while not ended.wait(0.5):
            look(seen)

    job = tiny_sgd(epochs=2, data=rs.DataSpec(name="digits", share=0.3))
    with pytest.MonkeyPatch.context() as patch:
        for name, key in zip(KEYS, seen.keys, strict=True):
            patch.setenv(name, key)
        looking = threading.Thread(target=keep_looking)
        looking.start()
        try:
            assert rs.run(rs.Sweep(job, name="group", resources=rs.Resources(workers=(1, 3))), str(root)).failed == 0
        finally:
            ended.set()
            looking.join()
    return seen


def test_every_socket_is_on_the_loopback_address(watched: Watched) -> None:
    """Of Ray's servers, its workers and a Train group's store, none listens where another machine could call."""
    names = {name for _, name in watched.sockets}
    assert {"gcs_server", "raylet"} < names
    assert len(watched.sockets) > 5
    assert {address.removeprefix("::ffff:") for address, _ in watched.sockets} == {"127.0.0.1"}


def test_keys_of_the_environment_are_written_nowhere(watched: Watched) -> None:
    """Ten keys: no file of Ray's or of the store holds one, and no command line."""
    assert len(list(watched.places[0].rglob("logs/*"))) > 10
    assert holders(watched.keys, *watched.places) == []
    assert not [line for line in watched.commands if any(key in line for key in watched.keys)]


def test_a_group_takes_the_workers_that_there_are(watched: Watched) -> None:
    """Of one to three workers two are had on two CPUs; nobody waits for the third."""
    assert rs.results.open(str(watched.places[1])).table("runs")["workers"].to_pylist() == [2]


JOIN = "import ray, sys; ray.init(address=sys.argv[1]); print(ray.get(ray.remote(lambda: 'it ran').remote()))"
STRANGERS = ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64})


@pytest.mark.usefixtures("ray_cluster")
def test_nobody_joins_without_the_token() -> None:
    """Another user of this machine reaches it, and is let in by the token alone."""
    import ray

    neutral = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    command = [sys.executable, "-c", JOIN, ray.get_runtime_context().gcs_address]
    joining = [
        subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for environ in (os.environ, *(neutral | stranger for stranger in STRANGERS))
    ]
    (said, _), *refused = [process.communicate(timeout=120) for process in joining]
    assert said == "it ran\n"
    for said, error in refused:
        assert said == ""
        assert "unauthenticated" in error.lower() or "unauthorized" in error.lower(), error


@pytest.mark.usefixtures("ray_cluster")
def test_other_addresses_of_this_machine_lead_nowhere() -> None:
    """A second loopback address, and every address that the network knows this machine by."""
    import ray

    port = int(ray.get_runtime_context().gcs_address.rpartition(":")[2])
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
    kinds = (socket.AF_INET, socket.AF_INET6)
    known = [entry.address for every in psutil.net_if_addrs().values() for entry in every if entry.family in kinds]
    for address in {"127.0.0.2", *known} - {"127.0.0.1"}:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, port), timeout=5)


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize(("headers", "status"), [({}, 401), ({"Authorization": "Bearer " + "0" * 64}, 403)])
def test_no_job_is_submitted_without_the_token(headers: dict[str, str], status: int) -> None:
    """The dashboard takes no job from who lacks the token, or has another one."""
    import ray

    dashboard = ray._private.worker._global_node.webui_url
    body = {"entrypoint": "touch submitted"}
    answer = requests.post(f"http://{dashboard}/api/jobs/", json=body, headers=headers, timeout=30)
    assert answer.status_code == status, answer.text


@pytest.mark.usefixtures("ray_cluster")
def test_the_token_is_this_users_alone() -> None:
    """Token and folder are readable by their owner alone, and Ray's session lies in that folder."""
    token = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
    assert token.stat().st_mode & 0o777 == 0o600
    assert token.parent.stat().st_mode & 0o777 == 0o700
    assert len(token.read_text()) == 64
    assert session().is_relative_to(token.parent / "r")


@pytest.mark.parametrize(
    ("environ", "sets"),
    [
        ({}, {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"}),
        ({"RAY_AUTH_MODE": "token"}, {"RAY_AUTH_TOKEN_PATH"}),
        ({"RAY_AUTH_MODE": "disabled"}, set()),
        ({"RAY_AUTH_TOKEN": "mine"}, {"RAY_AUTH_MODE"}),
        ({"RAY_AUTH_TOKEN_PATH": "/mine"}, {"RAY_AUTH_MODE"}),
    ],
)
def test_what_the_user_says_of_tokens_holds(environ: dict[str, str], sets: set[str], tmp_path: Path) -> None:
    """Settings of Ray's authentication that the user has made are not changed, and then no token is written."""
    assert {name for name in _settings(environ, tmp_path) if "AUTH" in name} == sets
    assert (tmp_path / "token").exists() == ("RAY_AUTH_TOKEN_PATH" in sets)


def test_a_long_folder_of_temporary_files_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's sockets would not fit in it: /tmp is taken; a long $RAY_TMPDIR is refused, since it was asked for."""
    short, long = "/tmp", str(tmp_path / ("x" * 60))
    monkeypatch.setattr("tempfile.tempdir", long)
    assert _place({}) == short
    monkeypatch.setattr("tempfile.tempdir", short)
    assert _place({}) == short
    assert _place({"RAY_TMPDIR": short}) == short
    with pytest.raises(ClusterError, match=r"RAY_TMPDIR=.*x, of \d+ bytes; expected a folder whose path has \d+"):
        _place({"RAY_TMPDIR": long})
    with pytest.raises(ClusterError, match="RAY_TMPDIR=/proc/nowhere"):
        _place({"RAY_TMPDIR": "/proc/nowhere"})
