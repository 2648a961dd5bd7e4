"""Published figures that ours stand beside, as plain data with their sources: accuracies as fractions, ELBO in nats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Figures = Mapping[str, float]

# What the talk calls our networks and data; without an entry they keep our names, and have no published figures.
NETWORKS = {"lenet5": "LeNet-5", "lenet5_bn": "LeNet-5", "vgg_like": "VGG-like"}
DATA = {"mnist": "MNIST", "cifar10": "CIFAR-10", "cifar100_coarse": "CIFAR-100 (20 coarse)"}
DATA_NOTES = {
    "cifar100_coarse": "CIFAR-100 (20 coarse): the talk's CIFAR-100 are its 20 coarse classes; chance is 5.0 %"
}


@dataclass(frozen=True)
class Published:
    """The figures of one published table.

    Args:
        source: Where they were published, and what one must know to compare with them.
        figures: By network and data, both as the talk names them, then by row and column of the table.
    """

    source: str
    figures: Mapping[tuple[str, str], Mapping[str, Figures]]

    def of(self, model: str, data: str) -> Mapping[str, Figures]:
        """The rows for a network and data of ours, in the order of print; none if nothing was published."""
        return self.figures.get((NETWORKS.get(model, model), DATA.get(data, data)), {})

    def place(self, model: str, data: str) -> int:
        """Where a network and data of ours stand in print; after the last if nothing was published."""
        key = (NETWORKS.get(model, model), DATA.get(data, data))
        return list(self.figures).index(key) if key in self.figures else len(self.figures)


def _parameterization(elbo: float, deterministic: float, ensemble: float) -> Figures:
    return {"elbo": elbo, "deterministic accuracy": deterministic, "ensemble accuracy": ensemble}


def _schemes(stochastic: float, deterministic: float, ensemble: float) -> Figures:
    return {
        "stochastic accuracy": stochastic,
        "deterministic accuracy": deterministic,
        "ensemble accuracy": ensemble,
    }


PARAMETERIZATIONS = Published(
    "the talk, after Neklyudov et al. 2018 (arXiv:1803.03764)",
    {
        ("LeNet-5", "MNIST"): {
            "layer": _parameterization(-5.9e2, 0.113, 0.992),
            "neuron": _parameterization(-7.7e2, 0.113, 0.992),
            "weight": _parameterization(-6.4e4, 0.813, 0.992),
            "additive": _parameterization(-2.3e4, 0.963, 0.992),
        }
    },
)
SCHEMES = Published(
    "the talk, after Neklyudov et al. 2018 (arXiv:1803.03764); on CIFAR its code gets variance networks by variational"
    " dropout, one alpha a layer",
    {
        ("LeNet-5", "MNIST"): {
            "dropout": _schemes(0.991, 0.994, 0.994),
            "variance": _schemes(0.959, 0.101, 0.993),
        },
        ("VGG-like", "CIFAR-10"): {
            "dropout": _schemes(0.910, 0.931, 0.934),
            "variance": _schemes(0.913, 0.100, 0.934),
        },
        ("VGG-like", "CIFAR-100 (20 coarse)"): {
            "dropout": _schemes(0.775, 0.798, 0.817),
            "variance": _schemes(0.769, 0.050, 0.822),
        },
    },
)
