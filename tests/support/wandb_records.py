"""Reads an offline ``.wandb`` file by itself: LevelDB framing around protocol-buffer records.

A file begins with 7 bytes; blocks are of 32 KiB; a chunk has a header of crc32 (u32), length (u16) and kind (u8: 1
whole, 2 first, 3 middle, 4 last), and the crc is zlib's, over kind and payload.
"""

from __future__ import annotations

import json
import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK = 32768
AXES = {"epoch", "t"}


def payloads(data: bytes) -> Iterator[bytes]:
    """Every whole record of a file; a torn tail is left out."""
    assert data[:4] == b":W&B"
    at, record = 7, b""
    while at + 7 <= len(data):
        left = BLOCK - at % BLOCK
        crc, size, kind = struct.unpack_from("<IHB", data, at)
        if left < 7 or (kind, size) == (0, 0):
            at += left
            continue
        piece = data[at + 7 : at + 7 + size]
        if len(piece) < size:
            return
        assert zlib.crc32(piece, zlib.crc32(bytes([kind]))) == crc
        at += 7 + size
        record = piece if kind in (1, 2) else record + piece
        if kind in (1, 4):
            yield record


@dataclass
class OfflineRun:
    """What a run's file says; what was logged at its end, on no axis, is ``media``."""

    run: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    media: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None


def _name(item: Any) -> str:
    return item.key or ".".join(item.nested_key)


def read(folder: Path) -> OfflineRun:
    """Read the run in a folder."""
    from wandb.proto.wandb_internal_pb2 import Record

    offline = OfflineRun()
    (file,) = folder.glob("run-*.wandb")
    for payload in payloads(file.read_bytes()):
        record = Record()
        record.ParseFromString(payload)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run = record.run
            offline.run = {
                "id": run.run_id,
                "tags": list(run.tags),
                "group": run.run_group,
                "name": run.display_name,
                "job_type": run.job_type,
            }
            offline.config |= {_name(item): json.loads(item.value_json) for item in run.config.update}
        elif kind == "history":
            step = {_name(i): json.loads(i.value_json) for i in record.history.item}
            if AXES & set(step):
                offline.history.append(step)
            else:
                offline.media |= step
        elif kind == "summary":
            offline.summary |= {_name(item): json.loads(item.value_json) for item in record.summary.update}
        elif kind == "exit":
            offline.exit_code = record.exit.exit_code
    return offline


def read_all(directory: Path, ended: int = 0, timeout_s: float = 20) -> dict[str, OfflineRun]:
    """Every run under a folder, by its id in the tables.

    Files lag behind ``finish``, so this waits until ``ended`` of them have an exit record.
    """
    until = time.monotonic() + timeout_s
    while True:
        runs = [read(folder) for folder in sorted((directory / "wandb").glob("offline-run-*"))]
        if sum(run.exit_code is not None for run in runs) >= ended or time.monotonic() > until:
            assert len({run.run["id"] for run in runs}) == len(runs), "a run was logged twice"
            return {run.config["run_id"]: run for run in runs}
        time.sleep(0.1)
