"""Networks: the papers' sizes, and how they are found."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from raysurf.data.dataset import Dataset, MemorySplit
from raysurf.errors import DataError, SpecError, UnknownNameError
from raysurf.models import registry
from raysurf.models.pyramidnet import PyramidBottleneck, PyramidNet
from raysurf.models.shakeshake import ShakeShake
from raysurf.models.wide_resnet import WideResNet
from raysurf.stochastic.convert import convert
from raysurf.stochastic.layers import DropoutLayer
from raysurf.training.evaluation import evaluate, reestimate_batchnorm
from raysurf.training.fast import channels_last
from raysurf.training.workers import Workers
from raysurf.weightspace.point import buffers_of, point_of

COLOUR, SMALL, GREY = (3, 32, 32), (3, 16, 16), (1, 28, 28)


def conv(i: int, o: int, k: int, bias: bool = True) -> int:
    return i * o * k * k + o * bias


VGG_CONVS = sum(
    conv(i, o, 3)
    for i, o in [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512)]
    + 5 * [(512, 512)]
)
VGG = VGG_CONVS + 2 * (512 * 512 + 512) + 512 * 10 + 10
VGG_BN = VGG + 2 * (2 * 64 + 2 * 128 + 3 * 256 + 6 * 512)

# WRN-28-10 without biases of convolutions has 36,536,884 parameters for 100 classes (osmr/imgclsmob's table); the codes
# of Garipov et al. and Izmailov et al. have one for each output of the stem, the 24 convolutions and three shortcuts.
WRN = 36_536_884 + 16 + 9 * (160 + 320 + 640)


def shake_block(i: int, o: int) -> int:
    branch = conv(i, o, 3, bias=False) + conv(o, o, 3, bias=False) + 2 * 2 * o
    return 2 * branch + (0 if i == o else conv(i, o, 1, bias=False) + 2 * o)


SHAKE = conv(3, 16, 3, bias=False) + 2 * 16 + 256 * 10 + 10
SHAKE += sum(shake_block(i, o) + 3 * shake_block(o, o) for i, o in [(16, 64), (64, 128), (128, 256)])
CNN13 = [(3, 128, 3), *2 * [(128, 128, 3)], (128, 256, 3), *2 * [(256, 256, 3)], (256, 512, 3), (512, 256, 1)]
CNN13_COUNT = sum(conv(*shape) + 2 * shape[1] for shape in [*CNN13, (256, 128, 1)]) + 128 * 10 + 10


@pytest.mark.parametrize(
    ("name", "shape", "classes", "count"),
    [
        ("lenet5", GREY, 10, 430_500 + 20 + 50 + 500 + 10),
        ("lenet5_bn", GREY, 10, 430_500 + 580 + 2 * (20 + 50 + 500)),
        ("vgg_like", COLOUR, 10, VGG_BN - (512 * 512 + 512) + 2 * 512),
        ("toy_mlp", (2, 1, 1), 10, 300 + 3 * 10_100 + 202 + 300 + 1_010),
        ("vgg16", COLOUR, 10, VGG),
        ("vgg16", COLOUR, 100, VGG + 90 * 513),
        ("vgg16_bn", COLOUR, 10, VGG_BN),
        ("vgg16_bn", COLOUR, 100, VGG_BN + 90 * 513),
        ("preresnet110", COLOUR, 10, 1_146_842),
        ("preresnet164", COLOUR, 10, 1_703_258),
        ("preresnet164", COLOUR, 100, 1_703_258 + 90 * 257),
        ("densenet40_12", COLOUR, 10, 1_019_722),
        ("wrn28_10", COLOUR, 10, WRN - 90 * 641),
        ("wrn28_10", COLOUR, 100, WRN),
        ("pyramidnet272", COLOUR, 10, 26_210_842),
        ("pyramidnet272", COLOUR, 100, 26_210_842 + 90 * 865),
        ("shakeshake26_2x64d", COLOUR, 10, SHAKE),
        ("shakeshake26_2x64d", COLOUR, 100, SHAKE + 90 * 257),
        ("cnn13", COLOUR, 10, CNN13_COUNT),
        ("cnn13", COLOUR, 100, CNN13_COUNT + 90 * 129),
        ("resnet18", COLOUR, 10, 11_181_642),
        ("torchvision.vgg11", (3, 224, 224), 10, 128_807_306),
        ("resnet50", (3, 224, 224), 1000, 25_557_032),
        ("resnet152", (3, 224, 224), 1000, 60_192_808),
        ("densenet161", (3, 224, 224), 1000, 28_681_000),
    ],
)
def test_network_has_the_papers_size(name: str, shape: tuple[int, int, int], classes: int, count: int) -> None:
    """Parameters by hand or as published: PreResNet-164 has He et al.'s 1.70 M, DenseNet-40-12 Huang et al.'s 1.0 M."""
    # PyramidNet-272's number is that of osmr/imgclsmob's table, those of ImageNet networks are torchvision's.
    with torch.device("meta"):
        net = registry.build(name, num_classes=classes, image_shape=shape)
    assert sum(p.numel() for p in net.parameters()) == count


@pytest.mark.parametrize(
    ("name", "least_dim", "millions"),
    [
        ("wrn28_10", 1, 36.5),
        ("pyramidnet272", 2, 26.0),
        ("shakeshake26_2x64d", 1, 11.7),
        ("preresnet164", 1, 1.7),
        ("densenet40_12", 1, 1.0),
    ],
)
def test_size_rounds_to_the_papers_figure(name: str, least_dim: int, millions: float) -> None:
    """Millions of parameters on CIFAR-10; PyramidNet's authors count neither biases nor batch norm."""
    with torch.device("meta"):
        net = registry.build(name, num_classes=10, image_shape=COLOUR)
    assert round(sum(p.numel() for p in net.parameters() if p.dim() >= least_dim) / 1e6, 1) == millions


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("lenet5", GREY),
        ("lenet5_bn", GREY),
        ("vgg_like", COLOUR),
        ("vgg16", COLOUR),
        ("vgg16_bn", COLOUR),
        ("preresnet110", SMALL),
        ("densenet40_12", SMALL),
        ("wrn28_10", SMALL),
        ("pyramidnet272", SMALL),
        ("shakeshake26_2x64d", SMALL),
        ("cnn13", SMALL),
    ],
)
def test_network_gives_logits_and_stays_channels_last(name: str, shape: tuple[int, int, int]) -> None:
    """A batch of images gives a row of logits each, with gradients everywhere, and no layer falls back in layout."""
    net = channels_last(registry.build(name, num_classes=7, image_shape=shape), shape)
    fallen: list[str] = []

    def watch(module: nn.Module, given: Any, out: torch.Tensor) -> None:
        if out.dim() == 4 and not out.is_contiguous(memory_format=torch.channels_last):
            fallen.append(str(module))

    for module in net.modules():
        module.register_forward_hook(watch)
    out = net(torch.randn(2, *shape))
    assert out.shape == (2, 7)
    out.sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    assert fallen == []


NETS: dict[str, Callable[[], nn.Module]] = {
    "wrn": lambda: WideResNet(5, 3, 10, 1),
    "pyramidnet": lambda: PyramidNet(5, 3, 11, 10),
    "shakeshake": lambda: ShakeShake(5, 3, 8, 8),
    "cnn13": lambda: registry.build("cnn13", num_classes=5, image_shape=SMALL),
}


@pytest.mark.parametrize(
    ("name", "noisy"),
    [("wrn", "blocks.2.conv*, head"), ("pyramidnet", "blocks.*"), ("shakeshake", "*branch1*"), ("cnn13", "conv*")],
)
def test_large_networks_short_forms_are_like_any_other(name: str, noisy: str) -> None:
    """Copied, called with weights of another point, made noisy, re-estimated and measured, they are as others are."""
    torch.manual_seed(0)
    net, other = NETS[name](), NETS[name]().eval()
    images = torch.randint(0, 256, (40, *SMALL), dtype=torch.uint8)
    split = MemorySplit(images, torch.arange(40) % 5)
    one = torch.ones(3)
    data = Dataset("random", split, None, split, 5, SMALL, 0.5 * one, 0.3 * one, 255.0, "none", "")
    channels_last(net, SMALL)
    twin = copy.deepcopy(net).eval()
    x = data.normalise(images[:2])
    assert torch.equal(twin(x), net.eval()(x))
    called = torch.func.functional_call(twin, {**point_of(other), **buffers_of(other)}, (x,))
    torch.testing.assert_close(called, other(x), atol=1e-5, rtol=1e-4)
    before = evaluate(net, data, split, Workers()).nll
    reestimate_batchnorm(net, data, Workers(), 20)
    after = evaluate(net, data, split, Workers()).nll
    assert after != before and after < 5
    noise = convert(net, noisy, lambda layer: DropoutLayer(layer, 0.5)).eval()
    assert evaluate(noise, data, split, Workers()).nll == pytest.approx(after, rel=1e-5)
    assert not torch.equal(noise(x), noise(x))


def test_pyramid_grows_by_the_same_at_each_block() -> None:
    """Widths of the blocks go linearly from 16 to 16 + alpha, and images are halved where a stage begins."""
    with torch.device("meta"):
        net = registry.build("pyramidnet272", num_classes=10, image_shape=COLOUR)
    blocks = [module for module in net.modules() if isinstance(module, PyramidBottleneck)]
    widths = torch.tensor([16] + [block.conv1.out_channels for block in blocks])
    assert len(blocks) == 90 and widths[-1] == 216
    assert (widths - torch.linspace(16, 216, 91)).abs().max() <= 0.5
    assert [i for i, block in enumerate(blocks) if block.stride == 2] == [30, 60]
    block = PyramidBottleneck(8, 3, 2)
    for parameter in block.bn4.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.randn(2, 8, 4, 4)
    torch.testing.assert_close(block(x), torch.cat([nn.functional.avg_pool2d(x, 2), torch.zeros(2, 4, 2, 2)], dim=1))


def test_wide_networks_last_batchnorm_forgets_quickly() -> None:
    """Of WRN-28-10 in the papers' code the last batch norm has momentum 0.9, the others have torch's 0.1."""
    with torch.device("meta"):
        net = registry.build("wrn28_10", num_classes=10, image_shape=COLOUR)
    momenta = [module.momentum for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert momenta == 24 * [0.1] + [0.9]


def test_pretrained_names_are_checked() -> None:
    """Weights that torchvision does not have are answered with those that it has, and a network that is not its own."""
    registry.check_pretrained("resnet50", "IMAGENET1K_V2")
    registry.check_pretrained("torchvision.vgg16", "IMAGENET1K_FEATURES")
    with pytest.raises(UnknownNameError, match=r"IMAGENET1K_V1, IMAGENET1K_V2, DEFAULT \(did you mean"):
        registry.check_pretrained("resnet50", "imagenet1k_v3")
    with pytest.raises(DataError, match=r"not torchvision's; expected model: torchvision\.vgg16, or file"):
        registry.check_pretrained("vgg16", "IMAGENET1K_V1")
    with pytest.raises(DataError, match="expected a network of torchvision's, or file"):
        registry.check_pretrained("wrn28_10", "IMAGENET1K_V1")


def test_noisy_layers_of_the_papers_networks_have_names() -> None:
    """What the sweeps make noisy is there by name, and VGG-like's head leaves dropout to it on request."""
    names = dict(registry.build("lenet5_bn", num_classes=10, image_shape=GREY).named_modules())
    assert {"conv1", "conv2", "dense1", "dense2"} <= names.keys()
    for head_dropout, count in ((True, 10), (False, 6)):
        options = {"head_dropout": head_dropout}
        modules = dict(registry.build("vgg_like", num_classes=20, image_shape=COLOUR, options=options).named_modules())
        assert {"conv11", "conv12", "conv13", "dense1", "dense2"} <= modules.keys()
        assert sum(type(module) is torch.nn.Dropout for module in modules.values()) == count


@pytest.mark.parametrize(
    ("name", "shape", "options", "count"),
    [
        ("lenet5_bn", GREY, {"bias": False}, 430_500 + 2 * (20 + 50 + 500)),
        ("densenet40_12", COLOUR, {"first_channels": 24}, 1_059_298),
        ("vgg_like", COLOUR, {"head_dropout": False, "initial": "xavier"}, VGG_BN - (512 * 512 + 512) + 2 * 512),
    ],
)
def test_options_give_the_codes_networks(
    name: str, shape: tuple[int, int, int], options: dict[str, Any], count: int
) -> None:
    """Parameters of the variance networks' LeNet-5 without biases, AutoNEB's DenseNet-40-12, the TensorFlow VGG."""
    net = registry.build(name, num_classes=10, image_shape=shape, options=options)
    assert sum(p.numel() for p in net.parameters()) == count
    with torch.no_grad():
        assert net.eval()(torch.zeros(2, *shape)).shape == (2, 10)


def test_vgg_like_is_drawn_as_its_codes_draw_it() -> None:
    """Convolutions within Glorot's bound or with He's deviation; zero biases; batch norm and dropout as asked."""
    torch.manual_seed(0)
    options = {"head_dropout": False, "dense_dropout": True, "bn_eps": 1e-3, "initial": "xavier"}
    net = registry.build("vgg_like", num_classes=10, image_shape=COLOUR, options=options)
    layers, point, bound = dict(net.named_modules()), point_of(net), (6 / (9 * 64 + 9 * 128)) ** 0.5
    assert 0.99 * bound < float(point["conv3.weight"].abs().max()) <= bound
    dense = point["dense1.weight"]
    # A normal cut off at two deviations has .8796 of its deviation.
    assert float(dense.std()) == pytest.approx(0.008796, rel=0.01) and float(dense.abs().max()) <= 0.02
    assert {m.eps for m in net.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)} == {1e-3}
    dropped = [name for name, module in layers.items() if isinstance(module, nn.Dropout)]
    assert dropped == ["drop1", "drop3", "drop5", "drop6", "drop8", "drop9", "drop13", "drop14"]
    assert not any(value.any() for name, value in point.items() if name.endswith(".bias"))
    msr = registry.build("vgg_like", num_classes=10, image_shape=COLOUR, options={"initial": "msr"})
    assert float(point_of(msr)["conv3.weight"].std()) == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.02)
    with pytest.raises(SpecError, match="got 'he'; expected torch, msr or xavier"):
        registry.build("vgg_like", num_classes=10, image_shape=COLOUR, options={"initial": "he"})


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
    with pytest.raises(SpecError, match="which is no function"):
        registry.check("my_nets:number")
    with pytest.raises(SpecError, match="my_nets has no nope"):
        registry.check("my_nets:nope")
    with pytest.raises(SpecError, match=r"options of my_nets:line: bias"):
        registry.build("my_nets:line", num_classes=3, image_shape=GREY, options={"bais": False})
    sys.modules.pop("my_nets", None)


def test_torchvisions_networks_are_those_that_classify_images() -> None:
    """Its networks of other tasks, and quantised ones, are refused by one error; those for images of all sorts pass."""
    from torchvision.models import detection, list_models, optical_flow, quantization, segmentation, video

    tasks = (detection, optical_flow, quantization, segmentation, video)
    others = [name for task in tasks for name in list_models(task)]
    assert len(others) == 41
    for name in others:
        with pytest.raises(UnknownNameError, match=r"the networks that classify images .*does something else"):
            registry.check(name)
    for name in ("googlenet", "torchvision.inception_v3", "resnet50", "swin_t", "vit_b_16"):
        registry.check(name)


def test_lazy_layers_are_given_their_shapes() -> None:
    """A network of lazy modules comes with its weights, which the seed decides, and can be made noisy."""
    nets = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        nets.append(registry.build("tests.support.odd_networks:lazy", num_classes=10, image_shape=GREY))
    first, same, other = (point_of(net) for net in nets)
    assert first["0.weight"].shape == (4, 1, 3, 3) and nets[0].training
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["0.weight"], other["0.weight"])
    noisy = convert(nets[0], "0, 3", lambda layer: DropoutLayer(layer, 0.5)).eval()
    assert noisy(torch.randn(2, *GREY)).shape == (2, 10)


@pytest.mark.parametrize(("name", "near"), [("lenet", "lenet5"), ("resnet81", "resnet18"), ("vgg16bn", "vgg16_bn")])
def test_near_names_are_suggested(name: str, near: str) -> None:
    """An unknown network is answered with the nearest known one, ours or torchvision's."""
    with pytest.raises(UnknownNameError, match=f"did you mean '{near}'"):
        registry.check(name)
