"""A node of a cluster that is lost in the middle of a trial."""

from __future__ import annotations

from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

import raysurf as rs
from tests.support.paced import first_epochs, paced_file, processes, undisturbed
from tests.support.ray_home import node_of
from tests.support.run_process import raysurf_run
from tests.support.stored_rows import check_undisturbed

pytestmark = [pytest.mark.ray, pytest.mark.fault]


def test_trials_of_a_lost_node_go_on_elsewhere(cluster: Cluster, tmp_path: Path) -> None:
    """When all processes of a node are killed, its trial goes on from its checkpoint on the node that is left."""
    file, uri = paced_file(tmp_path), str(tmp_path / "r")
    with raysurf_run(file, uri, "--address", cluster.address) as run:
        run.wait_until(lambda: (tmp_path / "log0").exists() and first_epochs(uri))
        (pid,) = processes(tmp_path / "log0")
        trained = first_epochs(uri)
        cluster.remove_node(node_of(cluster, pid), allow_graceful=False)
        assert run.end() == 0, run.said
    assert not Path(f"/proc/{pid}").exists()
    assert len(processes(tmp_path / "log0")) == 2
    assert trained.items() <= first_epochs(uri).items()
    check_undisturbed(uri, undisturbed(rs.load(file), tmp_path))
