"""Image files are opened as bitmaps alone: Pillow goes by a file's content, and hands PostScript to another program."""

from __future__ import annotations

from os import PathLike
from typing import IO

from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")


def open_image(file: str | PathLike[str] | IO[bytes]) -> Image.Image:
    """Open an image file of one of the ``FORMATS``, whatever its name ends in.

    Raises:
        OSError: If it is not one of them, or cannot be read.
    """
    return Image.open(file, formats=FORMATS)
