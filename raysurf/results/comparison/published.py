"""Published metrics with their sources, as plain data: accuracies as fractions, ELBO in nats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Metrics = Mapping[str, float]

# The talk's names of our networks and data; those without an entry keep our names and have no published metrics.
NETWORKS = {
    "lenet5": "LeNet-5",
    "lenet5_bn": "LeNet-5",
    "vgg_like": "VGG-like",
    "vgg16": "VGG-16",
    "preresnet110": "PreResNet-110",
    "preresnet164": "PreResNet-164",
    "wrn28_10": "WRN-28-10",
    "pyramidnet272": "PyramidNet-272",
    "shakeshake26_2x64d": "Shake-Shake-2x64d",
    "resnet50": "ResNet-50",
    "resnet152": "ResNet-152",
    "densenet161": "DenseNet-161",
    "torchvision.resnet50": "ResNet-50",
    "torchvision.resnet152": "ResNet-152",
    "torchvision.densenet161": "DenseNet-161",
}
DATA = {
    "mnist": "MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "cifar100_coarse": "CIFAR-100 (20 coarse)",
    "imagenet": "ImageNet",
}
DATA_NOTES = {
    "cifar100_coarse": "CIFAR-100 (20 coarse): the talk's CIFAR-100 are its 20 coarse classes; chance is 5.0 %"
}


@dataclass(frozen=True)
class Published:
    """The metrics of one published table.

    Args:
        source: The publication, with notes on the comparison.
        metrics: By network and data, both as the talk names them, then by row and column of the table.
    """

    source: str
    metrics: Mapping[tuple[str, str], Mapping[str, Metrics]]

    def of(self, model: str, data: str) -> Mapping[str, Metrics]:
        """The rows of one of our networks and data sets, in published order; empty if there are none."""
        return self.metrics.get((NETWORKS.get(model, model), DATA.get(data, data)), {})

    def place(self, model: str, data: str) -> int:
        """The position of one of our networks and data sets in the table; after the last if it is not there."""
        key = (NETWORKS.get(model, model), DATA.get(data, data))
        return list(self.metrics).index(key) if key in self.metrics else len(self.metrics)


def _parameterization(elbo: float, deterministic: float, ensemble: float) -> Metrics:
    return {"elbo": elbo, "deterministic accuracy": deterministic, "ensemble accuracy": ensemble}


def _schemes(stochastic: float, deterministic: float, ensemble: float) -> Metrics:
    return {
        "stochastic accuracy": stochastic,
        "deterministic accuracy": deterministic,
        "ensemble accuracy": ensemble,
    }


def _budgets(sgd: float, fge: float | None, swa: tuple[float | None, float, float]) -> Metrics:
    """SGD, FGE, and SWA of 1, 1.25 and 1.5 budgets."""
    metrics = {
        "sgd accuracy": sgd,
        "fge accuracy": fge,
        "swa 1 accuracy": swa[0],
        "swa 1.25 accuracy": swa[1],
        "swa 1.5 accuracy": swa[2],
    }
    return {name: value for name, value in metrics.items() if value is not None}


def _pretrained(sgd: float, after_5: float, after_10: float) -> Metrics:
    return {"sgd accuracy": sgd, "swa 5 epochs accuracy": after_5, "swa 10 epochs accuracy": after_10}


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
# Rows are named by the epochs of a budget of one.
BUDGETS = Published(
    "the talk, after Izmailov et al. 2018 (arXiv:1803.05407); PreResNet-110: its code's README (timgaripov/swa)",
    {
        ("VGG-16", "CIFAR-100"): {"200": _budgets(0.7255, 0.7426, (0.7391, 0.7417, 0.7427))},
        ("PreResNet-110", "CIFAR-100"): {"150": _budgets(0.7677, None, (0.7875, 0.7891, 0.7910))},
        ("PreResNet-164", "CIFAR-100"): {"150": _budgets(0.7849, 0.7984, (0.7977, 0.8018, 0.8035))},
        ("WRN-28-10", "CIFAR-100"): {"200": _budgets(0.8082, 0.8227, (0.8146, 0.8191, 0.8215))},
        ("PyramidNet-272", "CIFAR-100"): {"300": _budgets(0.8341, None, (None, 0.8393, 0.8416))},
        ("VGG-16", "CIFAR-10"): {"200": _budgets(0.9325, 0.9352, (0.9359, 0.9370, 0.9364))},
        ("PreResNet-110", "CIFAR-10"): {"150": _budgets(0.9503, None, (0.9551, 0.9565, 0.9582))},
        ("PreResNet-164", "CIFAR-10"): {"150": _budgets(0.9528, 0.9545, (0.9556, 0.9577, 0.9583))},
        ("WRN-28-10", "CIFAR-10"): {"200": _budgets(0.9618, 0.9636, (0.9645, 0.9664, 0.9679))},
        ("Shake-Shake-2x64d", "CIFAR-10"): {"1800": _budgets(0.9693, None, (None, 0.9716, 0.9712))},
    },
)
PRETRAINED = Published(
    "the talk, after Izmailov et al. 2018 (arXiv:1803.05407)",
    {
        ("ResNet-50", "ImageNet"): {"": _pretrained(0.7615, 0.7683, 0.7697)},
        ("ResNet-152", "ImageNet"): {"": _pretrained(0.7831, 0.7882, 0.7894)},
        ("DenseNet-161", "ImageNet"): {"": _pretrained(0.7765, 0.7826, 0.7844)},
    },
)
