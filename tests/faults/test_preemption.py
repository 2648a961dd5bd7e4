"""Processes that get SIGTERM, nodes that are drained: what runs there keeps its state, and goes on elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster
from ray.core.generated import autoscaler_pb2

import raysurf as rs
from raysurf.cluster import events
from raysurf.results.store import Store
from tests.faults.stepping import EPOCHS, STEPS, WAITS_AT, go_file, left_after, stepping, steps_of
from tests.stored_rows import stored_rows

pytestmark = [pytest.mark.ray, pytest.mark.fault]

PATIENCE_S = 90.0
FILE = """
name: preempted
job:
  kind: sgd
  model: {name: "tests.faults.stepping:net", options: {log: !each [LOGS]}}
  data: digits
  epochs: 2
  lr: 0.1
  weight_decay: 1.0e-4
  batch_size: 64
failures: {retries: 0}
"""


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for something that happens in another process."""
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)


def check_calm(uri: str, calm: str) -> None:
    """Check that two stores have the same rows, and the same weights to the last bit."""
    assert stored_rows(uri) == stored_rows(calm)
    ours, theirs = Store(uri), Store(calm)
    assert ours.list("jobs") == theirs.list("jobs")
    weights = [path for path in theirs.list("jobs") if path.endswith("weights.safetensors")]
    assert [path for path in weights if ours.get_bytes(path) != theirs.get_bytes(path)] == []


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head that runs no trials, and three nodes of one CPU each."""
    from ray._common.utils import reset_ray_address

    # With a port of its own choice Ray looks for a free one; if the usual one is taken, it leaves a socket open.
    head = {"num_cpus": 0, "include_dashboard": False, "dashboard_port": None}
    found = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(3):
            found.add_node(num_cpus=1)
        yield found
    finally:
        found.shutdown()
        reset_ray_address()


def drain(cluster: Cluster, process: int) -> None:
    """Say that the node of a process will be gone in a minute, as ``ray drain-node`` does."""
    raylet = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    (node,) = [each for each in cluster.worker_nodes if each.all_processes["raylet"][0].process.pid == raylet]
    reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    until_ms = int((time.time() + 60) * 1000)
    accepted, why_not = ray._raylet.GcsClient(address=cluster.address).drain_node(node.node_id, reason, "", until_ms)
    assert accepted, why_not


def test_preempted_trials_go_on_from_the_step_that_they_were_at(cluster: Cluster, tmp_path: Path) -> None:
    """A trial whose process gets SIGTERM and one whose node is drained take no step twice, and use up no retry."""
    logs, uri, said = [tmp_path / "log0", tmp_path / "log1"], str(tmp_path / "r"), tmp_path / "said"
    file = tmp_path / "preempted.yaml"
    file.write_text(FILE.replace("LOGS", ", ".join(map(str, logs))))
    command = ["run", str(file), "--results", uri, "--wandb", "off", "--address", cluster.address]
    with said.open("w") as out:
        run = subprocess.Popen([sys.executable, "-m", "raysurf.cli.main", *command], stdout=out, stderr=out)
    try:
        wait_until(lambda: run.poll() is not None or len(steps_of(logs[0])) == WAITS_AT)
        os.kill(steps_of(logs[0])[0], signal.SIGTERM)
        wait_until(lambda: run.poll() is not None or len(steps_of(logs[1])) == WAITS_AT)
        drain(cluster, steps_of(logs[1])[0])
        assert run.wait(PATIENCE_S) == 0, said.read_text()
    finally:
        run.kill()
        run.wait()
    for number, log in enumerate(logs):
        steps = steps_of(log)
        assert len(steps) == EPOCHS * STEPS
        assert len(set(steps)) == 2
        (line,) = [line for line in said.read_text().splitlines() if f"trial {number} was told to leave" in line]
        assert steps.count(steps[0]) == WAITS_AT and left_after(WAITS_AT, line)
    rs.run(rs.load(file), str(tmp_path / "calm"), executor="inline")
    check_calm(uri, str(tmp_path / "calm"))


@pytest.mark.usefixtures("ray_cluster")
def test_preempted_group_leaves_together(tmp_path: Path) -> None:
    """When one of two workers gets SIGTERM, the group goes on from the step that both were at, and uses up no retry."""
    log, uri = tmp_path / "log", str(tmp_path / "r")
    heard: list[str] = []

    def listen(event: events.Event) -> None:
        if isinstance(event, events.Notice):
            heard.append(event.text)

    def preempt() -> None:
        wait_until(lambda: len(steps_of(log)) == 2 * WAITS_AT)
        os.kill(max(steps_of(log)), signal.SIGTERM)
        go_file(log).touch()

    failures, two = rs.Failures(retries=0), rs.Resources(workers=2)
    preempting = threading.Thread(target=preempt)
    preempting.start()
    sweep = rs.Sweep(stepping(log, step_s=0.05), name="pair", resources=two, failures=failures)
    assert rs.run(sweep, uri, listener=listen).failed == 0
    preempting.join()
    steps = steps_of(log)
    assert len(steps) == 2 * EPOCHS * STEPS
    assert len(set(steps)) == 4
    (notice,) = heard
    assert left_after(steps.count(steps[0]), notice)
    found = rs.results.open(uri).table("epochs").to_pylist()
    assert [row["epoch"] for row in found] == [1, 2]
