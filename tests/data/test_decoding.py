"""What images of every sort become, by folder and by Parquet file, against readings by hand."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from raysurf.data import registry
from raysurf.data.dataset import Dataset
from raysurf.data.images import decode
from raysurf.data.spec import DataSpec
from raysurf.errors import DataError
from tests.support.image_files import cut_off, encoded, make_folder, of_parquet

DRAW = np.random.default_rng(0)
GREY = DRAW.integers(0, 256, (5, 7), dtype=np.uint8)
RGB = DRAW.integers(0, 256, (5, 7, 3), dtype=np.uint8)
ALPHA = DRAW.integers(0, 256, (5, 7, 1), dtype=np.uint8)
WIDE = DRAW.integers(0, 65536, (5, 7), dtype=np.uint16)
WIDE[0, :3] = 0, 300, 65535
BITS = GREY > 100
PALETTE = DRAW.integers(0, 256, (4, 3), dtype=np.uint8)
INDICES = DRAW.integers(0, 4, (5, 7), dtype=np.uint8)
# How a stored picture is turned so that it stands, by the EXIF standard's numbers.
TURNS: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x, 1),
}


def palette(**options: Any) -> bytes:
    image = Image.fromarray(INDICES, "P")
    image.putpalette(PALETTE.tobytes())
    return encoded(image, **options)


def animation() -> bytes:
    frames = [Image.new("RGB", (7, 5), colour) for colour in ("#ff0000", "#0000ff")]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


def turned(orientation: int) -> tuple[bytes, NDArray[np.uint8]]:
    options = {"quality": 95, "subsampling": 0}
    plain, exif = encoded(Image.fromarray(RGB), "JPEG", **options), Image.Exif()
    exif[0x0112] = orientation
    stored = np.asarray(Image.open(io.BytesIO(plain)))
    return encoded(Image.fromarray(RGB), "JPEG", exif=exif, **options), TURNS[orientation](stored)


# Name: file, suffix, and what it is to be: [H, W] or [H, W, 3].
CASES: dict[str, tuple[bytes, str, NDArray[np.uint8]]] = {
    "1 bit": (encoded(Image.fromarray(BITS)), "png", BITS * np.uint8(255)),
    "grey": (encoded(Image.fromarray(GREY)), "png", GREY),
    "grey and alpha": (encoded(Image.fromarray(np.dstack([GREY, ALPHA]))), "png", GREY),
    "16 bit PNG": (encoded(Image.fromarray(WIDE)), "png", (WIDE // 256).astype(np.uint8)),
    "16 bit TIFF": (encoded(Image.fromarray(WIDE), "TIFF"), "tif", (WIDE // 256).astype(np.uint8)),
    "16 bit PGM": (b"P5 7 5 65535\n" + WIDE.astype(">u2").tobytes(), "pgm", (WIDE // 256).astype(np.uint8)),
    "RGB": (encoded(Image.fromarray(RGB)), "png", RGB),
    "RGBA": (encoded(Image.fromarray(np.dstack([RGB, ALPHA]))), "png", RGB),
    "palette": (palette(), "png", PALETTE[INDICES]),
    "palette with one transparent colour": (palette(transparency=2), "png", PALETTE[INDICES]),
    "palette with transparency": (palette(transparency=b"\x00\x80\xff\x10"), "png", PALETTE[INDICES]),
    "animated GIF": (animation(), "gif", np.full((5, 7, 3), (255, 0, 0), np.uint8)),
    **{f"EXIF {i}": (file, "jpg", expected) for i in TURNS for file, expected in [turned(i)]},
}


def of_folder(path: Path, file: bytes, suffix: str) -> Dataset:
    for name in ("a", "b"):
        (path / name).mkdir(parents=True)
        (path / name / f"0.{suffix}").write_bytes(file)
    return registry.load(DataSpec(name="folder", train=str(path), test=str(path), validation=0))


@pytest.mark.parametrize("name", CASES)
def test_images_of_every_sort(name: str, tmp_path: Path) -> None:
    """Parquet gives grey or RGB as the file has it, a folder gives RGB, both the same pixels to the last bit."""
    file, suffix, expected = CASES[name]
    stored, from_folder = of_parquet(tmp_path / "a.parquet", [file] * 2), of_folder(tmp_path / "a", file, suffix)
    channels = expected[None] if expected.ndim == 2 else expected.transpose(2, 0, 1)
    assert stored.train.images.dtype == from_folder.train.images.dtype == torch.uint8
    assert np.array_equal(stored.train.images[1].numpy(), channels)
    assert np.array_equal(from_folder.train.images[1].numpy(), np.broadcast_to(channels, (3, *channels.shape[1:])))


def test_cmyk(tmp_path: Path) -> None:
    """Ink is taken from white: (255 - C) (255 - K) / 255, within what JPEG and rounding lose."""
    inks = (200, 30, 90, 60)
    file = encoded(Image.new("CMYK", (7, 5), inks), "JPEG", quality=100)
    expected = torch.tensor([(255 - ink) * (255 - inks[3]) / 255 for ink in inks[:3]])
    for data in (of_parquet(tmp_path / "a.parquet", [file] * 2), of_folder(tmp_path / "a", file, "jpg")):
        assert data.train.images.shape == (2, 3, 5, 7)
        assert (data.train.images - expected[:, None, None]).abs().max() <= 3


def test_grey_among_coloured(tmp_path: Path) -> None:
    """A Parquet file of both has three channels, equal ones where an image is grey."""
    data = of_parquet(tmp_path / "a.parquet", [CASES["grey"][0], CASES["RGB"][0]])
    assert np.array_equal(data.train.images[0].numpy(), np.stack([GREY] * 3))
    assert np.array_equal(data.train.images[1].numpy(), RGB.transpose(2, 0, 1))


def test_corrupt_exif_is_no_corrupt_image() -> None:
    """An image whose EXIF data are nonsense is as it is stored, without a warning."""
    plain = encoded(Image.fromarray(GREY), "JPEG")
    file = encoded(Image.fromarray(GREY), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\xff\x01\x12\0\x03")
    assert np.array_equal(np.asarray(decode(io.BytesIO(file))), np.asarray(Image.open(io.BytesIO(plain))))


def test_streamed_images_stand_as_exif_says(tmp_path: Path) -> None:
    """A streamed set decodes as the others do: a picture that lies on its side is set upright."""
    left = np.zeros((32, 32, 3), np.uint8)
    left[:, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    for which in ("train", "test"):
        (tmp_path / which / "a").mkdir(parents=True)
        (tmp_path / which / "a" / "0.jpg").write_bytes(encoded(Image.fromarray(left), "JPEG", exif=exif))
    places = {which: str(tmp_path / which) for which in ("train", "test")}
    spec = DataSpec(name="image_stream", image_size=28, workers=0, validation=0, **places)
    (image,) = registry.load(spec).test.images.float()
    assert image[:, :10].min() > 200  # The left half is the upper one, once it is turned.
    assert image[:, -10:].max() < 50


def test_unreadable_image_of_a_folder_is_named(tmp_path: Path) -> None:
    """A file that is cut off, or has pixels without a known range, is one error with its path and the cause."""
    make_folder(tmp_path / "a", 1)
    file = cut_off(tmp_path / "a" / "bee" / "0.jpg")
    with pytest.raises(DataError, match=r"0\.jpg: .*truncated.*expected an image that can be decoded") as caught:
        registry.load(DataSpec(name="folder", train=str(tmp_path / "a"), test=str(tmp_path / "a")))
    Path(tmp_path / "b" / "c").mkdir(parents=True)
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "b" / "c" / "0.tif")
    with pytest.raises(DataError, match=r"c/0\.tif: pixels of 32 bits \(mode F\)"):
        registry.load(DataSpec(name="folder", train=str(tmp_path / "b"), test=str(tmp_path / "b")))
    assert file in str(caught.value)


def test_pipe_is_no_image(tmp_path: Path) -> None:
    """A pipe among the images is named, and not waited for."""
    os.mkfifo(pipe := tmp_path / "pipe.png")
    held = os.open(pipe, os.O_RDWR)  # Without a writer, opening it would wait for one.
    os.write(held, bytes(64))
    try:
        with pytest.raises(OSError, match="a pipe"):
            decode(pipe)
    finally:
        os.close(held)
