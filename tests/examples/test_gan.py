"""The average of a GAN's generator: a training script that hands its iterates to raysurf."""

from __future__ import annotations

from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import raysurf as rs


def mixture(count: int, generator: torch.Generator) -> Tensor:
    """Draws [count, 1] of the mixture of N(-2, 1/4) and N(2, 1/4) in equal parts."""
    centres = 4.0 * torch.randint(0, 2, (count, 1), generator=generator) - 2.0
    return centres + 0.5 * torch.randn(count, 1, generator=generator)


def mlp(inputs: int, width: int = 32) -> nn.Module:
    """Two hidden layers."""
    return nn.Sequential(nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1))


@torch.no_grad()
def distance(generator: nn.Module) -> float:
    """The Wasserstein-1 distance of what a generator makes to the mixture, on the same 4,000 draws each time."""
    g = torch.Generator().manual_seed(1)
    made, true = generator(torch.randn(4000, 2, generator=g)), mixture(4000, g)
    return float((made.flatten().sort().values - true.flatten().sort().values).abs().mean())


def test_averaged_generator_is_nearer_than_its_iterates() -> None:
    """A generator that circles the mixture in Adam's steps is nearer to it on average than where it mostly is."""
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(0)
    generator, critic = mlp(2), mlp(1)
    untrained = distance(generator)
    generator_step, critic_step = (
        torch.optim.Adam(net.parameters(), lr=1e-2, betas=(0.5, 0.9)) for net in (generator, critic)
    )
    average, distances = rs.Average(generator), []
    for step in range(1, 1201):
        critic_step.zero_grad()
        made = generator(torch.randn(128, 2, generator=g)).detach()
        (F.softplus(-critic(mixture(128, g))).mean() + F.softplus(critic(made)).mean()).backward()
        critic_step.step()
        generator_step.zero_grad()
        F.softplus(-critic(generator(torch.randn(128, 2, generator=g)))).mean().backward()
        generator_step.step()
        if step > 400 and step % 20 == 0:
            average.update()
            distances.append(distance(generator))
    with average.applied():
        averaged = distance(generator)
    assert average.count == 40
    assert averaged < 0.9 * median(distances), (averaged, sorted(distances))
    assert averaged < 0.5 * untrained
