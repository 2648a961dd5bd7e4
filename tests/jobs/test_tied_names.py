"""Tensors under several names, and files of others: one list of names for every job, whatever the file calls them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

import raysurf as rs
from raysurf.errors import DataError
from raysurf.jobs.network import Network
from raysurf.jobs.weight_files import fitted, misfits
from raysurf.store.store import Store
from raysurf.store.tables import rows_of_run
from tests.support.cases import tiny_sgd
from tests.support.execution import context_of, do

MODEL = rs.ModelSpec(name="tests.jobs.test_tied_names:tied")
DATA = rs.DataSpec(name="digits", share=0.2)


class Tied(nn.Module):
    """One batch norm under two names, and a weight that two layers share, the later name being the first layer's."""

    def __init__(self, num_classes: int, pixels: int) -> None:
        super().__init__()
        self.embed = nn.Linear(pixels, 16)
        self.norm = nn.BatchNorm1d(16)
        self.again = nn.Linear(16, 16, bias=False)
        self.last = nn.Sequential(nn.Linear(16, 16), self.norm)
        self.last[0].weight = self.again.weight
        self.out = nn.Linear(16, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.norm(self.embed(images.flatten(1))).relu()
        logits: Tensor = self.out(self.last(self.again(hidden)).relu())
        return logits


def tied(num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """It, for images."""
    return Tied(num_classes, image_shape[1] * image_shape[2])


def built(seed: int = 5) -> nn.Module:
    torch.manual_seed(seed)
    return tied(10, (1, 8, 8))


def test_tied_networks_go_all_the_way(tmp_path: Path) -> None:
    """Whatever is registered twice is trained, averaged, joined, measured and predicted with, as any network is."""
    store = Store(str(tmp_path))
    ends = [tiny_sgd(model=MODEL, seed=seed) for seed in (0, 1)]
    curve = rs.Curve(start=ends[0], end=ends[1], epochs=1, lr=0.05)
    swa = rs.SWA(start=ends[0], epochs=1, lr=0.05)
    alone = do(ends[1], store)["test/nll"]
    for job in (
        rs.SWAG(start=ends[0], epochs=2, lr=0.05, rank=2, num_samples=2),
        rs.FGE(start=ends[0], epochs=2, cycle_epochs=1, lr=0.05),
        rs.Plane(weights=(*ends, swa), grid=2, draw=(curve,)),
        rs.Rays(weights=(swa,), length=1.0, num_rays=1, num_points=2),
        rs.Predict(weights=curve, num_samples=2),
        rs.Profile(along=curve, num_points=2),
    ):
        do(job, store)
    line = rs.Profile(along=rs.Line(start=ends[0], end=ends[1]), num_points=2, batchnorm="interpolate")
    do(line, store)
    rows = rows_of_run(store, "surface", line.id)
    (far,) = [row["nll"] for row in rows if row["point"] == 1 and row["split"] == "test"]
    assert far == pytest.approx(alone, rel=1e-6)
    names = [name for name in context_of(swa, store).load(swa, "weights") if "norm" in name]
    assert names == sorted(
        [f"buffer/norm.{name}" for name in ("num_batches_tracked", "running_mean", "running_var")]
        + ["point/norm.bias", "point/norm.weight"]
    )


def test_weights_with_every_name_can_still_be_placed(tmp_path: Path) -> None:
    """Stores of before have the buffers of a shared module under all of its names."""
    job, net = tiny_sgd(model=MODEL), built()
    network = Network(job, context_of(job, Store(str(tmp_path))))
    buffers = {name: value + 1 for name, value in net.state_dict().items() if "running" in name}
    assert {"norm.running_mean", "last.1.running_mean"} <= buffers.keys()
    network.place(dict(net.named_parameters()), buffers)
    assert torch.equal(network.model.state_dict()["norm.running_mean"], buffers["norm.running_mean"])


def _saved(module: nn.Module, file: Path, wrap: Callable[[dict[str, Any]], Any] = lambda state: state) -> str:
    torch.save(wrap(module.state_dict()), path := file.with_suffix(".pt"))
    return str(path)


def _canonical(net: nn.Module, file: Path) -> str:
    """Tensors under the last of their names."""
    state = net.state_dict()
    for name in [name for name in state if name.startswith("norm.") or name == "again.weight"]:
        del state[name]
    save_file(state, path := file.with_suffix(".safetensors"))
    return str(path)


def _model_file(net: nn.Module, file: Path) -> str:
    save_model(net, str(path := file.with_suffix(".safetensors")))
    return str(path)


class Compiled(nn.Module):
    """Names its network as torch.compile does."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self._orig_mod = net


FILES: dict[str, Callable[[nn.Module, Path], str]] = {
    "state dict": _saved,
    "safetensors' save_model": _model_file,
    "other names of the tied": _canonical,
    "averaged": lambda net, file: _saved(AveragedModel(net), file),
    "parallel and compiled": lambda net, file: _saved(nn.DataParallel(Compiled(net)), file),
    "an entry of a checkpoint": lambda net, file: _saved(
        net, file, lambda state: {"epoch": 3, "model_state": state, "optimizer": {"state": {}, "param_groups": []}}
    ),
    "lightning": lambda net, file: _saved(
        net, file, lambda state: {"state_dict": {f"model.{k}": v for k, v in state.items()}, "loops": {}}
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_others_are_read(name: str, tmp_path: Path) -> None:
    """Whatever wrote them, the metrics are those of the same network in torch alone."""
    net, store = built(), Store(str(tmp_path / "r"))
    job = rs.Weights(model=MODEL, data=DATA, file=FILES[name](net, tmp_path / "net"))
    metrics = do(job, store)
    data = Network(job, context_of(job, store)).data
    with torch.no_grad():
        logits = net.eval()(data.normalise(data.test.images))
    assert metrics["test/nll"] == pytest.approx(float(nn.functional.cross_entropy(logits, data.test.labels)), rel=1e-5)


def test_raysurfs_own_file_of_tied_weights_is_read(tmp_path: Path) -> None:
    """A trained network's file in the store gives the metrics that the network had."""
    store, job = Store(str(tmp_path / "r")), tiny_sgd(model=MODEL)
    metrics = do(job, store)
    file = str(tmp_path / "r" / "jobs" / job.id / "weights.safetensors")
    again = do(rs.Weights(model=MODEL, data=DATA, file=file), store)
    assert again["test/nll"] == pytest.approx(metrics["test/nll"], rel=1e-6)


def test_several_state_dicts_are_told_apart(tmp_path: Path) -> None:
    """A checkpoint of SWA's code has two: which is meant is asked for, and taken; a prefix can be named."""
    one, other = built(1), built(2)
    both = {"state_dict": one.state_dict(), "swa_state_dict": {f"net.{k}": v for k, v in other.state_dict().items()}}
    torch.save(both, file := str(tmp_path / "both.pt"))
    store = Store(str(tmp_path / "r"))
    settings: dict[str, Any] = {"model": MODEL, "data": DATA, "file": file}
    with pytest.raises(DataError, match=r"several state dicts: state_dict, swa_state_dict; expected entry: one of"):
        do(rs.Weights(**settings), store)
    with pytest.raises(DataError, match=r"no entry 'ema'; expected entry: one of state_dict, swa_state_dict"):
        do(rs.Weights(**settings, entry="ema"), store)
    with pytest.raises(DataError, match=r"unknown: net\..*\(prefix: if their names in the file begin with more\)"):
        do(rs.Weights(**settings, entry="swa_state_dict"), store)
    torch.save(other.state_dict(), alone := str(tmp_path / "alone.pt"))
    expected = do(rs.Weights(**{**settings, "file": alone}), store)
    assert do(rs.Weights(**settings, entry="swa_state_dict", prefix="net."), store) == expected
    with pytest.raises(ValueError, match="entry or prefix, which are of a file, and pretrained"):
        rs.Weights(model="resnet18", data=DATA, pretrained="IMAGENET1K_V1", prefix="net.")  # type: ignore[arg-type]


def test_misfits_are_counted() -> None:
    """Missing, unknown and untied tensors are named, three of each, the rest a number; counters may be missing."""
    net = built()
    state = fitted(net, net.state_dict())
    assert misfits(net, {k: v for k, v in state.items() if "num_batches" not in k}) == ""
    assert misfits(net, {"strange": torch.ones(1)}).startswith("missing: again.weight, embed.bias, embed.weight and ")
    assert misfits(net, {**state, "strange": torch.ones(1)}) == "unknown: strange"
    untied = {**net.state_dict(), "last.0.weight": torch.ones(16, 16)}
    said = "tied in the network and not in the file: last.0.weight and again.weight"
    assert misfits(net, fitted(net, untied)) == said
