"""Optimisers that load no compiler take torch's own steps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from raysurf.training import fast
from tests.support.cases import ROOT

CASES = [
    (fast.SGD, torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    (fast.SGD, torch.optim.SGD, {"weight_decay": 0.1}),
    (fast.Adam, torch.optim.Adam, {"betas": (0.8, 0.99)}),
]
TRAIN = """
import sys
import raysurf.cluster.task
from raysurf.store.store import Store
from tests.support.cases import JOBS
from tests.support.execution import do
for name in ("swa", "curve", "variational"):
    do(JOBS[name](), Store(sys.argv[1]))
print("torch._dynamo" in sys.modules)
"""


@pytest.mark.parametrize(("ours", "torchs", "settings"), CASES)
def test_steps_are_torchs(ours: Any, torchs: Any, settings: dict[str, Any]) -> None:
    """To the last bit, in two groups of rates that change; no step is recorded for gradients."""
    states = []
    for kind in (ours, torchs):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
        groups = [{"params": net[0].parameters(), "rate": 1.0}, {"params": net[2].parameters(), "weight_decay": 0.0}]
        optimiser = kind(groups, lr=1.0, fused=True, **settings)
        for step in range(6):
            for group in optimiser.param_groups:
                group["lr"] = 0.1 / (1 + step)
            optimiser.zero_grad(set_to_none=True)
            net(torch.randn(8, 5)).square().mean().backward()
            optimiser.step()
        assert all(parameter.is_leaf and parameter.requires_grad for parameter in net.parameters())
        moments = [value for state in optimiser.state.values() for value in state.values() if value is not None]
        states.append([tensor.detach() for tensor in (*net.parameters(), *moments)])
    assert len(states[0]) == len(states[1]) >= 4
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))


def test_a_process_that_trains_loads_no_compiler(tmp_path: Path) -> None:
    """Neither SGD, averaging, curves nor noise bring torch.compile's modules in, which every process would pay for."""
    command = [sys.executable, "-c", TRAIN, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stderr
