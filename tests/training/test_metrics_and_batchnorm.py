"""Figures and batch-norm statistics, against slow references in float64."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from raysurf.data import registry
from raysurf.data.spec import DataSpec
from raysurf.training import evaluation
from raysurf.training.batchnorm import tracking_layers
from raysurf.training.workers import Workers
from tests.support.cases import NETWORKS


def _by_hand(p: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    n = len(labels)
    confidence, answer = p.max(axis=1), p.argmax(axis=1)
    ece = 0.0
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        if inside.any():
            ece += inside.sum() / n * abs((answer[inside] == labels[inside]).mean() - confidence[inside].mean())
    one_hot = np.eye(p.shape[1])[labels]
    return {
        "accuracy": (answer == labels).mean(),
        "nll": -np.log(p[np.arange(n), labels]).mean(),
        "brier": ((p - one_hot) ** 2).sum(axis=1).mean(),
        "ece": ece,
    }


@pytest.mark.parametrize("seed", [0, 1])
def test_metrics_equal_those_by_hand(seed: int) -> None:
    """Accuracy, NLL, Brier score and ECE over batches equal the plain formulas over the whole."""
    g = torch.Generator().manual_seed(seed)
    log_p = F.log_softmax(3 * torch.randn(203, 7, generator=g, dtype=torch.float64), dim=1)
    labels = torch.randint(0, 7, (203,), generator=g)
    total = sum(evaluation.sums(log_p[i : i + 50], labels[i : i + 50]) for i in range(0, 203, 50))
    got = evaluation.metrics_of(total)  # type: ignore[arg-type]
    for name, value in _by_hand(log_p.exp().numpy(), labels.numpy()).items():
        assert getattr(got, name) == pytest.approx(value, abs=1e-12), name
    assert got.num_examples == 203
    assert got.error == pytest.approx(1 - got.accuracy)


@pytest.mark.parametrize("batch_size", [100, 64])
def test_reestimated_statistics_are_weighted_by_samples(batch_size: int) -> None:
    """Statistics equal the sample-weighted mean of batch statistics in float64, also with a short last batch."""
    data = registry.load(DataSpec(name="digits"))
    torch.manual_seed(0)
    net = NETWORKS["batchnorm"]()
    evaluation.reestimate_batchnorm(net, data, Workers(), batch_size)
    conv, norm = net[0], net[1]
    assert isinstance(norm, nn.BatchNorm2d)
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    mean, var = 0.0, 0.0
    with torch.no_grad():
        for part in order.split(batch_size):
            out = conv(data.normalise(data.train.images[part])).double()
            mean = mean + len(part) * out.mean(dim=(0, 2, 3)) / 1000
            var = var + len(part) * out.transpose(0, 1).flatten(1).var(dim=1) / 1000
    assert norm.running_mean is not None and norm.running_var is not None
    assert torch.allclose(norm.running_mean.double(), torch.as_tensor(mean), atol=1e-6)
    assert torch.allclose(norm.running_var.double(), torch.as_tensor(var), rtol=1e-5)
    assert norm.momentum == 0.1
    assert not norm.training


class Twice(nn.Module):
    """One batch norm that a pass calls on whole and on pooled maps, and one that no pass calls."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.idle = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.BatchNorm1d(2)
        self.head = nn.Linear(27, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.norm(self.conv(images))
        logits: torch.Tensor = self.head(self.norm(F.avg_pool2d(maps.relu(), 2)).flatten(1))
        return logits


def test_every_call_of_a_layer_counts() -> None:
    """Of a layer that is called twice the statistics are torch's; one that is not called keeps its own."""
    data = registry.load(DataSpec(name="digits"))
    torch.manual_seed(0)
    ours, theirs = Twice(), Twice()
    theirs.load_state_dict(ours.state_dict())
    evaluation.reestimate_batchnorm(ours, data, Workers(), 100)
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    torch.optim.swa_utils.update_bn([data.normalise(data.train.images[part]) for part in order.split(100)], theirs)  # type: ignore[arg-type]
    for name, value in theirs.state_dict().items():
        assert torch.allclose(ours.state_dict()[name], value, atol=1e-6), name
    assert ours.norm.num_batches_tracked == 20


def test_synchronised_batch_norm_is_reestimated_in_a_group(tmp_path: Path) -> None:
    """Workers with different numbers of batches do not wait for one another in the layer: their sums are added."""
    data = registry.load(DataSpec(name="digits"))
    torch.manual_seed(0)
    plain = NETWORKS["batchnorm"]()
    synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(plain))
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        for net in (plain, synchronised):
            evaluation.reestimate_batchnorm(net, data, Workers(), 100)
    finally:
        torch.distributed.destroy_process_group()
    for name, value in plain.state_dict().items():
        assert torch.equal(synchronised.state_dict()[name], value), name
    assert "forward" not in vars(synchronised[1])


def test_network_without_batchnorm_is_left_alone() -> None:
    """Nothing happens to a network that keeps no batch statistics."""
    data = registry.load(DataSpec(name="digits"))
    net = NETWORKS["plain"]().train()
    evaluation.reestimate_batchnorm(net, data, Workers(), 100)
    assert net.training
    assert not tracking_layers(net)


def test_evaluation_does_not_depend_on_sharing() -> None:
    """Three workers' sums add up to those of one."""
    data = registry.load(DataSpec(name="digits"))
    torch.manual_seed(0)
    net = NETWORKS["plain"]()
    whole = evaluation.evaluate(net, data, data.test, Workers())
    parts = []
    for rank in range(3):
        part = Workers(rank, 3).share(len(data.test))
        parts.append(evaluation.sums(*evaluation.answers_to(net, data, data.test, "fp32", part)))
    assert evaluation.metrics_of(torch.stack(parts).sum(0)).nll == pytest.approx(whole.nll, rel=1e-6)
