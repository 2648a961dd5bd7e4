"""A cluster on this machine whose autoscaler starts nodes, by Ray's own provider of such nodes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.ray_home import free_ports, ray_home

# What Ray's provider calls the head, and its kind.
HEAD_ID, HEAD = f"{'f' * 51}00000", "ray.head.default"
EMPTY = (
    *("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands"),
    *("head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files", "rsync_exclude", "rsync_filter"),
)


@dataclass(frozen=True)
class Autoscaling:
    """The running cluster: its address, and what a process needs to be let in."""

    address: str
    environment: dict[str, str]


def config(kinds: dict[str, dict[str, Any]], most_nodes: int, address: str) -> dict[str, Any]:
    """The autoscaler's file: a head that runs no trials, and kinds of nodes.

    Args:
        kinds: What nodes of each kind have, as Ray calls it, and under ``max_workers`` how many there may be.
        most_nodes: Of all kinds together.
        address: That nodes are to join.
    """
    provider = {"type": "fake_multinode", "disable_node_updaters": True, "disable_launch_config_check": True}
    nodes = {
        name: {"node_config": {}, "min_workers": 0, "max_workers": kind["max_workers"], "resources": kind["resources"]}
        for name, kind in kinds.items()
    }
    return {
        "cluster_name": "growing",
        "max_workers": most_nodes,
        "provider": provider | {"gcs_address": address},
        "auth": {"ssh_user": "nobody"},
        "available_node_types": {HEAD: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}, **nodes},
        "head_node_type": HEAD,
        "idle_timeout_minutes": 5,
        "file_mounts": {},
        **{name: [] for name in EMPTY},
    }


@contextlib.contextmanager
def autoscaling(kinds: dict[str, dict[str, Any]], most_nodes: int = 8) -> Iterator[Autoscaling]:
    """Start a cluster without any node but its head; all its processes, and no others, end with the block."""
    with ray_home() as root:
        gcs, client = free_ports(2)
        (root / "cluster.json").write_text(json.dumps(config(kinds, most_nodes, f"127.0.0.1:{gcs}")))
        # The Ray of this process's other tests, if it is there, has a token, and its address is the loopback's.
        own = {"RAY_TMPDIR": str(root), "RAY_AUTH_MODE": "disabled", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}
        of_head = {
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "RAY_FAKE_CLUSTER": "1",
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        command = [
            *(str(Path(sys.executable).parent / "ray"), "start", "--head", f"--autoscaling-config={root}/cluster.json"),
            *(f"--port={gcs}", f"--ray-client-server-port={client}", "--num-cpus=0", "--include-dashboard=false"),
            *(f"--temp-dir={root}", "--min-worker-port=0", "--max-worker-port=0", "--object-store-memory=100000000"),
            "--disable-usage-stats",
        ]
        subprocess.run(command, env=os.environ | own | of_head, check=True, capture_output=True, timeout=120)
        yield Autoscaling(f"127.0.0.1:{gcs}", own)
