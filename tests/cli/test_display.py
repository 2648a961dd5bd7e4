"""What a run says while it goes on, in a pipe."""

from __future__ import annotations

import io
from pathlib import Path

import raysurf as rs
from raysurf.cli.display import Display
from raysurf.cluster.launch import plan_sweeps
from raysurf.results.store import Store
from tests.cases import tiny_sgd


def test_lines_of_a_run(tmp_path: Path) -> None:
    """A line a change with counts and the best so far, failures with their reason; what is reused is said once."""
    tree = tiny_sgd(epochs=1).with_holes(lr=rs.Each((0.1, 1e9)), batch_size=rs.Int(32, 64))
    sweep = rs.Sweep(tree, rs.Search(metric="validation/nll", trials=1, seed=0), name="digits")
    said = []
    for _ in range(2):
        stream = io.StringIO()
        with Display(plan_sweeps([sweep], Store(str(tmp_path))), stream) as display:
            rs.run(sweep, str(tmp_path), executor="inline", listener=display)
        said.append(stream.getvalue().splitlines())
    first, second = said
    assert first[0] == "digits trials: 0 done, 0 running, 0 failed of 2; workers are starting"
    assert first[1].startswith("digits trials: 0 done, 1 running, 0 failed of 2; trial 0 begins (lr=0.1, batch_size=")
    assert any("1 done, 0 running, 0 failed of 2; best validation/nll" in line for line in first)
    assert any(line.startswith("trial 1 failed: DivergedError: the loss is not finite") for line in first)
    assert second[-2] == "digits trials: 1 of 2 were done already and are reused"
    assert second[-1] == "digits trials: 1 of 2 failed before (--retry-failed tries again)"
