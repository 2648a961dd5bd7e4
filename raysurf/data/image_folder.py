"""A folder with a subfolder of images for every class."""

from __future__ import annotations

import numpy as np
from PIL import Image
from torchvision.datasets import ImageFolder

from raysurf.data.dataset import Images, Labels, RawSet
from raysurf.data.image_formats import open_image
from raysurf.data.spec import DataSpec
from raysurf.errors import DataError


def read(spec: DataSpec) -> RawSet:
    """Read ``train`` and ``test``: folders of one subfolder a class, all images of one size.

    A tenth of the training examples is held out by default, and normalisation is that of the training split.

    Raises:
        DataError: If there is no class, the classes differ, or an image cannot be read or has another size.
    """
    assert spec.train is not None and spec.test is not None
    (images, labels, classes), (test_images, test_labels, others) = (_folder(spec, p) for p in (spec.train, spec.test))
    if classes != others:
        raise DataError(spec.name, f"classes {classes} and {others}", "the same classes in train and test")
    return RawSet(images, labels, test_images, test_labels, len(classes), len(labels) // 10)


def _folder(spec: DataSpec, path: str) -> tuple[Images, Labels, list[str]]:
    decoded: list[Images] = []
    try:
        found = ImageFolder(path, loader=_load)
        for image, _ in found:
            decoded.append(np.asarray(image))
            if decoded[-1].shape != decoded[0].shape:
                file = found.samples[len(decoded) - 1][0]
                got = f"{file} of shape {decoded[-1].shape}"
                raise DataError(spec.name, got, f"every image of the first one's shape {decoded[0].shape}")
    except (OSError, Image.DecompressionBombError) as error:
        raise DataError(spec.name, str(error), "a folder with a subfolder of images for every class") from error
    images = np.ascontiguousarray(np.stack(decoded).transpose(0, 3, 1, 2))
    return images, np.array(found.targets, np.int64), found.classes


def _load(path: str) -> Image.Image:
    with open_image(path) as image:
        return image.convert("RGB")
