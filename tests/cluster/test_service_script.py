"""The script of `docs/how-to/submit.md`, on a head of its own with a token: submit, status, stop, logs, list, table."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import raysurf as rs
from tests.support.cases import ROOT
from tests.support.doc_blocks import DOCS, blocks
from tests.support.planted_keys import KEYS, holders
from tests.support.ray_home import free_ports, ray_home

pytestmark = [
    pytest.mark.ray,
    pytest.mark.fault,
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds its processes in /proc"),
]
SMALL = """
name: small
job:
  kind: sgd
  model: {name: digits_conv, options: {width: 4}}
  data: {name: digits, share: 0.2}
  epochs: 2
  lr: !each [0.05, 0.1]
  seed: 0
"""


@dataclass(frozen=True)
class Place:
    """A folder that is home, project and Ray's own place at once, the ports of its cluster, and keys of the user's."""

    root: Path
    ports: tuple[int, ...]
    keys: tuple[str, ...]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.ports[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """What a shell of somebody who has just installed raysurf has; RAY_TMPDIR marks every process of ours."""
        kept = ("LANG", "LC_ALL", "PYTHONDONTWRITEBYTECODE", "WANDB_MODE", "RAYSURF_DATA", "OMP_NUM_THREADS")
        own = {name: os.environ[name] for name in kept if name in os.environ}
        paths = {"HOME": str(self.root / "home"), "RAY_TMPDIR": str(self.root), "PYTHONPATH": str(ROOT)}
        path = f"{self.root / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        keys = dict(zip(KEYS, self.keys, strict=True))
        return own | keys | paths | {"PATH": path, "RAY_API_SERVER_ADDRESS": self.address}

    def shell(self, script: str, **more: str) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in (self.environment | more).items() if v}
        command, folder = ["bash", "-euo", "pipefail", "-c", script], self.root / "project"
        return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=240)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """A place with a small sweep; whatever was started there ends with it. Its path is short, for Ray's sockets."""
    with ray_home() as root:
        for name in ("home", "project", "bin"):
            (root / name).mkdir()
        (root / "project" / "small.yaml").write_text(SMALL)
        (root / "project" / ".env").write_text("A_SECRET=1\n")
        (root / "bin" / "raysurf").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m raysurf.cli.main "$@"\n')
        (root / "bin" / "raysurf").chmod(0o755)
        yield Place(root, free_ports(4), tuple(secrets.token_hex(12) for _ in KEYS))


@pytest.fixture(scope="module")
def done(place: Place) -> subprocess.CompletedProcess[str]:
    """The page's script, on ports of its own, with a small sweep; the head is left for the tests below."""
    (script,) = [block.code for block in blocks(DOCS / "how-to" / "submit.md") if "raysurf submit" in block.code]
    gcs, dashboard, client, agent = place.ports
    own = (
        f"--port={gcs} --dashboard-port={dashboard} --ray-client-server-port={client} "
        f"--dashboard-agent-listen-port={agent} --min-worker-port=0 --max-worker-port=0 --num-cpus=2 "
        f"--include-dashboard=true --object-store-memory=100000000 --temp-dir={place.root} --disable-usage-stats"
    )
    script = script.replace("ray start --head", f"ray start --head {own}").replace(
        "sweeps/quickstart.yaml", "small.yaml"
    )
    assert script.endswith("\nray stop\n")
    return place.shell(script.removesuffix("ray stop\n"))


def test_the_script_of_the_readme_runs(done: subprocess.CompletedProcess[str], place: Place) -> None:
    """Submitted, looked at, stopped, submitted again, followed to its end, listed; the table has every trial once."""
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = re.findall(r"next +raysurf status (small-[0-9a-f]{8})", done.stderr)
    assert f"{first}  stopped" in done.stdout
    assert f"raysurf submit small.yaml --results {place.root}/project/results" in done.stderr
    assert f"Running entrypoint for job {second}: python -m raysurf.cli.main run small.yaml" in done.stdout
    assert re.search(rf"^{second}  done since .*, ended", done.stdout, re.MULTILINE)
    assert re.search(r"^small +2 +2 +0 +0 +0 +0$", done.stdout, re.MULTILINE)
    assert re.search(rf"^{first} +stopped .*\n{second} +done ", done.stdout, re.MULTILINE)
    rows = rs.results.open(str(place.root / "project" / "results")).table("trials").to_pylist()
    assert [(row["trial"], row["state"]) for row in rows] == [(0, "done"), (1, "done")]
    assert "left out, since it looks like a secret: .env" in done.stderr


def test_the_token_is_written_nowhere(done: subprocess.CompletedProcess[str], place: Place) -> None:
    """It is in its file alone: not in what is printed, the results, the job's log and record, or the folder there."""
    token = (place.root / "home" / ".ray" / "auth_token").read_text().strip()
    assert len(token) > 20
    assert token not in done.stdout + done.stderr
    for file in (path for path in place.root.rglob("*") if path.is_file() and path.name != "auth_token"):
        assert token.encode() not in file.read_bytes(), file
    assert not list(place.root.rglob("working_dir_files/**/.env"))
    assert list(place.root.rglob("working_dir_files/**/small.yaml"))


def test_no_key_of_the_environment_is_written(done: subprocess.CompletedProcess[str], place: Place) -> None:
    """Whoever submits has ten keys, and so have the cluster's nodes: no file of either holds one."""
    assert len(list(place.root.rglob("logs/*"))) > 10
    assert holders(place.keys, place.root) == []


def test_nobody_comes_in_without_the_token(done: subprocess.CompletedProcess[str], place: Place) -> None:
    """No token, another one, and a job that is not there are one line each with what to do, and exit code 2."""
    job = re.findall(r"raysurf status (small-[0-9a-f]{8})", done.stderr)[0]
    for environment, arguments, said in (
        ({"RAY_AUTH_MODE": "token", "HOME": "/nowhere"}, f"status {job}", "got no token to send"),
        ({"RAY_AUTH_TOKEN": "f" * 64}, f"stop {job}", "got the answer that the token is not its own"),
        ({}, "status small-0", f"got no job 'small-0'; expected one of {job}, "),
    ):
        refused = place.shell(f"raysurf {arguments}", **environment)
        assert refused.returncode == 2, refused.stderr
        (line,) = refused.stderr.splitlines()
        assert said in line
        assert ("RAY_AUTH_TOKEN" in line) is bool(environment)


def test_it_listens_on_this_machine_alone(done: subprocess.CompletedProcess[str], place: Place) -> None:
    """The dashboard, with its job server, and the client port are bound to loopback (127.…)."""
    bound = dict[int, set[str]]()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, number = local.split(":")
            if state == "0A":
                bound.setdefault(int(number, 16), set()).add(address)
    for port in place.ports[1:3]:
        assert all(host.endswith("00007F") for host in bound[port]), (port, bound[port])


def test_a_failed_job_says_so(done: subprocess.CompletedProcess[str], place: Place) -> None:
    """Status and logs --follow of a failed job exit with 1, JSON has the counts, and the end of the log says why."""
    script = (
        "job=$(raysurf submit small.yaml --results /proc/r -- --wandb off); raysurf logs $job -f > log || echo code $?;"
    )
    failed = place.shell(f"{script} raysurf status $job --format json || echo code $?")
    first, status, last, _ = re.split(r"^(code 1)\n", failed.stdout, flags=re.MULTILINE)[1:]
    assert (first, last) == ("code 1", "code 1"), failed.stderr
    assert json.loads(status)["sweeps"] == [
        {"sweep": "small", "trials": 2, "done": 0, "running": 0, "waiting": 2, "stopped": 0, "failed": 0}
    ]
    assert "results '/proc/r': got" in (place.root / "project" / "log").read_text()
    assert "results '/proc/r': got" in failed.stderr
    assert "all of its log: raysurf logs small-" in failed.stderr
