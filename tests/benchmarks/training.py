"""Images a second of training, against the loop that everyone writes: ``python -m tests.benchmarks.training``.

Bursts of steps of ``fit`` (bf16 and fp32, channels last, images in memory) and of the peer, in turns, on all cores;
and what collecting an average costs of an epoch. ``--data DIR`` takes real images: MNIST as torchvision stores it, and
CIFAR-10 as ``cifar10-jpeg/{train,test}.parquet`` or as torchvision stores it; else they are random, which no speed
depends on. ``--accuracy`` trains both on a share of CIFAR-10 instead, and prints what they reached.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from raysurf.data import registry as data_sets
from raysurf.data.dataset import Dataset, MemorySplit
from raysurf.data.spec import DataSpec
from raysurf.errors import DataError
from raysurf.models import registry
from raysurf.models.preresnet import PreResNet
from raysurf.training.epoch import Recipe
from raysurf.training.evaluation import evaluate
from raysurf.training.fast import channels_last
from raysurf.training.loop import fit
from raysurf.training.objective import CrossEntropy, CycleAverage, Objective
from raysurf.training.schedules import Constant, Cycles, PlateauLinear, Schedule, Span
from raysurf.training.workers import Workers
from raysurf.weightspace.average import RunningAverage
from tests.benchmarks.rounds import in_turns, seconds, tell
from tests.benchmarks.training_peer import BATCH, DECAY, MOMENTUM, Peer

IMAGES = {"cifar10": 50_000, "mnist": 60_000}
SHAPES = {"cifar10": (3, 32, 32), "mnist": (1, 28, 28)}
FP32_TARGET = 1.2


@dataclass(frozen=True)
class Case:
    """A network on a set, the steps of one burst, those before it that do not count, and the target in bf16."""

    network: str
    data: str
    steps: int
    untimed: int
    target: float


# LeNet-5's peer waits for its loader, which must be in its steady state; the others' loaders wait for them.
CASES = [
    Case("lenet5", "mnist", 200, 20, 1.5),
    Case("vgg16", "cifar10", 6, 1, 2.0),
    Case("preresnet110", "cifar10", 4, 1, 2.5),
]


def main() -> None:
    """Print a line for each network and precision, and for the averages."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="fewer rounds of less work; for a look")
    parser.add_argument("--data", default=os.environ.get("RAYSURF_DATA"), help="folder of real images")
    parser.add_argument("--only", default="", help="the one network to look at")
    parser.add_argument("--rounds", type=int, default=9, help="rounds that count")
    parser.add_argument("--accuracy", action="store_true", help="train both, and print what they reached")
    parser.add_argument("--share", type=float, default=0.2, help="of CIFAR-10's training images, for --accuracy")
    parser.add_argument("--epochs", type=int, default=6, help="for --accuracy")
    given = parser.parse_args()
    if given.accuracy:
        _accuracies(given.data, given.share, given.epochs)
        return
    for case in CASES:
        if case.network.startswith(given.only) and not (given.quick and case.network == "preresnet110"):
            case = replace(case, steps=case.steps // 2) if given.quick else case
            _speeds(case, _data(case.data, given.data), 2 if given.quick else given.rounds)


def _speeds(case: Case, data: Dataset, rounds: int) -> None:
    shape = SHAPES[case.data]

    def network() -> nn.Module:
        torch.manual_seed(0)
        return registry.build(case.network, num_classes=10, image_shape=shape)

    ours = {precision: _ours(network(), data, precision, case) for precision in ("bf16", "fp32")}
    peer = Peer(network(), data)
    rates = in_turns({**ours, "peer": lambda: peer.rate(case.steps, case.untimed)}, rounds)
    for precision, target in (("bf16", case.target), ("fp32", FP32_TARGET)):
        figure = f"training/{case.network}/{precision}"
        tell(figure, rates[precision], rates["peer"], unit="images/s", better="higher", target=target)
    collecting = [_collecting(network(), data) for _ in range(rounds)]
    epochs = [len(data.train) / rate for rate in rates["bf16"]]
    tell(f"training/average/{case.network}", collecting, epochs, unit="s/epoch", better="lower", target=0.01)


class Clock:
    """A collector that looks at the time after some step."""

    def __init__(self, step: int) -> None:
        self.step, self.time = step, 0.0

    def after_step(self, steps_done: int, objective: Objective) -> None:
        if steps_done == self.step:
            self.time = time.perf_counter()

    def state(self) -> dict[str, Tensor]:
        return {}

    def load(self, state: Mapping[str, Tensor], steps_done: int) -> None:
        """It keeps nothing."""


def _ours(net: nn.Module, data: Dataset, precision: str, case: Case) -> Callable[[], float]:
    """Images a second of ``fit`` over some batches of the training split, from one step, as the peer's, to the last."""
    objective = CrossEntropy(channels_last(net, data.image_shape), DECAY, precision)
    part = torch.randperm(len(data.train))[: (case.untimed + case.steps) * BATCH]
    few = replace(data, train=MemorySplit(data.train.images[part], data.train.labels[part]))
    recipe = Recipe(1, 1, Constant(lr=0.01), BATCH, MOMENTUM, False, seed=0)

    def rate() -> float:
        clock = Clock(case.untimed)
        fit(objective, few, recipe, Workers(), lambda end: None, [clock])
        return case.steps * BATCH / (time.perf_counter() - clock.time)

    return rate


def _collecting(net: nn.Module, data: Dataset) -> float:
    """Seconds that an average of one member an epoch takes in an epoch: looking after every step, and collecting."""
    objective = CrossEntropy(channels_last(net, data.image_shape), DECAY, "bf16")
    steps = Recipe(1, 1, Constant(lr=0.01), BATCH, MOMENTUM, False, 0).steps_per_epoch(len(data.train))
    average = RunningAverage()
    average.add(objective.trainables)
    collector = CycleAverage(Cycles(steps), average)

    def epoch() -> None:
        for step in range(steps):
            collector.after_step(step + 1, objective)

    took = seconds(epoch)
    assert average.count == 2
    return took


def _data(name: str, root: str | None) -> Dataset:
    """A set's own images, or random ones of its number and size if there is no folder."""
    if root is not None:
        return data_sets.load(_spec(name, root), "cpu")
    torch.manual_seed(0)
    images = torch.randint(0, 256, (IMAGES[name], *SHAPES[name]), dtype=torch.uint8)
    split = MemorySplit(images, torch.randint(0, 10, (len(images),)))
    middle = torch.full((SHAPES[name][0],), 0.5)
    augment = "crop_flip" if name == "cifar10" else "none"
    return Dataset(name, split, None, split, 10, SHAPES[name], middle, 0.5 * middle, 255.0, augment, "")


def _spec(name: str, root: str, share: float = 1.0) -> DataSpec:
    folder = Path(root) / "cifar10-jpeg"
    if name == "cifar10" and folder.exists():
        train, test = (str(folder / f"{part}.parquet") for part in ("train", "test"))
        return DataSpec(name="parquet", train=train, test=test, validation=0, share=share)
    return DataSpec(name=name, root=root, download=False, validation=0, share=share)


def _accuracies(root: str | None, share: float, epochs: int) -> None:
    """Train a PreResNet-20 by ours in both precisions and by the peer, at the same rates, and print all three."""
    if root is None:
        raise DataError("cifar10", "no folder", "--data DIR, with CIFAR-10 in it")
    data = data_sets.load(_spec("cifar10", root, share), "cpu")
    schedule = PlateauLinear(lr=0.1)
    for how in ("bf16", "fp32", "peer"):
        torch.manual_seed(0)
        net: nn.Module = PreResNet(10, 3, 20)
        took = seconds(partial(_train, net, data, how, schedule, epochs))
        accuracy = evaluate(net, data, data.test, Workers()).accuracy
        line = {"figure": f"training/accuracy/{how}", "accuracy": round(accuracy, 4), "wall_s": round(took, 1)}
        print(json.dumps({**line, "images": len(data.train), "epochs": epochs}), flush=True)


def _train(net: nn.Module, data: Dataset, how: str, schedule: Schedule, epochs: int) -> None:
    if how == "peer":
        per_epoch = -(-len(data.train) // BATCH)
        rates = [
            schedule.rate(epoch * per_epoch, Span(epochs * per_epoch, per_epoch, per_epoch)) for epoch in range(epochs)
        ]
        Peer(net, data).epochs(rates)
        return
    objective = CrossEntropy(channels_last(net, data.image_shape), DECAY, how)
    recipe = Recipe(epochs, epochs, schedule, BATCH, MOMENTUM, False, seed=0)

    fit(objective, data, recipe, Workers(), lambda end: None)


if __name__ == "__main__":
    main()
