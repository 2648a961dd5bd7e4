"""MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100, read and downloaded by torchvision."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from torchvision import datasets

from raysurf.data.dataset import Images, Labels, RawSet
from raysurf.data.spec import DataSpec, root_of
from raysurf.errors import DataError

VALIDATION = 5000
IDX = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}
CIFAR = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100, "cifar100_coarse": datasets.CIFAR100}
GREY = {"mnist": ((0.1307,), (0.3081,)), "fashion_mnist": ((0.2860,), (0.3530,))}
TRANSFORMS = {
    "resnet": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "vgg": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def read(spec: DataSpec) -> RawSet:
    """Read a set of this file.

    Source:
        For CIFAR the "ResNet" and "VGG" transforms of Garipov et al. 2018's code (data.py), which differ in their
        constants alone: to flip and then crop is to draw from the same distribution as to crop and then flip. The usual
        constants else.

    Raises:
        DataError: If it cannot be read or downloaded.
    """
    if spec.name in IDX:
        train, test = (_grey(spec, part) for part in (True, False))
        mean, std = GREY[spec.name]
        return RawSet(*train, *test, 10, VALIDATION, mean=mean, std=std)
    train, test = (_cifar(spec, part) for part in (True, False))
    classes = {"cifar10": 10, "cifar100": 100, "cifar100_coarse": 20}[spec.name]
    return RawSet(*train, *test, classes, VALIDATION, "crop_flip", *TRANSFORMS[spec.transform or "resnet"])


def _made(spec: DataSpec, kind: Any, train: bool) -> Any:
    root = root_of(spec)
    try:
        return kind(str(root), train=train, download=spec.download)
    except (RuntimeError, OSError) as error:
        expected = f"the set under {root}, or a network to download it from (set root: to where it is)"
        raise DataError(spec.name, f"{type(error).__name__}: {error}", expected) from error


def _grey(spec: DataSpec, train: bool) -> tuple[Images, Labels]:
    folder = root_of(spec) / IDX[spec.name].__name__ / "raw"
    prefix = "train" if train else "t10k"
    files = [folder / f"{prefix}-{name}-ubyte.gz" for name in ("images-idx3", "labels-idx1")]
    if all(file.exists() for file in files):
        images, labels = (_idx(spec, file) for file in files)
        return images[:, None], labels.astype(np.int64)
    mnist = _made(spec, IDX[spec.name], train)
    return mnist.data.numpy()[:, None], mnist.targets.numpy().astype(np.int64)


def _idx(spec: DataSpec, file: Path) -> Images:
    """Read a gzipped IDX file as it lies, since torchvision unpacks beside it and the folder may be read-only."""
    try:
        data = gzip.decompress(file.read_bytes())
    except (OSError, EOFError) as error:
        raise DataError(spec.name, f"{file}: {error}", "a gzipped IDX file") from error
    is_idx = data[:3] == b"\0\0\x08" and len(data) >= 4 + 4 * data[3]
    shape = np.frombuffer(data, ">u4", data[3], 4).astype(int) if is_idx else np.zeros(0, int)
    start = 4 + 4 * len(shape)
    if not is_idx or len(data) - start != shape.prod():
        raise DataError(spec.name, f"{file}, which is no IDX file of bytes", "the set's original files")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _cifar(spec: DataSpec, train: bool) -> tuple[Images, Labels]:
    cifar = _made(spec, CIFAR[spec.name], train)
    images = np.ascontiguousarray(cifar.data.transpose(0, 3, 1, 2))
    if spec.name != "cifar100_coarse":
        return images, np.array(cifar.targets, np.int64)
    file = Path(cifar.root) / cifar.base_folder / ("train" if train else "test")
    with file.open("rb") as stream:
        return images, np.array(pickle.load(stream, encoding="latin1")["coarse_labels"], np.int64)
