"""Data sets from a function of the user's: call and validation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from raysurf.data.dataset import Images, RawSet, count_classes
from raysurf.data.registry import function_of
from raysurf.data.spec import DataSpec
from raysurf.errors import DataError

PAIRS = "(images, labels) of training and (images, labels) of testing"


def read(spec: DataSpec) -> RawSet:
    """Call the function ``spec.name`` and validate what it returns; ``DataSpec`` states the contract.

    Raises:
        SpecError: If it cannot be imported.
        DataError: If it gives anything else.
    """
    given = function_of(spec)(**spec.options)
    is_pair = isinstance(given, tuple | list) and len(given) == 2
    if not is_pair or not all(isinstance(part, tuple | list) and len(part) == 2 for part in given):
        raise DataError(spec.name, f"what it gives: {_shown(given)}", PAIRS)
    (images, labels), (test_images, test_labels) = (
        (_images(spec, which, part[0]), _labels(spec, which, part[1]))
        for which, part in zip(("training", "test"), given, strict=True)
    )
    for which, those, their in (("training", images, labels), ("test", test_images, test_labels)):
        if len(those) != len(their):
            raise DataError(spec.name, f"{len(those)} {which} images and {len(their)} labels", "a label an image")
    if (images.shape[1:], images.dtype) != (test_images.shape[1:], test_images.dtype):
        got = f"training images {_shown(images)}, test images {_shown(test_images)}"
        raise DataError(spec.name, got, "one shape and type of image in both")
    classes = count_classes(spec, {"training labels": labels, "test labels": test_labels})
    scale = 255.0 if images.dtype == np.uint8 else 1.0
    wide = (values.astype(np.int64) for values in (labels, test_labels))
    return RawSet(images, next(wide), test_images, next(wide), classes, len(labels) // 10, scale=scale)


def _images(spec: DataSpec, which: str, given: Any) -> Images:
    images = _array(spec, f"{which} images", given)
    if images.ndim != 4 or 0 in images.shape:
        hint = "[N, C, H, W], none of which is 0 (of grey images: images[:, None])"
        raise DataError(spec.name, f"{which} images {_shown(images)}", hint)
    if images.dtype == np.uint8:
        return images
    if not np.issubdtype(images.dtype, np.floating):
        raise DataError(spec.name, f"{which} images {_shown(images)}", "uint8 of 0 to 255, or floating numbers")
    with np.errstate(over="ignore"):
        images = images.astype(np.float32)
    if not (finite := np.isfinite(images).all(axis=(1, 2, 3))).all():
        raise DataError(spec.name, f"NaN or infinity in {which} image {finite.argmin()}", "finite float32 numbers")
    return images


def _labels(spec: DataSpec, which: str, given: Any) -> NDArray[np.integer]:
    labels = _array(spec, f"{which} labels", given)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(spec.name, f"{which} labels {_shown(labels)}", "whole numbers [N], the classes, from 0")
    return labels


def _array(spec: DataSpec, what: str, given: Any) -> NDArray[Any]:
    if isinstance(given, torch.Tensor) and given.layout == torch.strided and given.device.type != "meta":
        given = given.detach().cpu()
        given = (given.float() if given.dtype == torch.bfloat16 else given).resolve_conj().resolve_neg().numpy()
    if not isinstance(given, np.ndarray):
        raise DataError(spec.name, f"{what}: {_shown(given)}", "an array of NumPy or a tensor of torch")
    return given


def _shown(value: Any) -> str:
    """A value's type and its shape or length, for messages."""
    if isinstance(value, np.ndarray):
        return f"of {value.dtype} {list(value.shape)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}: {', '.join(type(item).__name__ for item in value[:4])}"
    return type(value).__name__
