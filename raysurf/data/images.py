"""The one decoder of image files: whatever they hold becomes 8-bit grey or RGB, upright, without transparency."""

from __future__ import annotations

import contextlib
import os
import stat
import warnings
from collections.abc import Iterable, Sequence
from os import PathLike
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from raysurf.data.spec import DataSpec
from raysurf.errors import DataError

# Bitmaps alone: Pillow goes by a file's content, and hands PostScript to another program.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
GREY = ("1", "L", "LA")


def decode(file: str | PathLike[str] | IO[bytes]) -> Image.Image:
    """Decode an image file of one of the ``FORMATS``, whatever its name ends in.

    The first frame of an animation, turned as its EXIF orientation says. Transparency is dropped, as torchvision's
    loader does it; 16 bits become 8 by their upper byte, as Pillow and libpng do it for colour.

    Returns:
        An image of mode L (grey) or RGB.

    Raises:
        DecompressionBombWarning: If it has more pixels than ``Image.MAX_IMAGE_PIXELS``.
        Exception: Whatever Pillow raises of a file that it cannot read; mostly an OSError.
    """
    if isinstance(file, str | PathLike) and stat.S_ISFIFO(os.stat(file).st_mode):
        raise OSError("a pipe")  # To open it would wait for its writer.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of palettes with transparency, and of EXIF data that are corrupt.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(file, formats=FORMATS) as image:
            image.load()
            with contextlib.suppress(Exception):  # Corrupt EXIF data say nothing of how an image stands.
                ImageOps.exif_transpose(image, in_place=True)
            is_wide = image.mode == "I" and image.format in ("PNG", "PPM")
            if image.mode.startswith("I;16") or is_wide:
                return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            if image.mode in ("I", "F"):
                raise OSError(f"pixels of 32 bits (mode {image.mode}), whose range nothing says")
            wanted = "L" if image.mode in GREY else "RGB"
            return image if image.mode == wanted else image.convert(wanted)


def decode_all(spec: DataSpec, files: Sequence[tuple[str, Any]]) -> list[NDArray[np.uint8]]:
    """Decode images of one size into memory.

    Args:
        spec: Of the data set, for errors.
        files: The place of each for errors, and its path, or a stream of its bytes.

    Returns:
        Arrays [H, W] of the grey ones and [H, W, 3] of the others.

    Raises:
        DataError: If one cannot be decoded or has another size, or all are more than the machine's memory.
    """
    decoded: list[NDArray[np.uint8]] = []
    for place, file in files:
        try:
            decoded.append(np.asarray(decode(file)))
        except MemoryError:
            raise
        except UnidentifiedImageError as error:
            raise DataError(
                spec.name, f"{place}: no image of a known format", f"one of {', '.join(FORMATS)}"
            ) from error
        except Exception as error:  # Pillow's decoders raise almost anything.
            raise DataError(spec.name, f"{place}: {error}", "an image that can be decoded") from error
        size, first = decoded[-1].shape[:2], decoded[0].shape[:2]
        if size != first:
            got = f"{place}: {size[0]} x {size[1]} pixels"
            raise DataError(spec.name, got, f"every image of the first one's {first[0]} x {first[1]}")
        if len(decoded) == 1 and decoded[0].nbytes * len(files) > (memory := _memory()):
            got = f"{len(files)} images of {first[0]} x {first[1]} pixels, {decoded[0].nbytes * len(files):,} bytes"
            raise DataError(spec.name, got, f"no more than the {memory:,} of this machine (or image_stream)")
    return decoded


def stacked(decoded: Sequence[NDArray[np.uint8]], colour: bool) -> NDArray[np.uint8]:
    """Make one array [N, C, H, W] of decoded images, at least one: of three channels if ``colour``, else of one."""
    channels = [image if image.ndim == 3 else image[:, :, None] for image in decoded]
    depth = 3 if colour else 1
    images = np.empty((len(decoded), depth, *channels[0].shape[:2]), np.uint8)
    for place, image in zip(images, channels, strict=True):
        place[:] = image.transpose(2, 0, 1)
    return images


def has_colour(decoded: Iterable[NDArray[np.uint8]]) -> bool:
    """Whether any of decoded images is not grey."""
    return any(image.ndim == 3 for image in decoded)


def _memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
