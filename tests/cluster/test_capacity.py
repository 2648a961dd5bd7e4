"""How many trials fit on what there is, and what a sweep may ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import raysurf as rs
from raysurf.cluster.capacity import BOUNDLESS, Capacity, Nodes, config_here, growth_of
from raysurf.errors import ResourceError, SpecError

CLUSTER = Capacity(cpus=32, gpus=8, where="the cluster")


@pytest.mark.parametrize(
    ("needs", "at_once"),
    [
        ({}, 32),
        ({"cpus": 5}, 6),
        ({"gpus": 1}, 8),
        ({"gpus": 0.25}, 32),
        ({"gpus": 0.1, "cpus": 1}, 32),
        ({"gpus": 0.4, "cpus": 1}, 16),
        ({"workers": 3, "gpus": 1}, 2),
        ({"workers": (2, 4), "gpus": 1}, 2),
        ({"workers": (2, 20), "gpus": 1}, 1),
        ({"workers": (9, 20), "gpus": 1}, 0),
        ({"gpus": 9}, 0),
    ],
)
def test_trials_at_once(needs: dict[str, Any], at_once: int) -> None:
    """Small trials share a GPU; a group of a range of workers takes the most that it may, and runs on the least."""
    assert CLUSTER.trials_at_once(rs.Resources(**needs)) == at_once


@pytest.mark.parametrize(("gpus", "share", "trials"), [(2, 0.6, 2), (8, 0.15, 48), (3, 1, 3), (3, 2, 1), (8, 0.1, 80)])
def test_a_share_of_a_gpu_lies_on_one_gpu(gpus: int, share: float, trials: int) -> None:
    """A worker has its share of a single GPU: what is left of two is none; 8 are 80 tenths, though 8 // 0.1 is 79."""
    assert Capacity(cpus=100, gpus=gpus, where="it").trials_at_once(rs.Resources(gpus=share)) == trials


def test_the_least_must_fit() -> None:
    """The error of a range that cannot be had names its least."""
    with pytest.raises(
        ResourceError, match=r"9 worker\(s\) of 1 CPU\(s\) and 1 GPU\(s\) each, 9 CPUs and 9 GPUs in all"
    ):
        CLUSTER.require(rs.Resources(workers=(9, 20), gpus=1))


@pytest.mark.parametrize("workers", [0, True, "2", (3, 2), (0, 4), (1, 2, 3), 1.5, (1, True)])
def test_numbers_of_workers_that_are_none(workers: Any) -> None:
    """Anything but a number from one, or a rising pair of them, is told with what is expected."""
    with pytest.raises(SpecError, match=r"a number from 1, or the least and the most, such as \[2, 8\]"):
        rs.Resources(workers=workers)


HEAD = {"node:__internal_head__": 1.0, "memory": 1e9}
FILE = {
    "max_workers": 5,
    "head_node_type": "head",
    "available_node_types": {
        "head": {"resources": {"CPU": 4}, "max_workers": 0},
        "small": {"resources": {"CPU": 8}, "max_workers": 4},
        "large": {"resources": {"CPU": 16, "GPU": 4}, "max_workers": 3},
    },
}


def grows(cpus: float = 0, gpus: float = 0, nodes: tuple[Nodes, ...] = (Nodes(0, 0),)) -> Capacity:
    """A cluster that has these now, and grows as the file says."""
    return Capacity(cpus, gpus, "it", nodes, growth_of(FILE, [HEAD, {"CPU": 16.0, "GPU": 4.0}]))


@pytest.mark.parametrize(
    ("needs", "at_once", "waits"),
    [
        ({"cpus": 1}, 3 * 16 + 2 * 8, "a trial needs 1 CPU, the cluster has 0 of at most 64"),
        ({"cpus": 5}, 3 * 3 + 2 * 1, "a trial needs 5 CPUs, the cluster has 0 of at most 64"),
        ({"gpus": 1}, 12, "a trial needs 1 GPU, the cluster has 0 of at most 12"),
        ({"gpus": 4, "workers": 3}, 1, "a trial needs 12 GPUs, the cluster has 0 of at most 12"),
        ({"gpus": 4, "workers": (2, 8)}, 1, "a trial needs 8 GPUs, the cluster has 0 of at most 12"),
        ({"cpus": 16}, 3, "a trial needs 16 CPUs, the cluster has 0 of at most 64"),
        ({"gpus": 5}, 0, None),
        ({"cpus": 17}, 0, None),
        ({"gpus": 1, "workers": 13}, 0, None),
    ],
)
def test_a_cluster_that_grows(needs: dict[str, Any], at_once: int, waits: str | None) -> None:
    """Trials count on all nodes that there may be, a worker on one; what waits says for what, the rest is refused."""
    resources = rs.Resources(**needs)
    assert grows().trials_at_once(resources) == at_once
    assert grows().waits_for(resources) == waits
    if at_once:
        grows().require(resources)
    else:
        with pytest.raises(
            ResourceError, match=r"at most the 64 CPUs and 12 GPUs of it, whose nodes have 16 CPUs and 4"
        ):
            grows().require(resources)


def test_nodes_that_are_there_need_no_autoscaler() -> None:
    """A trial that fits now waits for nothing, and one that only fits the sum of nodes waits for a larger one."""
    now = grows(16, 2, (Nodes(8, 1, 2),))
    assert now.waits_for(rs.Resources(gpus=1)) is None
    assert now.waits_for(rs.Resources(gpus=2)) == (
        "a trial needs 1 worker, each on a node with 1 CPU and 2 GPUs to spare; there are too few such nodes"
    )
    assert Capacity(16, 2, "it", (Nodes(8, 1, 2),)).trials_at_once(rs.Resources(gpus=2)) == 0


def test_limits_that_are_not_known() -> None:
    """A cluster that grows without a known limit refuses nothing, and what a file does not say is not known."""
    boundless = Capacity(0, 0, "it", (Nodes(0, 0),), BOUNDLESS)
    huge = rs.Resources(workers=1000, cpus=64, gpus=8)
    boundless.require(huge)
    assert boundless.waits_for(huge) == "a trial needs 8000 GPUs, the cluster has 0 and may get more"
    assert boundless.trials_at_once(rs.Resources()) == 100_000
    cloud = growth_of({"available_node_types": {"g5": {"max_workers": 2}}}, [HEAD])
    assert Capacity(0, 0, "it", (), cloud).trials_at_once(rs.Resources(gpus=8)) > 0


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds the file by /proc")
def test_the_file_is_that_of_this_cluster(tmp_path: Path) -> None:
    """The file is that which the monitor of the same head was given; others, and unreadable ones, are passed over."""
    (tmp_path / "a.yaml").write_text("max_workers: 3\n")
    (tmp_path / "b.yaml").write_text("{")
    for number, (address, file) in enumerate(
        (("h:1", "b.yaml"), ("h:2", "a.yaml"), ("h:3", "gone.yaml"), ("h:1", "a.yaml"))
    ):
        words = ["python", "monitor.py", f"--gcs-address={address}", f"--autoscaling-config={tmp_path / file}"]
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "cmdline").write_bytes("\0".join(words).encode())
    configs = [config_here(address, tmp_path) for address in ("h:1", "h:2", "h:3", "h:4")]
    assert configs == [{"max_workers": 3}, {"max_workers": 3}, None, None]
