"""Weights from files: what is taken, and what is refused before a network takes it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import raysurf as rs
from raysurf.errors import DataError, PointMismatchError
from raysurf.jobs.context import decode, encode
from raysurf.jobs.weight_files import state_in
from raysurf.models import registry
from raysurf.store.store import Store
from tests.support.cases import tiny_sgd
from tests.support.execution import do

WEIGHT = "9.weight"


def job(file: Path) -> rs.Weights:
    return rs.Weights(model="digits_conv", data=rs.DataSpec(name="digits", share=0.2), file=str(file))  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch says of such tensors that it will change them
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: (w * 10).to(torch.int8), "got 9.weight of int8; expected floating-point numbers"),
        (lambda w: w > 0, "got 9.weight of bool; expected floating-point numbers"),
        (lambda w: w.to(torch.complex64), "got 9.weight of complex64; expected floating-point numbers"),
        (
            lambda w: w.to_sparse(),
            "got 9.weight, a sparse_coo tensor; expected a dense tensor of floating-point numbers",
        ),
        (lambda w: w.to_sparse_csr(), "got 9.weight, a sparse_csr tensor"),
        (lambda w: w.to("meta"), "got 9.weight, a meta tensor"),
        (lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8), "got 9.weight, a quantised tensor"),
        (lambda w: w.double() * 1e300, "got NaN or infinity in 9.weight; expected finite weights"),
    ],
)
def test_unusual_tensors_are_refused_by_name(change: Callable[[Tensor], Tensor], said: str, tmp_path: Path) -> None:
    """Numbers of another kind are not cast without a word, and tensors without plain values are named."""
    state = registry.build("digits_conv", num_classes=10, image_shape=(1, 8, 8)).state_dict()
    torch.save({**state, WEIGHT: change(state[WEIGHT])}, tmp_path / "x.pt")
    with pytest.raises(DataError) as caught:
        do(job(tmp_path / "x.pt"), Store(str(tmp_path / "results")))
    assert said in str(caught.value)


def test_other_precisions_are_taken(tmp_path: Path) -> None:
    """Floating-point numbers of any precision are floating-point numbers."""
    state = registry.build("digits_conv", num_classes=10, image_shape=(1, 8, 8)).state_dict()
    nlls = []
    for dtype in (torch.float32, torch.float64):
        torch.save({**state, WEIGHT: state[WEIGHT].to(dtype)}, tmp_path / f"{dtype}.pt")
        nlls.append(do(job(tmp_path / f"{dtype}.pt"), Store(str(tmp_path / "results")))["test/nll"])
    assert nlls[0] == nlls[1]


def test_a_name_that_no_file_can_have_is_told() -> None:
    """One of more than 255 bytes is an error of its name."""
    with pytest.raises(DataError, match="File name too long"):
        state_in(f"{'x' * 300}.pt")


@pytest.mark.parametrize("name", ["pipe.pt", "pipe.safetensors"])
def test_a_pipe_is_not_waited_for(name: str, tmp_path: Path) -> None:
    """What is no regular file is refused before it is opened."""
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="got a pipe, a socket or a device; expected a regular file"):
        do(job(tmp_path / name), Store(str(tmp_path / "results")))
    with pytest.raises(DataError, match="got a folder"):
        do(job(tmp_path), Store(str(tmp_path / "results")))


def test_stored_weights_of_another_kind_are_refused(tmp_path: Path) -> None:
    """Where a stored weight has become integers, what reads it says so."""
    store, start = Store(str(tmp_path)), tiny_sgd()
    do(start, store)
    path = f"jobs/{start.id}/weights.safetensors"
    tensors = decode(store.get_bytes(path))
    store.put_bytes(path, encode({**tensors, f"point/{WEIGHT}": tensors[f"point/{WEIGHT}"].to(torch.int8)}))
    with pytest.raises(PointMismatchError, match=r"got 9\.weight of int8; expected floating-point numbers"):
        do(rs.Predict(weights=start), store)
