"""Writing a picture, by the suffix of its path: PNG, SVG, PDF, or a self-contained HTML page."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from raysurf.errors import Fault, SpecError, StoreError
from raysurf.report.page import Caption, page

SUFFIXES = (".png", ".svg", ".pdf", ".html")
# What each format keeps beside the title; without the time of writing, the same figure gives the same bytes.
METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": "raysurf"},
    "svg": {"Date": None},
    "pdf": {"Creator": "raysurf", "CreationDate": None},
}
DPI = 150


def check_suffix(path: str) -> None:
    """Check that a picture can be written under this name.

    Raises:
        SpecError: If its suffix is of no known kind.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise SpecError([Fault("output", repr(path), f"a name that ends in {', '.join(SUFFIXES)}")])


def write(figure: Figure, path: str, title: str, caption: Caption | None = None) -> None:
    """Write a picture, whole or not at all; the same figure gives the same bytes.

    Args:
        figure: The picture.
        path: Where it goes; its suffix says as what.
        title: Kept inside the file.
        caption: What a page says under the picture.

    Raises:
        SpecError: If the suffix is of no known kind.
        StoreError: If the place cannot be written.
    """
    check_suffix(path)
    suffix = Path(path).suffix.lower()
    data = _rendered(figure, suffix[1:] if suffix != ".html" else "svg", title)
    if suffix == ".html":
        data = page(title, _inline(data.decode()), caption or Caption()).encode()
    write_whole(path, data)


def svg_of(figure: Figure, title: str) -> str:
    """A picture as an ``svg`` element for a page, without a size of its own.

    Args:
        figure: The picture.
        title: Kept inside it.
    """
    return _inline(_rendered(figure, "svg", title).decode())


def write_whole(path: str, data: bytes) -> None:
    """Write a file, whole or not at all, making its folder.

    Raises:
        StoreError: If the place cannot be written.
    """
    aside = Path(f"{path}.{os.getpid()}.part")
    try:
        aside.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(data)
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise StoreError(path, error.strerror or str(error), "a place where a picture can be written") from error


def _rendered(figure: Figure, kind: str, title: str) -> bytes:
    sink = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "raysurf"}):
        figure.savefig(sink, format=kind, dpi=DPI, metadata={"Title": title, **METADATA[kind]})
    return sink.getvalue()


def _inline(svg: str) -> str:
    """An SVG document as an element of a page: no prologue, no size of its own beside its viewBox."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, count=1, flags=re.DOTALL)
    return re.sub(
        r'<svg([^>]*?) width="[^"]*"',
        r"<svg\1",
        re.sub(r'<svg([^>]*?) height="[^"]*"', r"<svg\1", svg, count=1),
        count=1,
    )
