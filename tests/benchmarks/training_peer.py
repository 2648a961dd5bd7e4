"""The training loop that everyone writes, as the peer of ``tests.benchmarks.training``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from raysurf.data.dataset import Dataset
from tests.benchmarks.rounds import seconds

BATCH, MOMENTUM, DECAY = 128, 0.9, 5e-4


class Peer:
    """Contiguous fp32, a torchvision set with PIL transforms, a DataLoader of two workers, ``loss.item()`` each step.

    Args:
        net: Trained in place.
        data: Its training split is what the torchvision set holds.
    """

    def __init__(self, net: nn.Module, data: Dataset) -> None:
        self.net = net.train()
        self.optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=MOMENTUM, weight_decay=DECAY)
        self.loader = DataLoader(
            torchvision_set(data), batch_size=BATCH, shuffle=True, num_workers=2, persistent_workers=True
        )

    def step(self, images: Tensor, labels: Tensor) -> float:
        """One step; gives the batch's loss."""
        self.optimiser.zero_grad()
        loss = F.cross_entropy(self.net(images), labels)
        loss.backward()
        self.optimiser.step()
        return loss.item()

    def epochs(self, rates: list[float]) -> None:
        """Train an epoch at each of these rates."""
        for rate in rates:
            self.optimiser.param_groups[0]["lr"] = rate
            for images, labels in self.loader:
                self.step(images, labels)

    def rate(self, steps: int, untimed: int) -> float:
        """Images a second over some steps, once others have brought the loader to its steady state."""
        if not hasattr(self, "_batches"):
            self._batches = self._endless()

        def run(count: int) -> None:
            for _ in range(count):
                self.step(*next(self._batches))

        run(untimed)
        took = seconds(lambda: run(steps))
        time.sleep(0.5)  # the loader's workers fill their queue, and leave the cores to who is next
        return BATCH * steps / took

    def _endless(self) -> Iterator[Any]:
        while True:
            yield from self.loader


def torchvision_set(data: Dataset) -> Any:
    """A data set's training split as torchvision's own class holds it, read by its own ``__getitem__``."""
    grey = data.image_shape[0] == 1
    kind = datasets.MNIST if grey else datasets.CIFAR10
    made = kind.__new__(kind)
    made.data = data.train.images[:, 0] if grey else data.train.images.permute(0, 2, 3, 1).contiguous().numpy()
    made.targets = data.train.labels if grey else data.train.labels.tolist()
    crop_flip = [transforms.RandomCrop(data.image_shape[1], padding=4), transforms.RandomHorizontalFlip()]
    normal = transforms.Normalize(data.mean.tolist(), data.std.tolist())
    augment = crop_flip if data.augment == "crop_flip" else []
    made.transform, made.target_transform = transforms.Compose([*augment, transforms.ToTensor(), normal]), None
    return made
