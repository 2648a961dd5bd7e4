"""What the autoscaler of the cluster that this process is connected to could add, as far as that can be known."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raysurf.cluster.capacity import BOUNDLESS, Growth, Nodes, nodes_of

HEAD = "node:__internal_head__"
CONFIG, GCS = "--autoscaling-config=", "--gcs-address="
NO_CONFIG = "None"


def growth() -> Growth | None:
    """What the cluster could have at most; None if it has no autoscaler.

    On the head itself, as where a submitted job runs, the autoscaler's own file says it. Ray tells it to no other node,
    so a cluster that has an autoscaler counts as one without limits there.
    """
    import ray

    address = ray.get_runtime_context().gcs_address
    if (config := config_here(address)) is not None:
        return growth_of(config, [node["Resources"] for node in ray.nodes() if node["Alive"]])
    return BOUNDLESS if _has_autoscaler(address) else None


def growth_of(config: Mapping[str, Any], nodes: list[dict[str, float]]) -> Growth:
    """What a cluster may have by the file of its autoscaler.

    Args:
        config: The file, as Ray's cluster launcher takes it.
        nodes: What the nodes that there are have; only the head of them counts, which stays.
    """
    limit = float(config.get("max_workers", math.inf))
    kinds = []
    for name, kind in (config.get("available_node_types") or {}).items():
        most = float(kind.get("max_workers", limit))
        if most <= 0 or name == config.get("head_node_type"):
            continue
        has = kind.get("resources") or {}
        # A cloud tells what a node has when it is started, and the file need not.
        kinds.append(Nodes(has.get("CPU", math.inf), has.get("GPU", 0.0 if "CPU" in has else math.inf), most))
    return Growth(nodes_of(each for each in nodes if HEAD in each), tuple(kinds), limit)


def config_here(address: str, processes: Path = Path("/proc")) -> dict[str, Any] | None:
    """The file of the autoscaler that runs on this machine for a cluster; None if there is none.

    Args:
        address: Of the cluster's head process, host:port.
        processes: Where the system shows its processes.
    """
    import yaml

    for entry in processes.glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        named = [word.removeprefix(CONFIG) for word in words if word.startswith(CONFIG)]
        if not named or named[0] in ("", NO_CONFIG) or f"{GCS}{address}" not in words:
            continue
        try:
            found = yaml.safe_load(Path(named[0]).expanduser().read_text())
        except (OSError, yaml.YAMLError):
            continue
        if isinstance(found, dict):
            return found
    return None


def _has_autoscaler(address: str) -> bool:
    """Whether somebody starts nodes of named kinds; what only watches the nodes calls each a kind of its own."""
    from ray.autoscaler.v2.sdk import get_cluster_status
    from ray.autoscaler.v2.utils import is_autoscaler_v2
    from ray.experimental.internal_kv import _internal_kv_get

    if is_autoscaler_v2():
        status = get_cluster_status(address)
        nodes = [*status.active_nodes, *status.idle_nodes]
        return status.stats.autoscaler_version != "0" and any(_is_named(n.node_id, n.ray_node_type_name) for n in nodes)
    try:
        told = json.loads(_internal_kv_get("__autoscaling_status") or "{}")
        kinds = told["autoscaler_report"]["node_type_mapping"]
        return any(_is_named(node, kind) for node, kind in kinds.items())
    except (KeyError, TypeError, ValueError, AttributeError):
        return False


def _is_named(node_id: str, kind: str) -> bool:
    return bool(kind) and kind != f"node_{node_id}"
