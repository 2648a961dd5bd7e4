"""Data sets by name. Importing it imports no torch."""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from raysurf import own_code
from raysurf.data.spec import DataSpec, image_folders, root_of
from raysurf.errors import DataError, Fault, SpecError, UnknownNameError
from raysurf.redaction import holds_secret, redact

if TYPE_CHECKING:
    from raysurf.data.dataset import Dataset

LOADERS = {
    "digits": "raysurf.data.sets.digits",
    "toy_gaussians": "raysurf.data.sets.toy",
    "mnist": "raysurf.data.sets.torchvision",
    "fashion_mnist": "raysurf.data.sets.torchvision",
    "cifar10": "raysurf.data.sets.torchvision",
    "cifar100": "raysurf.data.sets.torchvision",
    "cifar100_coarse": "raysurf.data.sets.torchvision",
    "parquet": "raysurf.data.sets.parquet",
    "folder": "raysurf.data.sets.folder",
    "imagenet": "raysurf.data.streaming",
    "image_stream": "raysurf.data.streaming",
}
STREAMED = ("imagenet", "image_stream")
OWN_PATHS = ("parquet", "folder", "image_stream")
CIFAR = ("cifar10", "cifar100", "cifar100_coarse")
CHANNELS = {
    **dict.fromkeys(("digits", "mnist", "fashion_mnist"), 1),
    "toy_gaussians": 2,
    **dict.fromkeys((*CIFAR, "folder", *STREAMED), 3),
}
FILES = {
    "mnist": ("MNIST/raw/train-images-idx3-ubyte", "MNIST/raw/train-images-idx3-ubyte.gz"),
    "fashion_mnist": ("FashionMNIST/raw/train-images-idx3-ubyte", "FashionMNIST/raw/train-images-idx3-ubyte.gz"),
    "cifar10": ("cifar-10-batches-py/data_batch_1",),
    "cifar100": ("cifar-100-python/train",),
    "cifar100_coarse": ("cifar-100-python/train",),
}


def names() -> tuple[str, ...]:
    """Names of every data set."""
    return tuple(LOADERS)


_elsewhere = ContextVar("data lie on another machine", default=False)


@contextmanager
def data_elsewhere() -> Iterator[None]:
    """Within it ``check`` looks at specs alone, since the files that they name lie on another machine."""
    token = _elsewhere.set(True)
    try:
        yield
    finally:
        _elsewhere.reset(token)


def check(spec: DataSpec) -> None:
    """Check that a data set is there, or may be fetched; within ``data_elsewhere`` that it might be.

    Raises:
        UnknownNameError: If no set has this name; the nearest is suggested.
        DataError: If its files are absent and may not be downloaded.
        SpecError: If a function that is named cannot be found or imported, or needs arguments.
    """
    if own_code.is_named_in(spec.name):
        _check_own(spec.name)
    elif spec.name not in LOADERS:
        raise UnknownNameError("data", spec.name, LOADERS)
    _check_fields(spec)
    if spec.name in OWN_PATHS:
        for which in ("train", "test"):
            place = getattr(spec, which)
            if place is None:
                raise DataError(spec.name, f"no {which}:", f"{which}: and the path of a file or folder")
            if not _elsewhere.get() and not os.path.exists(place):
                raise DataError(spec.name, f"no such path {place}", f"{which}: with the path of what is there")
    elif spec.train is not None or spec.test is not None:
        raise DataError(spec.name, "train: or test:", "a set of its own files; use name: parquet or folder for these")
    if _elsewhere.get():
        return
    if spec.name in STREAMED:
        for folder in image_folders(spec):
            _check_classes(spec, folder)
    if spec.name in FILES and not spec.download:
        root = root_of(spec)
        if not any(os.path.exists(root / file) for file in FILES[spec.name]):
            expected = "its files there; give root: with their folder, or allow download: true"
            raise DataError(spec.name, f"none of its files under {root}", expected)


def _check_own(name: str) -> None:
    """Check that a function of the user's can be called without arguments; calls nothing."""
    if not own_code.are_imported():
        own_code.find(name, "data")
        return
    function = own_code.imported(name, "data")
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise SpecError([Fault("data", f"{name!r}: {error}", "a function that needs no arguments")]) from error
    except ValueError:  # It has no signature, as some that are written in C.
        pass


def _check_fields(spec: DataSpec) -> None:
    """Refuse fields that only some sets have, and secrets in addresses."""
    for which in ("root", "train", "test"):
        if (place := getattr(spec, which)) is not None and holds_secret(place):
            got = f"the secret in {which}: {redact(place)}"
            raise DataError(
                spec.name, got, "an address without it, since jobs stand in tables (the cloud's own variables)"
            )
    if spec.transform is not None and spec.name not in CIFAR:
        raise DataError(spec.name, f"transform: {spec.transform}", f"it with {', '.join(CIFAR)} only; leave it out")
    if spec.image_size is not None and spec.name not in STREAMED:
        raise DataError(spec.name, f"image_size: {spec.image_size}", f"it with {', '.join(STREAMED)} only")
    spec.normalisation(CHANNELS.get(spec.name), spec.name in LOADERS and spec.name != "toy_gaussians")
    fits = ("none", "resized_crop") if spec.name in STREAMED else ("none", "crop_flip", "reflect_flip")
    if spec.augment is not None and spec.augment not in fits:
        raise DataError(spec.name, f"augment: {spec.augment}", f"{', '.join(fits[:-1])} or {fits[-1]} for this set")


def _check_classes(spec: DataSpec, folder: str) -> None:
    try:
        with os.scandir(folder) as entries:
            has_class = any(entry.is_dir() for entry in entries)
    except OSError as error:
        expected = "a folder with a subfolder of images for every class"
        if spec.name == "imagenet":
            expected += " (set root: to the folder that has train and val; ImageNet cannot be downloaded)"
        raise DataError(spec.name, f"{folder}: {error.strerror}", expected) from error
    if not has_class:
        raise DataError(spec.name, f"{folder} without classes", "a subfolder of images for every class in it")


def stamp(spec: DataSpec) -> str | None:
    """Hash of names, sizes and times of a set's files (of a streamed set, of its folders' times), 16 hex digits.

    It is the same where nothing was changed, and cheap. Of a function of the user's own it is its source's. None of a
    set whose files are not the user's own, or not here.
    """
    if own_code.is_named_in(spec.name):
        return own_code.digest(spec.name)
    if spec.name == "imagenet":
        places: tuple[str | None, ...] = image_folders(spec)
    else:
        places = (spec.train, spec.test) if spec.name in OWN_PATHS else (None,)
    digest = hashlib.sha256()
    try:
        for place in places:
            if place is None:
                return None
            for path in (place, *sorted(_under(place, files=spec.name not in STREAMED))):
                about = os.stat(path)
                digest.update(os.fsencode(f"{os.path.relpath(path, place)}\0{about.st_size}\0{about.st_mtime_ns}\n"))
    except OSError:
        return None
    return digest.hexdigest()[:16]


def _under(folder: str, files: bool) -> Iterator[str]:
    """Paths of all folders under one, and of all files."""
    for inside, folders, names in os.walk(folder):
        yield from (os.path.join(inside, name) for name in (*folders, *(names if files else ())))


def load(spec: DataSpec, device: str = "cpu") -> Dataset:
    """Load a data set; one that this process has loaded already is shared, unless its files are others by now.

    Args:
        spec: Which, and how it is split.
        device: Where its tensors go.

    Raises:
        UnknownNameError: If no set has this name.
        DataError: If it is absent, unreadable, or cannot be split as asked.
    """
    check(spec)
    return _load(spec, device, stamp(spec))


@functools.lru_cache(maxsize=4)
def _load(spec: DataSpec, device: str, stamp: str | None) -> Dataset:
    from raysurf.data.dataset import assemble

    if spec.name in STREAMED:
        from raysurf.data.streaming import stream

        return stream(spec, device)
    loader = LOADERS.get(spec.name, "raysurf.data.sets.function")
    return assemble(spec, importlib.import_module(loader).read(spec), device)
