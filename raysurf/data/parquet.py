"""Images and labels in Parquet files, as data hubs store them."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from raysurf.data.dataset import Images, Labels, RawSet
from raysurf.data.image_formats import open_image
from raysurf.data.spec import DataSpec
from raysurf.errors import DataError


def read(spec: DataSpec) -> RawSet:
    """Read ``train`` and ``test``, files with columns ``image`` (encoded bytes, or a struct of them) and ``label``.

    A tenth of the training examples is held out by default, and normalisation is that of the training split.

    Raises:
        DataError: If a file cannot be read, a column is missing, or an image cannot be decoded or has another size.
    """
    assert spec.train is not None and spec.test is not None
    (images, labels), (test_images, test_labels) = (_file(spec, path) for path in (spec.train, spec.test))
    if images.shape[1:] != test_images.shape[1:]:
        raise DataError(spec.name, f"images {images.shape[1:]} and {test_images.shape[1:]}", "one shape in both files")
    classes = int(max(labels.max(), test_labels.max())) + 1
    colour = images.shape[1:] == (3, 32, 32)
    return RawSet(
        images, labels, test_images, test_labels, classes, len(labels) // 10, "crop_flip" if colour else "none"
    )


def _file(spec: DataSpec, path: str) -> tuple[Images, Labels]:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(spec.name, f"{path}: {error}", "a Parquet file") from error
    for column in ("image", "label"):
        if column not in table.column_names:
            got = f"{path} with columns {', '.join(table.column_names)}"
            raise DataError(spec.name, got, "columns image and label")
    if not pa.types.is_integer(table["label"].type) or table["label"].null_count:
        raise DataError(
            spec.name, f"{path} with labels of type {table['label'].type}", "a whole number for every image"
        )
    encoded = table["image"].combine_chunks()
    if pa.types.is_struct(encoded.type):
        if encoded.type.get_field_index("bytes") < 0:
            raise DataError(spec.name, f"{path} with image of type {encoded.type}", "bytes in it")
        encoded = encoded.field("bytes")
    decoded = []
    for i, data in enumerate(encoded.to_pylist()):
        try:
            decoded.append(np.asarray(open_image(io.BytesIO(data))))
        except (Image.DecompressionBombError, OSError, TypeError, ValueError) as error:
            raise DataError(spec.name, f"{path}, row {i}: {error}", "an encoded image") from error
        if decoded[i].shape != decoded[0].shape:
            got = f"{path}, row {i}: shape {decoded[i].shape}"
            raise DataError(spec.name, got, f"every image of the first one's shape {decoded[0].shape}")
    images = np.stack(decoded) if decoded else np.zeros((0, 1, 1), np.uint8)
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(images), table["label"].to_numpy().astype(np.int64)
