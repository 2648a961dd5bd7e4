"""How long the report of 200 trials with two planes takes: ``python -m tests.benchmarks.report``.

The peer is ten seconds, which the report of such a sweep may take; each page is made in a process of its own, imports
included. The sizes are printed beside, against 1.5 MB and, with plotly in it, 8 MB.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.rounds import in_turns, is_quick, seconds, tell
from tests.support.large_sweep import SWEEP, large_sweep

LIMIT_S = 10.0
LIMITS_MB = {"plain": 1.5, "interactive": 8.0}


def main() -> None:
    """Print times and sizes."""
    trials, rounds = (40, 1) if is_quick() else (200, 5)
    with tempfile.TemporaryDirectory() as folder:
        large_sweep(Path(folder, "results"), trials=trials)

        def make(*options: str) -> float:
            command = [sys.executable, "-m", "raysurf.cli.main", "report", SWEEP, "--results", f"{folder}/results"]
            page = f"{folder}/{'interactive' if options else 'plain'}.html"
            return seconds(lambda: subprocess.run([*command, "-o", page, *options], check=True, capture_output=True))

        timings = in_turns({"plain": make, "interactive": lambda: make("--interactive")}, rounds)
        for name, limit_mb in LIMITS_MB.items():
            times = timings[name]
            figure = f"report/{trials}_trials/{name}"
            tell(figure, times, [LIMIT_S] * len(times), unit="s", better="lower", target=1.0)
            size_mb = Path(folder, f"{name}.html").stat().st_size / 1e6
            tell(f"{figure}/size", [size_mb], [limit_mb], unit="MB", better="lower", target=1.0)


if __name__ == "__main__":
    main()
