"""Convolutions of small maps are those of torch, whichever way they go."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from raysurf.models import registry
from raysurf.training import fast as small_maps
from raysurf.training.fast import SmallMapConv2d, channels_last, convolve_patches, speed_up_small_maps


def derivatives(conv: nn.Module, images: Tensor) -> list[Tensor]:
    """Results, and the derivatives of a sum of their squares by images, kernel and bias."""
    images = images.clone().requires_grad_()
    out = conv(images)
    parameters = list(conv.parameters())
    return [out, *torch.autograd.grad(out.float().square().sum(), [images, *parameters])]


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 3), (4, 4), (8, 2), (8, 8)])
@pytest.mark.parametrize("bias", [True, False])
def test_small_maps_equal_torch(size: tuple[int, int], bias: bool) -> None:
    """Results and all derivatives equal those of nn.Conv2d, in channels-last layout, at fp32."""
    torch.manual_seed(0)
    plain = nn.Conv2d(128, 130, 3, padding=1, bias=bias).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fast = copy.deepcopy(plain)
    speed_up_small_maps(fast)
    assert type(fast) is SmallMapConv2d
    images = torch.randn(3, 128, *size)
    for ours, theirs in zip(derivatives(fast, images), derivatives(plain, images), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_patches_equal_a_convolution_in_float64() -> None:
    """The product of patches is the convolution itself, in the precision in which rounding hides nothing."""
    torch.manual_seed(0)
    images, weight = torch.randn(2, 5, 3, 4, dtype=torch.float64), torch.randn(7, 5, 3, 3, dtype=torch.float64)
    bias = torch.randn(7, dtype=torch.float64)
    expected = nn.functional.conv2d(images, weight, bias, padding=1)
    torch.testing.assert_close(convolve_patches(images, weight, bias), expected, rtol=1e-12, atol=1e-12)


def test_autocast_takes_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    """At bf16 maps of 4 by 4 go as patches, with results in bf16 near those of torch."""
    torch.manual_seed(0)
    plain = nn.Conv2d(128, 128, 3, padding=1)
    fast = copy.deepcopy(plain)
    speed_up_small_maps(fast)
    taken: list[torch.dtype] = []

    def counted(images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        taken.append(images.dtype)
        return convolve_patches(images, weight, bias)

    monkeypatch.setattr(small_maps, "convolve_patches", counted)
    images = torch.randn(3, 128, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = derivatives(fast, images), derivatives(plain, images)
    assert taken == [torch.bfloat16]
    assert ours[0].dtype == torch.bfloat16
    for mine, other in zip(ours, theirs, strict=True):
        largest = float(other.detach().abs().max())
        torch.testing.assert_close(mine.float(), other.float(), rtol=0.05, atol=0.05 * largest)


def test_only_plain_wide_convolutions_change() -> None:
    """Strides, groups, other kernels and few channels stay as they are, and no name or weight changes."""
    net = nn.Sequential(
        nn.Conv2d(128, 8, 3, padding=1, stride=2),
        nn.Conv2d(128, 128, 3, padding=1, groups=2),
        nn.Conv2d(128, 8, 5, padding=2),
        nn.Conv2d(128, 8, 3),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.Conv2d(128, 8, 3, padding=1, padding_mode="circular"),
    )
    speed_up_small_maps(net)
    assert not any(isinstance(module, SmallMapConv2d) for module in net)
    vgg = channels_last(registry.build("vgg16", num_classes=10, image_shape=(3, 32, 32)), (3, 32, 32))
    assert sum(isinstance(module, SmallMapConv2d) for module in vgg.modules()) == 10
    assert set(vgg.state_dict()) == set(registry.build("vgg16", num_classes=10, image_shape=(3, 32, 32)).state_dict())
