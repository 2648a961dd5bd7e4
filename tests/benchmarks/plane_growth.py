"""How a plane's cost grows with its points, 51 x 51 against 21 x 21: ``python -m tests.benchmarks.plane_growth``.

A small network on digits, each plane in a process of its own: CPU seconds a point beyond what a 2 x 2 plane costs, and
the largest resident memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile

from tests.benchmarks.rounds import in_turns, is_quick, tell

CODE = """
import json, resource, sys, time
import raysurf as rs
from tests.support.cases import tiny_sgd
plane = rs.Plane(weights=tuple(tiny_sgd(seed=seed) for seed in range(3)), grid=int(sys.argv[1]))
rs.run(rs.Sweep(plane, name=f"plane{sys.argv[1]}"), sys.argv[2], executor="inline")
print(json.dumps([time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def main() -> None:
    """Print both ratios."""
    sizes = (7, 15) if is_quick() else (21, 51)
    memory: dict[int, list[float]] = {size: [] for size in sizes}
    base: list[float] = []

    def plane(size: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([sys.executable, "-c", CODE, str(size), folder], capture_output=True, check=True)
            cpu_s, memory_mib = json.loads(done.stdout)
        if size == 2:
            base.append(cpu_s)
            return float(cpu_s)
        memory[size].append(memory_mib)
        return float((cpu_s - base[-1]) / (size * size - 4))

    small, large = sizes
    timed = {"base": lambda: plane(2), "small": lambda: plane(small), "large": lambda: plane(large)}
    cpu_s = in_turns(timed, 1 if is_quick() else 5)
    pairs = {"cpu": (cpu_s["large"], cpu_s["small"], "s/point"), "memory": (memory[large], memory[small], "MiB")}
    for name, (ours, peer, unit) in pairs.items():
        tell(f"plane_growth/{name}/{large}_over_{small}", ours, peer, unit=unit, better="lower", target=1.1)


if __name__ == "__main__":
    main()
