"""What the tests of faults share: a simulated cluster whose nodes can be lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ray.cluster_utils import Cluster

from tests.cluster.conftest import ray_cluster  # noqa: F401  # of this folder too


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head that runs no trials, and two nodes of one CPU each."""
    from ray._common.utils import reset_ray_address

    # If the dashboard's usual port is taken, Ray leaves a socket open, unless it may choose one.
    head = {"num_cpus": 0, "include_dashboard": False, "dashboard_port": None}
    started = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(2):
            started.add_node(num_cpus=1)
        yield started
    finally:
        started.shutdown()
        reset_ray_address()
