"""A Ray of raysurf's own, from before its start to after its end: what it writes, what it leaves, and how it fails."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import threading
import time
from pathlib import Path

import pytest

from raysurf.cluster.ray_cluster import connection
from raysurf.errors import ClusterError
from tests.support.paced import paced_file
from tests.support.planted_keys import KEYS, holders
from tests.support.processes import forked
from tests.support.ray_home import descendants, ray_home
from tests.support.run_process import raysurf_run

pytestmark = [pytest.mark.ray, pytest.mark.fault]


def test_a_run_writes_no_key_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that Ray itself is started with are in no file at any time; folder and token are gone with the run."""
    keys = [secrets.token_hex(12) for _ in KEYS]
    for name, key in zip(KEYS, keys, strict=True):
        monkeypatch.setenv(name, key)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    file, leaks, seen = paced_file(tmp_path, more="resources: {workers: 2}\n"), set[str](), 0
    with ray_home() as root:
        monkeypatch.setenv("RAY_TMPDIR", str(root))
        with raysurf_run(file, str(tmp_path / "r")) as run:
            while run.process.poll() is None:
                with contextlib.suppress(FileNotFoundError):
                    leaks |= set(holders(keys, root, tmp_path))
                    seen = max(seen, len(list(root.rglob("logs/*"))))
                time.sleep(0.5)
            assert run.process.returncode == 0, run.said
        assert seen > 10
        assert not leaks
        assert list(root.iterdir()) == []
    assert not (tmp_path / "home" / ".ray").exists()


def is_caught(number: int) -> bool:
    """Whether this process has a handler of a signal; Python alone would tell what it takes to be one."""
    caught = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


@pytest.mark.parametrize("name", ["_take_sigterm", "_do_not_start"])
def test_in_a_process_without_another_ray(name: str) -> None:
    """Each starts a Ray, which a process has but one of, and other tests of this folder share one."""
    child = forked(globals()[name])
    child.join()
    assert child.exitcode == 0


def _take_sigterm() -> None:
    """SIGTERM is taken while Ray ends and after it. Ray's core puts the system's action there, which leaves files."""
    import ray

    seen = list[bool]()
    with connection(None, needs_dashboard=False):
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        node = ray._private.worker._global_node
        end = node.kill_all_processes

        def look(*args: object, **kwargs: object) -> None:
            seen.append(is_caught(signal.SIGTERM))
            end(*args, **kwargs)

        node.kill_all_processes = look
    assert seen == [True]
    assert is_caught(signal.SIGTERM)


def _do_not_start() -> None:
    """A Ray that does not start is one line. Ray waits half a minute, and raises an error of no class of its own."""
    before, ended = dict(os.environ), threading.Event()

    def stop_raylet() -> None:
        while not ended.wait(0.002):
            for pid in descendants(os.getpid()):
                with contextlib.suppress(OSError):
                    if Path(f"/proc/{pid}/exe").readlink().name == "raylet":
                        os.kill(pid, signal.SIGSTOP)
                        return

    stopping = threading.Thread(target=stop_raylet)
    stopping.start()
    try:
        with (
            pytest.raises(ClusterError, match=r"this machine: got Exception: .*startup.*logs are in (\S+)$") as failed,
            connection(None, needs_dashboard=False),
        ):
            pass
    finally:
        ended.set()
        stopping.join()
    kept = Path(failed.value.expected.rpartition(" ")[2])
    assert list(kept.glob("logs/gcs_server*"))
    assert not descendants(os.getpid())
    assert kept.stat().st_mode & 0o777 == 0o700
    assert {name for name in os.environ if "AUTH" in name} == {name for name in before if "AUTH" in name}
