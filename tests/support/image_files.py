"""Small folders of JPEG files, and corrupt ones among them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

import raysurf as rs
from raysurf.data import registry
from raysurf.data.dataset import Dataset
from raysurf.data.spec import DataSpec

CLASSES = ("ant", "bee", "cat")


def make_folder(folder: Path, per_class: int, seed: int = 0) -> str:
    """A folder of three classes with so many JPEGs in each, of varied sizes, a colour a class; some are grey."""
    draw = np.random.default_rng(seed)
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for i in range(per_class):
            height, width = draw.integers(20, 48, 2)
            pixels = draw.integers(0, 100, (height, width, 3))
            pixels[..., label] += 120
            image = Image.fromarray(pixels.astype(np.uint8))
            (image.convert("L") if i == 3 else image).save(folder / name / f"{i}.jpg", quality=90)
    return str(folder)


def cut_off(file: Path) -> str:
    """Leave but the first half of a file."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return str(file)


def encoded(image: Image.Image, style: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, style, **options)
    return stream.getvalue()


def of_parquet(path: Path, images: list[bytes], **more: Any) -> Dataset:
    pq.write_table(pa.table({"image": images, "label": [i % 2 for i in range(len(images))]}), path)
    return registry.load(DataSpec(name="parquet", train=str(path), test=str(path), validation=0, **more))


def streamed_sgd(folder: Path, **changes: object) -> rs.SGD:
    """Two epochs of the digits network on a folder of 24 + 12 images, which is made if absent."""
    for which, per_class in (("train", 8), ("test", 4)):
        if not (folder / which).exists():
            make_folder(folder / which, per_class, seed=per_class)
    places = {which: str(folder / which) for which in ("train", "test")}
    data = rs.DataSpec(name="image_stream", image_size=12, workers=0, validation=6, **places)
    model = rs.ModelSpec(name="digits_conv", options={"width": 4})
    return rs.SGD(**{"model": model, "data": data, "epochs": 3, "lr": 0.05, "batch_size": 6, **changes})
