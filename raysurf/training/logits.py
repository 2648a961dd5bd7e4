"""The logits in what a network answers, and whether there are as many as classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from raysurf.errors import OutputError
from raysurf.stochastic.layers import noise_mode
from raysurf.training.batchnorm import modes_kept
from raysurf.weightspace.point import write


def logits_of(output: Any) -> Tensor:
    """The logits of an answer, which may have more than them; auxiliary ones are left out, of a loss as well.

    Args:
        output: [B, classes]; or what has it: as ``logits`` of a mapping, dataclass, named tuple or other object (of
            torchvision's GoogLeNet and Inception in training, say), else as the first of a tuple or list, or as the
            only value of a mapping.

    Raises:
        OutputError: If it is something else.
    """
    found = output
    if isinstance(output, Mapping):
        found = output["logits"] if "logits" in output else next(iter(output.values())) if len(output) == 1 else None
    elif hasattr(output, "logits"):
        found = output.logits
    elif isinstance(output, tuple | list) and output:
        found = output[0]
    if isinstance(found, Tensor):
        return found
    has = f" of {', '.join(map(str, output))}" if isinstance(output, Mapping) else ""
    raise OutputError(f"a {type(output).__name__}{has}", "logits [B, classes], alone, as `logits`, or first of a tuple")


def require_logits(model: nn.Module, image_shape: tuple[int, int, int], num_classes: int) -> None:
    """Check what a network answers to two images in evaluation; the network and torch's generators stay as they are.

    One that cannot take the images says so itself, in its first step.

    Args:
        model: On any device.
        image_shape: Channels, height, width.
        num_classes: Logits that there must be.

    Raises:
        OutputError: If they are not [2, num_classes].
    """
    device = next((value.device for value in model.parameters()), torch.device("cpu"))
    before = [
        (each._buffers, name, v, v.clone())
        for each in model.modules()
        for name, v in each._buffers.items()
        if v is not None
    ]
    generators = [device] if device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(generators), noise_mode(model, "mean"), modes_kept(model):
        try:
            output = model.eval()(torch.zeros(2, *image_shape, device=device))
        except RuntimeError:
            return
        finally:
            for buffers, name, value, old in before:
                write(value, old)
                buffers[name] = value
    logits = logits_of(output)
    if logits.shape != (2, num_classes) or not logits.is_floating_point():
        got = f"{'complex ' if logits.is_complex() else ''}outputs {list(logits.shape)} to 2 images"
        raise OutputError(got, f"[2, {num_classes}], a real number for each class of the data")
