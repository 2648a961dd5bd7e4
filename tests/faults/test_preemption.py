"""Processes that get SIGTERM, nodes that are drained: what runs there keeps its state, and goes on elsewhere."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster
from ray.core.generated import autoscaler_pb2

import raysurf as rs
from raysurf.cluster import events
from tests.support.ray_home import node_of
from tests.support.run_process import PATIENCE_S, raysurf_run
from tests.support.stepping import EPOCHS, STEPS, WAITS_AT, go_file, left_after, stepping, steps_of
from tests.support.stored_rows import check_undisturbed

pytestmark = [pytest.mark.ray, pytest.mark.fault]

FILE = """
name: preempted
job:
  kind: sgd
  model: {name: "tests.support.stepping:net", options: {log: !each [LOGS]}}
  data: digits
  epochs: 2
  lr: 0.1
  weight_decay: 1.0e-4
  batch_size: 64
failures: {retries: 0}
"""


def drain(cluster: Cluster, process: int) -> None:
    """Say that the node of a process will be gone in a minute, as ``ray drain-node`` does."""
    node, reason = node_of(cluster, process), autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    until_ms = int((time.time() + 60) * 1000)
    accepted, why_not = ray._raylet.GcsClient(address=cluster.address).drain_node(node.node_id, reason, "", until_ms)
    assert accepted, why_not


def test_preempted_trials_go_on_from_the_step_that_they_were_at(cluster: Cluster, tmp_path: Path) -> None:
    """A trial whose process gets SIGTERM and one whose node is drained take no step twice, and use up no retry."""
    logs, uri, file = [tmp_path / "log0", tmp_path / "log1"], str(tmp_path / "r"), tmp_path / "preempted.yaml"
    file.write_text(FILE.replace("LOGS", ", ".join(map(str, logs))))
    with raysurf_run(file, uri, "--address", cluster.address) as run:
        run.wait_until(lambda: len(steps_of(logs[0])) == WAITS_AT)
        os.kill(steps_of(logs[0])[0], signal.SIGTERM)
        run.wait_until(lambda: len(steps_of(logs[1])) == WAITS_AT)
        drain(cluster, steps_of(logs[1])[0])
        assert run.end() == 0, run.said
    for number, log in enumerate(logs):
        steps = steps_of(log)
        assert len(steps) == EPOCHS * STEPS
        assert len(set(steps)) == 2
        assert steps.count(steps[0]) == WAITS_AT
        (line,) = [line for line in run.said.splitlines() if f"trial {number} was told to leave" in line]
        assert left_after(WAITS_AT, line)
    rs.run(rs.load(file), str(tmp_path / "calm"), executor="inline")
    check_undisturbed(uri, str(tmp_path / "calm"))


@pytest.mark.usefixtures("ray_cluster")
def test_preempted_group_leaves_together(tmp_path: Path) -> None:
    """When one of two workers gets SIGTERM, the group goes on from the step that both were at, and uses up no retry."""
    log, uri = tmp_path / "log", str(tmp_path / "r")
    heard: list[str] = []

    def listen(event: events.Event) -> None:
        if isinstance(event, events.Notice):
            heard.append(event.text)

    def preempt() -> None:
        until = time.monotonic() + PATIENCE_S
        while len(steps_of(log)) < 2 * WAITS_AT and time.monotonic() < until:
            time.sleep(0.01)
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
    rows = rs.results.open(uri).table("epochs").to_pylist()
    assert [row["epoch"] for row in rows] == [1, 2]
