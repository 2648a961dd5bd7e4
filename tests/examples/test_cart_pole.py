"""The average of a policy that learns to balance a pole: reinforcement learning that hands its iterates to raysurf."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import raysurf as rs


def push(state: Tensor, right: Tensor) -> Tensor:
    """Move carts with poles of 0.1 kg and 1 m by a push of 10 N for 0.02 s, by Euler's rule.

    Args:
        state: [n, 4], position in m, speed in m/s, angle in rad, angular speed in rad/s.
        right: [n], 1 for a push to the right, 0 to the left.

    Source:
        Barto, Sutton and Anderson 1983, appendix, without friction.
    """
    _, speed, angle, turning = state.unbind(1)
    force = (20.0 * right - 10.0 + 0.05 * turning.square() * angle.sin()) / 1.1
    tip = (9.8 * angle.sin() - angle.cos() * force) / (0.5 * (4 / 3 - 0.1 * angle.cos().square() / 1.1))
    cart = force - 0.05 * tip * angle.cos() / 1.1
    return state + 0.02 * torch.stack([speed, cart, turning, tip], dim=1)


def episodes(policy: nn.Module, count: int, steps: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Play episodes side by side, each until its pole leans by 12 degrees or its cart is 2.4 m away.

    Returns:
        The log-probability of each action, and 1 while the episode lasts; both [steps taken, count].
    """
    state, alive = 0.1 * torch.rand(count, 4, generator=g) - 0.05, torch.ones(count)
    log_p, lasted = [], []
    for _ in range(steps):
        logit = policy(state).squeeze(1)
        right = (torch.rand(count, generator=g) < logit.detach().sigmoid()).float()
        log_p.append(nn.functional.logsigmoid((2.0 * right - 1.0) * logit))
        lasted.append(alive)
        state = push(state, right) * alive[:, None]
        alive = alive * ((state[:, 0].abs() < 2.4) & (state[:, 2].abs() < 0.2095)).float()
        if not alive.any():
            break
    return torch.stack(log_p), torch.stack(lasted)


@torch.no_grad()
def balanced(policy: nn.Module) -> float:
    """Steps that a policy balances, of at most 400, as a mean over the same 100 episodes each time."""
    return float(episodes(policy, 100, 400, torch.Generator().manual_seed(1))[1].sum(dim=0).mean())


def test_averaged_policy_balances() -> None:
    """The average of a policy's iterates balances far longer than an untrained one, and than the worst of them."""
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(0)
    policy = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
    optimiser = torch.optim.Adam(policy.parameters(), lr=0.03)
    untrained = balanced(policy)
    average, lengths = rs.Average(policy), []
    for iteration in range(1, 46):
        log_p, lasted = episodes(policy, 16, 200, g)
        to_go = lasted.flip(0).cumsum(0).flip(0)
        usual = (to_go * lasted).sum(dim=1, keepdim=True) / lasted.sum(dim=1, keepdim=True).clamp(min=1)
        optimiser.zero_grad()
        (-(log_p * (to_go - usual) * lasted).sum() / lasted.sum()).backward()
        optimiser.step()
        if iteration > 25 and iteration % 4 == 0:
            average.update()
            lengths.append(balanced(policy))
    with average.applied():
        averaged = balanced(policy)
    assert untrained < 50 < 200 < averaged, (untrained, averaged)
    assert averaged > min(lengths), (averaged, lengths)
