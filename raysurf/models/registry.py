"""Networks by name. Importing it imports no torch."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from raysurf import own_code, plugs
from raysurf.errors import DataError, Fault, SpecError, UnknownNameError, nearest

if TYPE_CHECKING:
    from torch import nn

TORCHVISION = "torchvision."
# What every builder is called with, besides the options of its model.
GIVEN = ("num_classes", "image_shape")


def _is_torchvisions(name: str) -> bool:
    return not own_code.is_named_in(name) and not plugs.has("models", name)


def _builder(name: str) -> Callable[..., nn.Module]:
    builder: Callable[..., nn.Module] = (
        own_code.imported(name) if own_code.is_named_in(name) else plugs.find("models", name)
    )
    return builder


@functools.lru_cache
def _torchvision_names() -> tuple[str, ...]:
    from torchvision import models

    # Those of detection, segmentation, video, optical flow and quantisation are in modules of their own.
    return tuple(models.list_models(module=models))


def check(name: str, options: Iterable[str] = ()) -> None:
    """Check that a network can be built by this name with these options; calls nothing.

    Args:
        name: One of ours, one of torchvision's (``torchvision.vgg16`` where we have that name too), or
            ``package.module:function``, which is imported but within ``own_code.no_imports``.
        options: Names of further arguments of its builder.

    Raises:
        UnknownNameError: If there is none; the nearest name is suggested.
        SpecError: If code that is named cannot be found or imported, or its function cannot be called so.
    """
    if own_code.is_named_in(name) and not own_code.are_imported():
        own_code.find(name)
    else:
        _check(name, tuple(sorted(options)))


@functools.lru_cache
def _check(name: str, options: tuple[str, ...]) -> None:
    if name in plugs.GROUPS["models"].own and not options:
        return
    if _is_torchvisions(name):
        bare = name.removeprefix(TORCHVISION)
        if bare in _torchvision_names():
            return
        from torchvision.models import list_models

        if bare in list_models():
            what = f"the networks that classify images (torchvision's {bare} does something else, or is quantised)"
            raise UnknownNameError("model", name, (what,))
        raise UnknownNameError("model", name, (*plugs.names("models"), *_torchvision_names()))
    _require_fits(name, _builder(name), options)


def _require_fits(name: str, builder: Callable[..., nn.Module], options: Sequence[str]) -> None:
    """Check that a builder can be called with what it is given and these options."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(builder, torch.nn.Module):
        raise SpecError([Fault("model", f"{name!r}, a network", "a function that makes one")])
    if twice := [option for option in options if option in GIVEN]:
        raise SpecError([Fault("model.options", f"options {', '.join(twice)}", "others: raysurf gives these")])
    try:
        # That of nn.Module takes whatever it is given, and refuses it.
        takes_none = torch is not None and getattr(builder, "__init__", None) is torch.nn.Module.__init__
        signature = inspect.Signature() if takes_none else inspect.signature(builder)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(**dict.fromkeys((*GIVEN, *options)))
        return
    except TypeError as error:
        why = str(error)
    places = signature.parameters.values()
    named = {p.name: p for p in places if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in places)
    called = f"a function that can be called with {', '.join(f'{name}=…' for name in GIVEN)} and the options"
    if not takes_any and (refused := [option for option in GIVEN if option not in named]):
        raise SpecError([Fault("model", f"{name!r}, which takes no {', '.join(refused)}", called)])
    if lacking := [p.name for p in named.values() if p.default is p.empty and p.name not in (*GIVEN, *options)]:
        raise SpecError(
            [Fault("model", f"{name!r} without {', '.join(lacking)}", f"options: with {', '.join(lacking)}")]
        )
    if not takes_any and (unknown := [option for option in options if option not in named]):
        known = [option for option in named if option not in GIVEN]
        hint = f"did you mean {near!r}?" if (near := nearest(unknown[0], known)) else ""
        one_of = f"options of {name}: {', '.join(known) or 'none'}"
        raise SpecError([Fault("model.options", f"options {', '.join(unknown)}", one_of, hint)])
    raise SpecError([Fault("model", f"{name!r}, whose call would fail: {why}", called)])


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
    if not (_is_torchvisions(name) and has_them):
        instead = f"model: {TORCHVISION}{name}" if has_them else "a network of torchvision's"
        raise DataError(pretrained, f"{pretrained!r} for {name}, which is not torchvision's", f"{instead}, or file")
    from torchvision.models import get_model_weights

    known = tuple(get_model_weights(bare).__members__)
    if pretrained not in known:
        raise UnknownNameError(f"pretrained weights of {name}", pretrained, known)


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
    options = dict(options or {})
    _check(name, tuple(sorted(options)))
    if _is_torchvisions(name):
        from torchvision.models import get_model_builder

        network = get_model_builder(name.removeprefix(TORCHVISION))(num_classes=num_classes, **options)
    else:
        network = _builder(name)(num_classes=num_classes, image_shape=image_shape, **options)
    from torch import nn

    if not isinstance(network, nn.Module):
        got = f"{name!r}, which gives {type(network).__name__}"
        raise SpecError([Fault("model", got, "a function that gives an nn.Module")])
    return _initialised(network, image_shape)


def _initialised(model: nn.Module, image_shape: tuple[int, int, int]) -> nn.Module:
    """Give the lazy modules of a network their shapes and weights, by a pass over an image."""
    import torch
    from torch.nn.parameter import is_lazy

    if any(is_lazy(value) for value in (*model.parameters(), *model.buffers())):
        with torch.no_grad():
            model.eval()(torch.zeros(1, *image_shape))
        model.train()
    return model
