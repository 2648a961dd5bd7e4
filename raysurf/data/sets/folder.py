"""A folder with a subfolder of images for every class."""

from __future__ import annotations

import numpy as np
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS, has_file_allowed_extension

from raysurf.data.dataset import Images, Labels, RawSet
from raysurf.data.images import decode_all, stacked
from raysurf.data.spec import DataSpec
from raysurf.errors import DataError

EXTENSIONS = (*IMG_EXTENSIONS, ".gif")


def read(spec: DataSpec) -> RawSet:
    """Read ``train`` and ``test``: folders of one subfolder a class, all images of one size; grey ones become RGB.

    A tenth of the training examples is held out by default, and normalisation is that of the training split.

    Raises:
        DataError: If there is no class, the classes differ, or an image cannot be read or has another size.
    """
    assert spec.train is not None and spec.test is not None
    (images, labels, classes), (test_images, test_labels, others) = (_folder(spec, p) for p in (spec.train, spec.test))
    if classes != others:
        raise DataError(spec.name, f"classes {classes} and {others}", "the same classes in train and test")
    return RawSet(images, labels, test_images, test_labels, len(classes), len(labels) // 10)


def find_images(spec: DataSpec, folder: str) -> ImageFolder:
    """Find the image files of a folder with a subfolder for every class; none is read.

    Raises:
        DataError: If there is no class, or a class has no image.
    """
    try:
        return ImageFolder(folder, is_valid_file=lambda path: has_file_allowed_extension(path, EXTENSIONS))
    except OSError as error:
        raise DataError(spec.name, str(error), "a folder with a subfolder of images for every class") from error


def _folder(spec: DataSpec, path: str) -> tuple[Images, Labels, list[str]]:
    folder = find_images(spec, path)
    images = stacked(decode_all(spec, [(file, file) for file, _ in folder.samples]), colour=True)
    return images, np.array(folder.targets, np.int64), folder.classes
