"""Ensembles and training steps of noisy layers against plain loops: ``python -m tests.benchmarks.ensemble``.

K = 100 samples of LeNet-5 with a variance layer (dense1) over 28 x 28 images: ours is the ensemble scheme, the peer
draws the layer's weights for every sample and passes over all images again, in batches of 128. 1,000 images, a tenth of
MNIST's test set: both costs are per image, but for the peer's 100 draws of weights. Then the same with every layer a
variance layer, where nothing can be shared, and a training step of both, in batches of 200, against the plain one's.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor, nn

from raysurf.data.dataset import Dataset, MemorySplit
from raysurf.models import registry
from raysurf.stochastic.convert import convert
from raysurf.stochastic.layers import VarianceLayer, noisy_layers
from raysurf.training import schemes
from raysurf.training.fast import channels_last
from raysurf.training.objective import CrossEntropy, Objective
from raysurf.training.objectives.elbo import ELBO
from raysurf.training.workers import Workers
from tests.benchmarks.rounds import in_turns, is_quick, seconds, tell

SHAPE, SAMPLES = (1, 28, 28), 100


def main() -> None:
    """Print a line for each comparison."""
    quick, device = is_quick(), "cuda" if torch.cuda.is_available() else "cpu"
    data = _images(200 if quick else 1000, device)
    rounds = 2 if quick else 5
    for figure, layers, target in (("dense1", "dense1", 2.0), ("all_layers", "*", None)):
        net = _network(layers, device).eval()
        count = SAMPLES if layers == "dense1" else 10
        times = in_turns({"ours": _ours(net, data, count), "peer": _peer(net, data, count)}, rounds)
        rates = [[count * len(data.test) / seconds for seconds in times[who]] for who in ("ours", "peer")]
        tell(f"ensemble/lenet5_bn/{figure}/{device}", *rates, unit="samples x images/s", better="higher", target=target)
    for figure, layers, target in (("dense1", "dense1", 1.6), ("all_layers", "*", None)):
        plain, noisy = _network(None, device), _network(layers, device)
        timed = {
            "plain": _step(CrossEntropy(plain.train(), 0.0, "fp32"), data),
            "noisy": _step(ELBO(noisy.train(), 60_000, 0.0, "fp32"), data),
        }
        took = in_turns(timed, 5 if quick else 21)
        name = f"variance_step/lenet5_bn/{figure}/{device}"
        tell(name, took["noisy"], took["plain"], unit="s/step", better="lower", target=target)


def _images(count: int, device: str) -> Dataset:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (count, *SHAPE), dtype=torch.uint8, device=device)
    split = MemorySplit(images, torch.randint(0, 10, (count,), device=device))
    one = torch.ones(1, device=device)
    return Dataset("random", split, None, split, 10, SHAPE, 0.5 * one, 0.3 * one, 255.0, "none", "")


def _network(layers: str | None, device: str) -> nn.Module:
    torch.manual_seed(0)
    net = registry.build("lenet5_bn", num_classes=10, image_shape=SHAPE)
    return channels_last((convert(net, layers, VarianceLayer) if layers else net).to(device), SHAPE)


def _ours(net: nn.Module, data: Dataset, count: int) -> Callable[[], float]:
    return lambda: seconds(lambda: schemes.measure(net, data, data.test, Workers(), "ensemble", count, 0))


def _peer(net: nn.Module, data: Dataset, count: int) -> Callable[[], float]:
    """A pass over all images for every sample, with weights that are drawn before it."""
    plain = _network(None, str(data.test.images.device)).eval()
    deviations = {f"{name}.weight": layer.variance().sqrt() for name, layer in noisy_layers(net).items()}
    weights = dict(plain.named_parameters())

    @torch.no_grad()
    def run() -> Tensor:
        total = torch.zeros(len(data.test), 10, device=data.test.images.device)
        for _ in range(count):
            for name, deviation in deviations.items():
                weights[name].copy_(deviation * torch.randn_like(deviation))
            for first in range(0, len(data.test), 128):
                logits = plain(data.normalise(data.test.images[first : first + 128]))
                total[first : first + 128] += logits.softmax(1)
        if total.is_cuda:
            torch.cuda.synchronize()
        return total

    return lambda: seconds(run)


def _step(objective: Objective, data: Dataset) -> Callable[[], float]:
    optimiser = torch.optim.Adam(list(objective.trainables.values()), lr=1e-3, fused=True)
    inputs, labels, draw = data.normalise(data.test.images[:200]), data.test.labels[:200], random.Random(0)

    def run() -> None:
        optimiser.zero_grad(set_to_none=True)
        objective.backward(inputs, labels, len(inputs), draw)
        optimiser.step()
        if inputs.is_cuda:
            torch.cuda.synchronize()

    return lambda: seconds(run)


if __name__ == "__main__":
    main()
