"""Ray's private parts: this Ray has what each patch needs, and everything runs without them."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import ray

import raysurf as rs
from raysurf.cluster.ray_patches import OFF, PATCHES, notices, why_off
from raysurf.sweep.document import load
from tests.support.cases import ROOT
from tests.support.ray_home import ray_home
from tests.support.sweep_runs import run

FILE = """
name: single
job: {kind: sgd, model: digits_conv, data: {name: digits, share: 0.1}, epochs: 1, lr: !each [0.1, 0.2]}
---
name: group
job: {kind: sgd, model: digits_conv, data: {name: digits, share: 0.1}, epochs: 1, lr: 0.05}
resources: {workers: [1, 2]}
"""


@pytest.mark.parametrize("name", PATCHES)
def test_this_ray_is_as_the_patch_expects(name: str) -> None:
    """Every private part is there, with the same parameters, in a version that the patch was tried with."""
    assert why_off(name) is None
    assert ray.__version__.startswith(PATCHES[name].tried)


@pytest.mark.parametrize(
    ("need", "why"),
    [
        ("ray.no_such_module:part", "this Ray has no ray.no_such_module:part"),
        ("ray._private.state:no_such_part", "this Ray has no ray._private.state:no_such_part"),
        ("ray._private.state:actors(job_id)", "this Ray has another ray._private.state:actors"),
    ],
)
def test_a_patch_of_another_ray_is_left_out(need: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a part is missing or takes other arguments, the patch is off, with what is lost."""
    monkeypatch.setitem(PATCHES, "draining", dataclasses.replace(PATCHES["draining"], needs=(need,)))
    assert why_off("draining") == why
    assert notices(groups=False) == [f"without the patch draining of Ray ({why}): {PATCHES['draining'].lost}"]


def same_as_inline(single: rs.Sweep, uri: str, calm: str) -> bool:
    rs.run(single, calm, executor="inline")
    query = "select run_id, epoch, train_nll, epochs.lr from epochs join runs using (run_id) where sweep = 'single'"
    ours, theirs = (rs.results.open(root).sql(f"{query} order by all").to_pylist() for root in (uri, calm))
    return len(ours) == 2 and ours == theirs


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_trials_run_without_patches_of_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a Ray that is there, trials have all their rows without them, and what is off is said once."""
    (tmp_path / "both.yaml").write_text(FILE)
    single = load(tmp_path / "both.yaml")[0]
    monkeypatch.setenv(OFF, "all")
    expected = [f"without the patch {name} of Ray" for name, patch in PATCHES.items() if not patch.of_groups]
    assert [text.partition(" (")[0] for text in run(single, tmp_path / "r", "ray").notices] == expected
    assert same_as_inline(single, str(tmp_path / "r"), str(tmp_path / "calm"))


@pytest.mark.ray
@pytest.mark.fault
def test_everything_runs_without_patches(tmp_path: Path) -> None:
    """With all patches off a run of processes and of a group has all its rows, and says once what is off."""
    file, uri = tmp_path / "both.yaml", str(tmp_path / "r")
    file.write_text(FILE)
    command = [sys.executable, "-m", "raysurf.cli.main", "run", str(file), "--results", uri, "--wandb", "off"]
    with ray_home() as home:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "WANDB_SERVICE"))}
        environment = clean | {OFF: "all", "RAY_TMPDIR": str(home)}
        ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert [ran.stderr.count(f"without the patch {name} of Ray") for name in PATCHES] == [1] * len(PATCHES), ran.stderr
    assert rs.results.open(uri).table("trials")["state"].to_pylist() == ["done"] * 3
    assert same_as_inline(load(file)[0], uri, str(tmp_path / "calm"))
