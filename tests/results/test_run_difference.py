"""Two runs beside one another."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import raysurf as rs
from tests.support.cases import tiny_sgd
from tests.support.failed_runs import DIVERGED, HERE, FailedStore


def test_what_differs_is_named_by_path(tmp_path: Path) -> None:
    """Job by dotted path, versions, commit and fingerprint that differ are found, and metrics of either."""
    store = FailedStore(tmp_path)
    a = rs.SWA(start=tiny_sgd(), epochs=2, lr=0.1)
    b = rs.SWA(start=tiny_sgd(lr=0.2, momentum=0.5), epochs=2, lr=0.1)
    later = dataclasses.replace(HERE, git_commit="f" * 40, git_dirty=True, versions={"python": "3.11.8", "ray": "2.60"})
    store.run(a, metrics={"test/nll": 0.5, "test/error": 0.25}, device="cpu (x86_64)", data_fingerprint="aa")
    store.run(b, provenance=later, metrics={"test/nll": 0.25, "test/kl": 1.0}, device="cpu (x86_64)")
    difference = store.open().difference(a.id[:12], b.id)
    assert (difference.a, difference.b) == (a.id, b.id)
    as_dicts = {
        name: {change.name: (change.a, change.b) for change in getattr(difference, name)}
        for name in ("job", "versions", "provenance", "run", "metrics")
    }
    assert as_dicts["job"] == {"start.lr": (0.1, 0.2), "start.momentum": (None, 0.5)}
    assert as_dicts["versions"] == {"torch": ("2.6.0", None), "ray": (None, "2.60")}
    assert as_dicts["provenance"] == {
        "git_commit": (HERE.git_commit, "f" * 40),
        "git_dirty": (False, True),
        "data_fingerprint": ("aa", None),
    }
    assert as_dicts["run"] == {}
    assert as_dicts["metrics"] == {"test/error": (0.25, None), "test/nll": (0.5, 0.25), "test/kl": (None, 1.0)}


@pytest.mark.parametrize("twice", [True, False])
def test_what_is_equal_is_left_out(twice: bool, tmp_path: Path) -> None:
    """A run differs from itself in nothing, and from a replicate in its seed and state alone; a list has places."""
    store = FailedStore(tmp_path)
    points = tuple(tiny_sgd(seed=seed) for seed in (1, 2, 3))
    a = rs.Profile(along=rs.Chain(weights=points), num_points=3)
    b = rs.Profile(along=rs.Chain(weights=(*points[:2], tiny_sgd(seed=4))), num_points=3)
    store.run(a)
    store.run(b, DIVERGED)
    difference = store.open().difference(a.id, a.id if twice else b.id)
    assert [change.name for change in difference.job] == ([] if twice else ["along.weights.2.seed"])
    assert [change.name for change in difference.run] == ([] if twice else ["status"])
    assert difference.versions == difference.provenance == ()
