"""Data sets by name. Importing it imports no torch."""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from raysurf import own_code, plugs
from raysurf.data.source import Source, names_of, source_of
from raysurf.data.spec import DataSpec, image_folders, root_of
from raysurf.errors import DataError, Fault, SpecError
from raysurf.redaction import holds_secret, redact

if TYPE_CHECKING:
    from raysurf.data.dataset import Dataset

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
    source = source_of(spec)
    if source.is_function:
        _check_function(spec)
    elif spec.options:
        raise DataError(spec.name, f"options: {', '.join(spec.options)}", "options with a function of yours alone")
    _check_fields(spec, source)
    if source.takes_paths:
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
    if source.is_streamed:
        for folder in image_folders(spec):
            _check_classes(spec, folder)
    if source.files and not spec.download:
        root = root_of(spec)
        if not any(os.path.exists(root / file) for file in source.files):
            expected = "its files there; give root: with their folder, or allow download: true"
            raise DataError(spec.name, f"none of its files under {root}", expected)


def function_of(spec: DataSpec) -> Callable[..., Any]:
    """The function that returns a set's arrays.

    Raises:
        SpecError: If it cannot be found or imported.
    """
    is_named = own_code.is_named_in(spec.name)
    function: Callable[..., Any] = own_code.imported(spec.name, "data") if is_named else plugs.find("data", spec.name)
    return function


def _check_function(spec: DataSpec) -> None:
    """Check that the function can be called with the options; calls nothing."""
    if own_code.is_named_in(spec.name) and not own_code.are_imported():
        own_code.find(spec.name, "data")
        return
    function = function_of(spec)
    try:
        inspect.signature(function).bind(**spec.options)
    except TypeError as error:
        expected = "a function that needs no arguments but those in options"
        raise SpecError([Fault("data", f"{spec.name!r}: {error}", expected)]) from error
    except ValueError:  # It has no signature, as some that are written in C.
        pass


def _check_fields(spec: DataSpec, source: Source) -> None:
    """Refuse fields that only some sets have, and secrets in addresses."""
    for which in ("root", "train", "test"):
        if (place := getattr(spec, which)) is not None and holds_secret(place):
            got = f"the secret in {which}: {redact(place)}"
            raise DataError(
                spec.name, got, "an address without it, since jobs stand in tables (the cloud's own variables)"
            )
    if spec.transform is not None and not source.takes_transform:
        expected = f"it with {names_of('takes_transform')} only; leave it out"
        raise DataError(spec.name, f"transform: {spec.transform}", expected)
    if spec.image_size is not None and not source.is_streamed:
        raise DataError(spec.name, f"image_size: {spec.image_size}", f"it with {names_of('is_streamed')} only")
    spec.normalisation(source.channels, source.is_scaled)
    fits = source.augmentations
    if spec.augment is not None and spec.augment not in fits:
        raise DataError(spec.name, f"augment: {spec.augment}", f"{', '.join(fits[:-1])} or {fits[-1]} for this set")


def _check_classes(spec: DataSpec, folder: str) -> None:
    try:
        with os.scandir(folder) as entries:
            has_class = any(entry.is_dir() for entry in entries)
    except OSError as error:
        expected = "a folder with a subfolder of images for every class"
        if spec.train is None:
            expected += " (set root: to the folder that has train and val; ImageNet cannot be downloaded)"
        raise DataError(spec.name, f"{folder}: {error.strerror}", expected) from error
    if not has_class:
        raise DataError(spec.name, f"{folder} without classes", "a subfolder of images for every class in it")


def stamp(spec: DataSpec) -> str | None:
    """Hash of names, sizes and times of a set's files (of a streamed set, of its folders' times), 16 hex digits.

    It is the same where nothing was changed, and cheap. Of a function of the user's own it is its source's. None of a
    set whose files are not the user's own, or not here.
    """
    if (code := spec.code) is not None:
        return own_code.digest(code)
    if not plugs.has("data", spec.name):
        return None
    source, places = source_of(spec), (spec.train, spec.test)
    if source.is_streamed:
        places = image_folders(spec)
    digest = hashlib.sha256()
    try:
        for place in places:
            if place is None:
                return None
            for path in (place, *sorted(_under(place, files=not source.is_streamed))):
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

    source = source_of(spec)
    dataset: Dataset = source(spec, device) if source.is_streamed else assemble(spec, source(spec), device)
    return dataset
