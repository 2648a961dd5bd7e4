"""Truncated files, left by a machine that lost power or a copy that was broken off: they count as not written."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import BinaryIO

PARQUET = b"PAR1"
# A longer header is none that raysurf writes.
LONGEST_HEADER = 2**24


def is_truncated(file: BinaryIO, suffix: str) -> bool:
    """Whether a file was begun and not ended, by what its format says of its end, so that little of it is read.

    An empty file is truncated, and so is one that begins with zeros, as some disks leave them. What never was of the
    format is not.

    Args:
        file: Open for reading.
        suffix: .parquet, .safetensors or .json; of others only emptiness is known.
    """
    head = file.read(8)
    size = file.seek(0, io.SEEK_END)
    if not head.strip(b"\0"):
        return True
    if suffix == ".parquet" and head.startswith(PARQUET):
        file.seek(max(0, size - len(PARQUET)))
        return size < 3 * len(PARQUET) or file.read() != PARQUET
    if suffix == ".safetensors":
        file.seek(8)
        return _is_short_of_tensors(file, int.from_bytes(head, "little"), size)
    if suffix == ".json" and head.startswith((b"{", b"[")):
        file.seek(0)
        return _is_short_of_json(file.read())
    return False


def is_whole_file(path: Path) -> bool:
    """Whether a file on a disk is there and not truncated."""
    try:
        with path.open("rb") as file:
            return not is_truncated(file, path.suffix)
    except FileNotFoundError:
        return False


def _is_short_of_tensors(file: BinaryIO, header_size: int, size: int) -> bool:
    if header_size > LONGEST_HEADER:
        return False
    header = file.read(header_size)
    if len(header) < header_size:
        return True
    try:
        ends = [value["data_offsets"][1] for name, value in json.loads(header).items() if name != "__metadata__"]
        return size < 8 + header_size + max(ends, default=0)
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError):
        return False


def _is_short_of_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except RecursionError:
        return False
    except ValueError:
        return True
    return False
