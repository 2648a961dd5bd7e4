"""Small folders of JPEG files, and corrupt ones among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("ant", "bee", "cat")


def make_folder(folder: Path, each: int, seed: int = 0) -> str:
    """A folder of three classes with so many JPEGs in each, of varied sizes, a colour a class; some are grey."""
    draw = np.random.default_rng(seed)
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for i in range(each):
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
