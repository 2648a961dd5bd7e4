"""Images and labels in Parquet files, as data hubs store them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from raysurf.data.dataset import RawSet, count_classes
from raysurf.data.images import decode_all, has_colour, stacked
from raysurf.data.spec import DataSpec
from raysurf.errors import DataError

COLUMNS = ["image", "label"]


def read(spec: DataSpec) -> RawSet:
    """Read ``train`` and ``test``: a file, or a folder of them, with columns ``image`` and ``label``.

    ``image`` is encoded bytes, or a struct that has them as ``bytes``; ``label`` is a whole number from 0. Images have
    one channel if all of both are grey, else three. A tenth of the training examples is held out by default, and
    normalisation is that of the training split.

    Raises:
        DataError: If a file cannot be read, has no rows or lacks a column, if a label is no class, or if an image
            cannot be decoded or has another size.
    """
    assert spec.train is not None and spec.test is not None
    train, test = (_table(spec, path) for path in (spec.train, spec.test))
    labels, test_labels = (_labels(spec, *part) for part in ((spec.train, train), (spec.test, test)))
    classes = count_classes(spec, {spec.train: labels, spec.test: test_labels})
    decoded, test_decoded = (_decoded(spec, *part) for part in ((spec.train, train), (spec.test, test)))
    if decoded[0].shape[:2] != test_decoded[0].shape[:2]:
        got = f"images of {decoded[0].shape[:2]} and {test_decoded[0].shape[:2]} pixels"
        raise DataError(spec.name, got, "one size in train and test")
    colour = has_colour(decoded) or has_colour(test_decoded)
    images, test_images = stacked(decoded, colour), stacked(test_decoded, colour)
    augment = "crop_flip" if images.shape[1:] == (3, 32, 32) else "none"
    return RawSet(
        images,
        labels.astype(np.int64),
        test_images,
        test_labels.astype(np.int64),
        classes,
        len(labels) // 10,
        augment,
    )


def _table(spec: DataSpec, path: str) -> pa.Table:
    try:
        dataset = pq.ParquetDataset(path)
        names = dataset.schema.names
        for column in COLUMNS:
            if names.count(column) != 1:
                got = f"{path} with {'columns ' + ', '.join(names) if names else 'no columns'}"
                raise DataError(spec.name, got, "columns image and label, each once")
        table = dataset.read(columns=COLUMNS)
    except (OSError, pa.ArrowException) as error:
        which = _differing(path) or path
        raise DataError(spec.name, f"{which}: {error}", "a Parquet file, or a folder of such of one schema") from error
    if table.num_rows == 0:
        raise DataError(spec.name, f"{path} without rows", "a row for every example")
    return table


def _differing(path: str) -> str | None:
    """The first file of a folder that cannot be read, or whose columns are not those of the first one."""
    files = sorted(file for file in Path(path).rglob("[!._]*") if file.is_file())
    for file in files:
        try:
            if not pq.read_schema(file).equals(pq.read_schema(files[0])):
                return str(file)
        except (OSError, pa.ArrowException):
            return str(file)
    return None


def _labels(spec: DataSpec, path: str, table: pa.Table) -> NDArray[np.integer]:
    labels = table["label"]
    if not pa.types.is_integer(labels.type):
        raise DataError(spec.name, f"{path} with labels of type {labels.type}", "a whole number for every image")
    if labels.null_count:
        row = pc.index(labels.is_null(), True).as_py()
        raise DataError(spec.name, f"{path}, row {row}: no label", "a whole number for every image")
    numbers: NDArray[np.integer] = labels.to_numpy()
    return numbers


def _decoded(spec: DataSpec, path: str, table: pa.Table) -> list[NDArray[np.uint8]]:
    images = table["image"]
    if pa.types.is_struct(images.type) and images.type.get_field_index("bytes") >= 0:
        images = pc.struct_field(images, "bytes")
    kind = images.type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)):
        got = f"{path}, row 0: an image of type {table['image'].type}"
        raise DataError(spec.name, got, "the bytes of an image file, or a struct that has them as bytes")
    if images.null_count:
        row = pc.index(images.is_null(), True).as_py()
        raise DataError(spec.name, f"{path}, row {row}: no bytes", "the bytes of an image file")
    return decode_all(spec, [(f"{path}, row {i}", io.BytesIO(data)) for i, data in enumerate(images.to_pylist())])
