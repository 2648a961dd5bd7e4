"""Capacity of a machine or cluster, with what its autoscaler can add."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysurf.errors import ResourceError
from raysurf.sweep.sweep import Resources

if TYPE_CHECKING:
    from raysurf.sweep.plan import Plan


# Of a cluster that grows without a known limit, as many trials at once as anybody may have.
MANY = 100_000


@dataclass(frozen=True)
class Nodes:
    """Nodes of one kind: what each has, and how many there are, infinitely many if nothing limits them."""

    cpus: float
    gpus: float
    count: float = 1.0

    def workers(self, resources: Resources) -> int:
        """How many workers fit on one of them; a worker does not stretch over two."""
        fitting = min(self.cpus, MANY) // resources.cpus
        gpus = min(self.gpus, MANY)
        if 0 < resources.gpus < 1:
            # A share does not stretch over two GPUs. Not //, by which one GPU is nine tenths.
            fitting = min(fitting, gpus * int(1 / resources.gpus + 1e-6))
        elif resources.gpus:
            fitting = min(fitting, gpus // resources.gpus)
        return int(fitting)


@dataclass(frozen=True)
class Growth:
    """What a cluster could have at most.

    Args:
        fixed: Nodes that stay as they are, such as the head.
        kinds: Those that an autoscaler starts and ends, with the most of each.
        most_nodes: The most of all kinds together.
    """

    fixed: tuple[Nodes, ...]
    kinds: tuple[Nodes, ...]
    most_nodes: float = math.inf

    def total(self, of_one: Callable[[Nodes], float]) -> float:
        """The most of something that all nodes together may have, given how much one node has."""
        total, left = sum(of_one(nodes) * nodes.count for nodes in self.fixed), self.most_nodes
        for nodes in sorted(self.kinds, key=of_one, reverse=True):
            count = min(nodes.count, left)
            total, left = total + (of_one(nodes) * count if of_one(nodes) else 0), left - count
        return total


# A cluster with an autoscaler, of whose limits nothing is known.
BOUNDLESS = Growth((), (Nodes(math.inf, math.inf, math.inf),))


@dataclass(frozen=True)
class Capacity:
    """What a machine or cluster has now, and what it could have.

    Args:
        cpus, gpus: In all, now.
        where: What it is called.
        nodes: The nodes that these are on; a single one if none are given.
        growth: What it could have, if it has an autoscaler.
    """

    cpus: float
    gpus: float
    where: str
    nodes: tuple[Nodes, ...] = ()
    growth: Growth | None = None

    @property
    def most_cpus(self) -> float:
        """CPUs that it could have."""
        return max(self.cpus, self.growth.total(lambda nodes: nodes.cpus) if self.growth else 0)

    @property
    def most_gpus(self) -> float:
        """GPUs that it could have."""
        return max(self.gpus, self.growth.total(lambda nodes: nodes.gpus) if self.growth else 0)

    def trials_at_once(self, resources: Resources) -> int:
        """How many trials could be run beside one another, by as many nodes as it may have; 0 if none ever will."""
        most = self.growth.total(lambda nodes: nodes.workers(resources)) if self.growth else 0
        return max(self.trials_now(resources), _trials(most, resources))

    def trials_now(self, resources: Resources) -> int:
        """How many trials can be run beside one another by the nodes that there are."""
        nodes = self.nodes or (Nodes(self.cpus, self.gpus),)
        return _trials(sum(node.workers(resources) * node.count for node in nodes), resources)

    def require(self, resources: Resources) -> None:
        """Check that one trial fits, now or when the cluster has grown.

        Raises:
            ResourceError: Naming what is asked for and what there is.
        """
        if self.trials_at_once(resources):
            return
        w = resources.least_workers
        wanted = f"{w} worker(s) of {resources.cpus} CPU(s) and {resources.gpus:g} GPU(s) each"
        total = f"{w * resources.cpus} CPUs and {w * resources.gpus:g} GPUs in all"
        has = f"at most the {self.most_cpus:g} CPUs and {self.most_gpus:g} GPUs of {self.where}"
        kinds = [*self.nodes, *((*self.growth.fixed, *self.growth.kinds) if self.growth else ())]
        if len(kinds) > 1:
            shapes = sorted({(kind.cpus, kind.gpus) for kind in kinds}, reverse=True)
            has += f", whose nodes have {' or '.join(f'{c:g} CPUs and {g:g} GPUs' for c, g in shapes)}"
        raise ResourceError(f"{wanted}, {total}", f"{has} (lower resources:, or give a larger cluster by --address)")

    def waits_for(self, resources: Resources) -> str | None:
        """What a trial waits for until the autoscaler has started more nodes; None if one can run now, or never."""
        if self.trials_now(resources) or not self.trials_at_once(resources):
            return None
        w = resources.least_workers
        for name, needed, has, most in (
            ("GPU", resources.gpus, self.gpus, self.most_gpus),
            ("CPU", resources.cpus, self.cpus, self.most_cpus),
        ):
            if w * needed > has:
                limit = f"of at most {most:g}" if most < math.inf else "and may get more"
                return f"a trial needs {_count(w * needed, name)}, the cluster has {has:g} {limit}"
        gpus = f" and {_count(resources.gpus, 'GPU')}" if resources.gpus else ""
        nodes = _count(resources.cpus, "CPU") + gpus
        return (
            f"a trial needs {_count(w, 'worker')}, each on a node with {nodes} to spare; there are too few such nodes"
        )


def local_capacity() -> Capacity:
    """What this machine has, without asking Ray or torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        gpus = len([name for name in visible.split(",") if name.strip() not in ("", "-1", "NoDevFiles")])
    else:
        devices = os.listdir("/dev") if os.path.isdir("/dev") else []
        gpus = len([name for name in devices if name.startswith("nvidia") and name[6:].isdigit()])
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return Capacity(cpus, gpus, "this machine")


def require_resources(plan: Plan, capacity: Capacity) -> None:
    """Check that every sweep of a plan can run at all.

    Raises:
        ResourceError: For the first that cannot, before anything is started.
    """
    for planned in plan.sweeps:
        try:
            capacity.require(planned.sweep.resources)
        except ResourceError as error:
            raise ResourceError(f"sweep {planned.sweep.name!r} asks for {error.got}", error.expected) from None


def nodes_of(tables: Iterable[dict[str, float]]) -> tuple[Nodes, ...]:
    """Nodes by what each has, as Ray lists it."""
    shapes = [(table.get("CPU", 0.0), table.get("GPU", 0.0)) for table in tables]
    return tuple(Nodes(*shape, shapes.count(shape)) for shape in dict.fromkeys(shapes))


def _trials(workers: float, resources: Resources) -> int:
    """Trials that so many workers are, a trial taking the most that it may."""
    fitting = int(min(workers, MANY))
    return max(fitting // resources.most_workers, int(fitting >= resources.least_workers))


def _count(number: float, noun: str) -> str:
    return f"{number:g} {noun}" if number == 1 else f"{number:g} {noun}s"


HEAD = "node:__internal_head__"
CONFIG, GCS = "--autoscaling-config=", "--gcs-address="
NO_CONFIG = "None"


def growth() -> Growth | None:
    """What the cluster could have at most; None if it has no autoscaler.

    On the head itself, as where a submitted job runs, the autoscaler's own file says it. Ray tells it to no other node,
    so a cluster that has an autoscaler counts as one without limits there.
    """
    import ray

    from raysurf.cluster.ray_patches import has_autoscaler

    address = ray.get_runtime_context().gcs_address
    if (config := config_here(address)) is not None:
        return growth_of(config, [node["Resources"] for node in ray.nodes() if node["Alive"]])
    return BOUNDLESS if has_autoscaler(address) else None


def growth_of(config: Mapping[str, Any], nodes: list[dict[str, float]]) -> Growth:
    """What a cluster may have by the file of its autoscaler; of the nodes that there are only the head counts."""
    limit = float(config.get("max_workers", math.inf))
    kinds = []
    for name, kind in (config.get("available_node_types") or {}).items():
        most = float(kind.get("max_workers", limit))
        if most <= 0 or name == config.get("head_node_type"):
            continue
        has = kind.get("resources") or {}
        # A cloud tells what a node has when it is started, and the file need not.
        kinds.append(Nodes(has.get("CPU", math.inf), has.get("GPU", 0.0 if "CPU" in has else math.inf), most))
    return Growth(nodes_of(node for node in nodes if HEAD in node), tuple(kinds), limit)


def config_here(address: str, processes: Path = Path("/proc")) -> dict[str, Any] | None:
    """The file of the autoscaler that runs on this machine for the cluster of a head process; None if there is none."""
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
            config = yaml.safe_load(Path(named[0]).expanduser().read_text())
        except (OSError, yaml.YAMLError):
            continue
        if isinstance(config, dict):
            return config
    return None
