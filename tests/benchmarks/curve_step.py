"""What a step of curve training costs over one of SGD of the same network: ``python -m tests.benchmarks.curve_step``.

Batches of 128 images of 32 x 32, on all cores of this machine, or on its GPU (then with more rounds).
"""

from __future__ import annotations

import random
from collections.abc import Callable

import torch

from raysurf.models import registry
from raysurf.training.fast import channels_last
from raysurf.training.objective import CrossEntropy, Objective, step_of
from raysurf.training.objectives.curve import CurveLoss
from raysurf.weightspace.curve import bends_on_line
from raysurf.weightspace.point import Point
from tests.benchmarks.rounds import in_turns, is_quick, seconds, tell

SHAPE = (3, 32, 32)


def main() -> None:
    """Print a line for each network and number of bends."""
    quick, device = is_quick(), "cuda" if torch.cuda.is_available() else "cpu"
    networks, batch = (["preresnet110", "vgg16"], 128) if not quick else (["lenet5"], 128)
    steps = 20 if device == "cuda" else 1
    for name in networks:
        torch.manual_seed(0)
        images = torch.randn(batch, *SHAPE, device=device)
        labels = torch.randint(0, 10, (batch,), device=device)
        timed = {"sgd": _step(CrossEntropy(_network(name, device), 5e-4, "fp32"), images, labels, steps)}
        for num_bends in (1, 3):
            net = _network(name, device)
            points = [_point(net, seed) for seed in range(2)]
            points = [points[0], *bends_on_line(points[0], points[1], num_bends), points[1]]
            objective = CurveLoss(net, "bezier", points, range(1, num_bends + 1), 5e-4, "fp32")
            timed[f"{num_bends}_bends"] = _step(objective, images, labels, steps)
        times = in_turns(timed, 5 if quick else 9)
        for num_bends in (1, 3):
            figure = f"curve_step/{name}/{num_bends}_bend{'s' * (num_bends > 1)}/{device}"
            tell(figure, times[f"{num_bends}_bends"], times["sgd"], unit="s/step", better="lower", target=1.05)


def _network(name: str, device: str) -> torch.nn.Module:
    torch.manual_seed(0)
    net = registry.build(name, num_classes=10, image_shape=SHAPE).to(device)
    return channels_last(net, SHAPE).train()


def _point(net: torch.nn.Module, seed: int) -> Point:
    """A point near the network's own weights, in its memory layout."""
    torch.manual_seed(seed)
    return {k: v.detach() + 0.01 * torch.randn_like(v) for k, v in net.named_parameters()}


def _step(objective: Objective, images: torch.Tensor, labels: torch.Tensor, steps: int) -> Callable[[], float]:
    optimiser = torch.optim.SGD(
        list(objective.trainables.values()), lr=1e-3, momentum=0.9, weight_decay=objective.decay, fused=True
    )
    take_step = step_of(objective, optimiser)
    draw = random.Random(0)

    def run() -> None:
        for _ in range(steps):
            optimiser.zero_grad(set_to_none=True)
            objective.backward(images, labels, len(images), draw)
            take_step()
        if images.is_cuda:
            torch.cuda.synchronize()

    return lambda: seconds(run) / steps


if __name__ == "__main__":
    main()
