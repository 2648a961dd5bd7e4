"""Networks: the papers' sizes, and how they are found."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from raysurf.errors import SpecError, UnknownNameError
from raysurf.models import registry

COLOUR, GREY = (3, 32, 32), (1, 28, 28)


def conv(i: int, o: int, k: int, bias: bool = True) -> int:
    return i * o * k * k + o * bias


VGG_CONVS = sum(
    conv(i, o, 3)
    for i, o in [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512)]
    + 5 * [(512, 512)]
)
VGG = VGG_CONVS + 2 * (512 * 512 + 512) + 512 * 10 + 10
VGG_BN = VGG + 2 * (2 * 64 + 2 * 128 + 3 * 256 + 6 * 512)


@pytest.mark.parametrize(
    ("name", "shape", "count"),
    [
        ("lenet5", GREY, 430_500 + 20 + 50 + 500 + 10),
        ("lenet5_bn", GREY, 430_500 + 580 + 2 * (20 + 50 + 500)),
        ("vgg_like", COLOUR, VGG_BN - (512 * 512 + 512) + 2 * 512),
        ("toy_mlp", (2, 1, 1), 300 + 3 * 10_100 + 202 + 300 + 1_010),
        ("vgg16", COLOUR, VGG),
        ("vgg16_bn", COLOUR, VGG_BN),
        ("preresnet110", COLOUR, 1_146_842),
        ("preresnet164", COLOUR, 1_703_258),
        ("densenet40_12", COLOUR, 1_019_722),
        ("resnet18", COLOUR, 11_181_642),
        ("torchvision.vgg11", (3, 224, 224), 128_807_306),
    ],
)
def test_network_has_the_papers_size(name: str, shape: tuple[int, int, int], count: int) -> None:
    """Parameters for 10 classes; PreResNet-164 has He et al.'s 1.70 M, DenseNet-40-12 Huang et al.'s 1.0 M."""
    net = registry.build(name, num_classes=10, image_shape=shape)
    assert sum(p.numel() for p in net.parameters()) == count


@pytest.mark.parametrize(
    "name", ["lenet5", "lenet5_bn", "vgg_like", "vgg16", "vgg16_bn", "preresnet110", "densenet40_12"]
)
def test_network_gives_logits(name: str) -> None:
    """A batch of images gives a row of logits each, with gradients everywhere."""
    shape = GREY if name.startswith("lenet5") else COLOUR
    net = registry.build(name, num_classes=7, image_shape=shape)
    out = net(torch.randn(2, *shape))
    assert out.shape == (2, 7)
    out.sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_noisy_layers_of_the_papers_networks_have_names() -> None:
    """What the sweeps make noisy is there by name, and VGG-like's head leaves dropout to it on request."""
    names = dict(registry.build("lenet5_bn", num_classes=10, image_shape=GREY).named_modules())
    assert {"conv1", "conv2", "dense1", "dense2"} <= names.keys()
    for head_dropout, count in ((True, 10), (False, 6)):
        options = {"head_dropout": head_dropout}
        modules = dict(registry.build("vgg_like", num_classes=20, image_shape=COLOUR, options=options).named_modules())
        assert {"conv11", "conv12", "conv13", "dense1", "dense2"} <= modules.keys()
        assert sum(type(module) is torch.nn.Dropout for module in modules.values()) == count


def test_digits_network_is_small() -> None:
    """The quickstart's network stays cheap."""
    net = registry.build("digits_conv", num_classes=10, image_shape=(1, 8, 8))
    assert sum(p.numel() for p in net.parameters()) < 30_000


def test_dotted_path_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function of the user's own module builds the network, with options."""
    (tmp_path / "my_nets.py").write_text(
        "from torch import nn\ndef line(num_classes, image_shape, bias=True):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(784, num_classes, bias=bias))\nnumber = 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    net = registry.build("my_nets:line", num_classes=3, image_shape=GREY, options={"bias": False})
    assert sum(p.numel() for p in net.parameters()) == 784 * 3
    with pytest.raises(UnknownNameError, match="this is no function"):
        registry.check("my_nets:number")
    with pytest.raises(UnknownNameError, match="that can be imported"):
        registry.check("my_nets:nope")
    with pytest.raises(SpecError, match=r"options of my_nets:line: bias"):
        registry.build("my_nets:line", num_classes=3, image_shape=GREY, options={"bais": False})
    sys.modules.pop("my_nets", None)


@pytest.mark.parametrize(("name", "near"), [("lenet", "lenet5"), ("resnet81", "resnet18"), ("vgg16bn", "vgg16_bn")])
def test_near_names_are_suggested(name: str, near: str) -> None:
    """An unknown network is answered with the nearest known one, ours or torchvision's."""
    with pytest.raises(UnknownNameError, match=f"did you mean '{near}'"):
        registry.check(name)
