"""Sweeps on a cluster that has no nodes yet: what must wait says for what, and what can never be is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import raysurf as rs
from raysurf.cluster.capacity import growth
from tests.support.autoscaling import Autoscaling, autoscaling
from tests.support.paced import paced_file, undisturbed
from tests.support.run_process import raysurf_run
from tests.support.stored_rows import check_undisturbed

pytestmark = [pytest.mark.ray, pytest.mark.fault]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Autoscaling]:
    """A head without CPUs, and up to two nodes of one CPU each."""
    with autoscaling({"worker": {"resources": {"CPU": 1}, "max_workers": 2}}) as ray_cluster:
        yield ray_cluster


def test_it_waits_for_nodes_and_says_so(cluster: Autoscaling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a cluster without a node the trials run on two, beside one another, with the rows of an undisturbed run."""
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    file, uri = paced_file(tmp_path, step_s=0.1), str(tmp_path / "r")
    with raysurf_run(file, uri, "--address", cluster.address) as run:
        assert run.end() == 0, run.said
    notice = "sweep paced waits for the autoscaler: a trial needs 1 CPU, the cluster has 0 of at most 2"
    assert run.said.count("waits for the autoscaler") == 1 and notice in run.said
    check_undisturbed(uri, undisturbed(rs.load(file), tmp_path))


def test_elsewhere_its_limits_are_not_known(cluster: Autoscaling) -> None:
    """Where the autoscaler's file is not at hand, a cluster that has one counts as one without limits."""
    code = (
        "import ray, sys, time; from raysurf.cluster import capacity, ray_patches\n"
        "ray.init(sys.argv[1], log_to_driver=False)\n"
        "address = ray.get_runtime_context().gcs_address; time.sleep(2)\n"
        "growth = capacity.growth()\n"
        "print(growth.kinds, growth.fixed, ray_patches.has_autoscaler(address), capacity.config_here('127.0.0.1:1'))"
    )
    environment = os.environ | cluster.environment
    done = subprocess.run(
        [sys.executable, "-c", code, cluster.address], env=environment, capture_output=True, text=True, check=True
    )
    kinds = "(Nodes(cpus=1, gpus=0.0, count=2.0),) (Nodes(cpus=0.0, gpus=0.0, count=1),)"
    assert done.stdout.splitlines()[-1] == f"{kinds} True None"


@pytest.mark.usefixtures("ray_cluster")
def test_a_cluster_without_one_does_not_grow() -> None:
    """Ray's monitor runs on any head, and starts no nodes where it has no file that says which."""
    assert growth() is None


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        ("{workers: 3}", "asks for 3 worker(s) of 1 CPU(s) and 0 GPU(s) each, 3 CPUs and 0 GPUs in all; expected at "),
        ("{gpus: 1}", "expected at most the 2 CPUs and 0 GPUs of"),
        ("{cpus: 2}", "whose nodes have 1 CPUs and 0 GPUs or 0 CPUs and 0 GPUs (lower resources:"),
    ],
)
def test_what_can_never_be_is_refused(
    needs: str, said: str, cluster: Autoscaling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than the cluster can ever have, or than any of its nodes has, is exit code 2, and nothing is written."""
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    file = paced_file(tmp_path, more=f"resources: {needs}\n")
    with raysurf_run(file, str(tmp_path / "r"), "--address", cluster.address) as run:
        assert run.end() == 2, run.said
    assert "sweep 'paced' asks for" in run.said and said in run.said
    assert "Traceback" not in run.said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["paced.yaml", "said0"]
