"""Networks by name. Importing it imports no torch."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from raysurf.errors import DataError, Fault, SpecError, UnknownNameError

if TYPE_CHECKING:
    from torch import nn

BUILDERS = {
    "digits_conv": "raysurf.models.digits_conv:build",
    "lenet5": "raysurf.models.lenet5:build",
    "lenet5_bn": "raysurf.models.lenet5_bn:build",
    "toy_mlp": "raysurf.models.toy_mlp:build",
    "vgg_like": "raysurf.models.vgg_like:build",
    "vgg16": "raysurf.models.vgg:vgg16",
    "vgg16_bn": "raysurf.models.vgg:vgg16_bn",
    "densenet40_12": "raysurf.models.densenet:densenet40_12",
    "preresnet110": "raysurf.models.preresnet:preresnet110",
    "preresnet164": "raysurf.models.preresnet:preresnet164",
    "wrn28_10": "raysurf.models.wide_resnet:wrn28_10",
    "pyramidnet272": "raysurf.models.pyramidnet:pyramidnet272",
    "shakeshake26_2x64d": "raysurf.models.shakeshake:shakeshake26_2x64d",
    "cnn13": "raysurf.models.cnn13:build",
}
TORCHVISION = "torchvision."


def names() -> tuple[str, ...]:
    """Names of raysurf's own networks."""
    return tuple(BUILDERS)


@functools.lru_cache
def _torchvision_names() -> tuple[str, ...]:
    from torchvision.models import list_models

    return tuple(list_models())


@functools.lru_cache
def check(name: str) -> None:
    """Check that a network can be built by this name.

    Args:
        name: One of ours, one of torchvision's (``torchvision.vgg16`` where we have that name too), or the dotted
            path ``package.module:function``, which is imported.

    Raises:
        UnknownNameError: If there is none; the nearest name is suggested.
    """
    if name in BUILDERS:
        return
    if ":" in name:
        _imported(name)
    elif name.removeprefix(TORCHVISION) not in _torchvision_names():
        raise UnknownNameError("model", name, (*BUILDERS, *_torchvision_names()))


def check_pretrained(name: str, pretrained: str) -> None:
    """Check that torchvision has these weights of a network; nothing is downloaded.

    Args:
        name: A network as ``check`` takes it.
        pretrained: A name of torchvision's, such as ``IMAGENET1K_V1``.

    Raises:
        UnknownNameError: If there are none of that name; those that there are stand in it.
        DataError: If the network is not torchvision's.
    """
    bare = name.removeprefix(TORCHVISION)
    has_them = bare in _torchvision_names()
    if name in BUILDERS or not has_them:
        instead = f"model: {TORCHVISION}{name}" if has_them else "a network of torchvision's"
        raise DataError(pretrained, f"{pretrained!r} for {name}, which is not torchvision's", f"{instead}, or file")
    from torchvision.models import get_model_weights

    known = tuple(get_model_weights(bare).__members__)
    if pretrained not in known:
        raise UnknownNameError(f"pretrained weights of {name}", pretrained, known)


def _imported(path: str) -> Callable[..., nn.Module]:
    module, _, attribute = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UnknownNameError("model", path, (f"package.module:function that can be imported ({error})",)) from error
    if not callable(found):
        raise UnknownNameError("model", path, ("package.module:function (this is no function)",))
    builder: Callable[..., nn.Module] = found
    return builder


def build(
    name: str,
    *,
    num_classes: int,
    image_shape: tuple[int, int, int],
    options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build a network with freshly drawn weights.

    Args:
        name: See ``check``.
        num_classes: Outputs.
        image_shape: Channels, height, width.
        options: Further arguments of the builder.

    Returns:
        A module from [B, C, H, W] float32 to [B, num_classes] logits; torch's global generator decides its weights.

    Raises:
        UnknownNameError: If there is no such network.
        SpecError: If the builder does not take these options.
    """
    check(name)
    arguments = dict(options or {})
    if name in BUILDERS or ":" in name:
        builder = _imported(BUILDERS.get(name, name))
        arguments |= {"num_classes": num_classes, "image_shape": image_shape}
    else:
        from torchvision.models import get_model_builder

        builder = get_model_builder(name.removeprefix(TORCHVISION))
        arguments |= {"num_classes": num_classes}
    signature = inspect.signature(builder)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        given = ("num_classes", "image_shape", "weights", "progress", "kwargs")
        known = [p for p in signature.parameters if p not in given]
        raise SpecError(
            [Fault("model.options", str(error), f"options of {name}: {', '.join(known) or 'none'}")]
        ) from error
    return builder(**arguments)
