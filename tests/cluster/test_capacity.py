"""How many trials fit on what there is, and what a sweep may ask for."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

import raysurf as rs
from raysurf.cluster.environment import Capacity
from raysurf.errors import ResourceError

CLUSTER = Capacity(cpus=32, gpus=8, where="the cluster")


@pytest.mark.parametrize(
    ("needs", "at_once"),
    [
        ({}, 32),
        ({"cpus": 5}, 6),
        ({"gpus": 1}, 8),
        ({"gpus": 0.25}, 32),
        ({"gpus": 0.1, "cpus": 1}, 32),
        ({"gpus": 0.4, "cpus": 1}, 20),
        ({"workers": 3, "gpus": 1}, 2),
        ({"workers": (2, 4), "gpus": 1}, 2),
        ({"workers": (2, 20), "gpus": 1}, 1),
        ({"workers": (9, 20), "gpus": 1}, 0),
        ({"gpus": 9}, 0),
    ],
)
def test_trials_at_once(needs: dict[str, Any], at_once: int) -> None:
    """Small trials share a GPU; a group of a range of workers takes the most that it may, and runs on the least."""
    assert CLUSTER.trials_at_once(rs.Resources(**needs)) == at_once


def test_tenths_of_gpus_are_counted_as_they_are() -> None:
    """Eight GPUs are eighty tenths, though 8 // 0.1 is 79."""
    assert Capacity(cpus=100, gpus=8, where="it").trials_at_once(rs.Resources(gpus=0.1)) == 80


def test_the_least_must_fit() -> None:
    """The error of a range that cannot be had names its least."""
    with pytest.raises(
        ResourceError, match=r"9 worker\(s\) of 1 CPU\(s\) and 1 GPU\(s\) each, 9 CPUs and 9 GPUs in all"
    ):
        CLUSTER.require(rs.Resources(workers=(9, 20), gpus=1))


@pytest.mark.parametrize("workers", [0, True, "2", (3, 2), (0, 4), (1, 2, 3), 1.5, (1, True)])
def test_numbers_of_workers_that_are_none(workers: Any) -> None:
    """Anything but a number from one, or a rising pair of them, is told with what is expected."""
    with pytest.raises(ValidationError, match=r"a number from 1, or the least and the most, such as \[2, 8\]"):
        rs.Resources(workers=workers)
