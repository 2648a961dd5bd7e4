"""The evidence lower bound of a network with noisy layers, as an objective; and what goes with it step by step."""

from __future__ import annotations

import random
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from raysurf.stochastic.layers import noisy_layers
from raysurf.training.objective import Collector, Objective, Timed, cross_entropy


def divergence(model: nn.Module) -> Tensor:
    """KL divergence of all noisy weights from their priors, in nats, a scalar; up to constants."""
    layers = list(noisy_layers(model).values())
    return torch.stack([layer.kl() for layer in layers]).sum() if layers else torch.zeros(())


def noise_parameters(model: nn.Module) -> dict[str, Tensor]:
    """The parameters of a network that say how noisy its layers are, by name."""
    names = {
        f"{name}.{own}".lstrip(".") for name, layer in noisy_layers(model).items() for own in layer.noise_parameters
    }
    return {name: value for name, value in model.named_parameters() if name in names}


class ELBO:
    """The negative evidence lower bound, a training example: mean cross-entropy + weight * KL / N.

    -ELBO = N CE + KL; divided by N, so that learning rates are those of plain training.

    Args:
        model: Has noisy layers, or dropout of its own.
        num_train: N, examples of the training split.
        decay: L2 coefficient on parameters other than the noise's.
        precision: fp32 or bf16.
        num_samples: Draws of the noise a step; their gradients are averaged.
        noise_rate: Learning rate of the noise's parameters, as a multiple of that of the others.

    Attributes:
        kl_weight: Of the divergence; 1 unless ``KLWarmUp`` sets it.

    Source:
        Kingma et al. 2015 (arXiv:1506.02557), equation 3. Several samples average the bound; the reference's
        ``--train-ens`` takes the tighter bound of the log of mean probabilities instead.
    """

    def __init__(
        self,
        model: nn.Module,
        num_train: int,
        decay: float,
        precision: str,
        num_samples: int = 1,
        noise_rate: float = 1.0,
    ) -> None:
        self.model, self.num_train, self.decay, self.precision = model, num_train, decay, precision
        self.num_samples, self.kl_weight = num_samples, 1.0
        self.trainables: Mapping[str, Tensor] = dict(model.named_parameters())
        self.own_rates: Mapping[str, float] = dict.fromkeys(noise_parameters(model), noise_rate)

    def backward(self, inputs: Tensor, labels: Tensor, num_examples: int, draw: random.Random) -> Tensor:
        sums = torch.zeros(2, dtype=torch.float64, device=inputs.device)
        for _ in range(self.num_samples):
            sums += cross_entropy(self.model, inputs, labels, num_examples * self.num_samples, self.precision)
        # Every worker adds its share of the batch's divergence.
        kl = divergence(self.model) * (self.kl_weight / self.num_train * len(labels) / num_examples)
        if kl.requires_grad:
            kl.backward()  # type: ignore[no-untyped-call]
        # A divergence that is not finite must show in this step's loss.
        return sums / self.num_samples + 0.0 * kl.detach().double()


class KLWarmUp(Timed):
    """Raises the weight of the divergence linearly from 0 to 1 between two epochs.

    Args:
        objective: Whose weight is set.
        first_step, last_step: Steps done when it leaves 0, and when it reaches 1.

    Source:
        Sønderby et al. 2016 (arXiv:1602.02282); Molchanov et al. 2017 (arXiv:1701.05369), section 5: epochs 5 to 20.
    """

    def __init__(self, objective: ELBO, first_step: int, last_step: int) -> None:
        self.objective, self.first_step, self.last_step = objective, first_step, last_step
        self.set(0)

    def set(self, steps_done: int) -> None:
        risen = (steps_done - self.first_step) / max(1, self.last_step - self.first_step)
        self.objective.kl_weight = min(1.0, max(0.0, risen)) if steps_done < self.last_step else 1.0


class NoiseClip(Collector):
    """Keeps log alpha between the limits of its layer, after every step."""

    def after_step(self, steps_done: int, objective: Objective) -> None:
        for layer in noisy_layers(objective.model).values():
            layer.clip_noise()
