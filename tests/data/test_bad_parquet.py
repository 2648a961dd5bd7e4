"""Parquet files that are no data set: each is one error that names the file, the row and the cause."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from raysurf.data import registry
from raysurf.data.spec import DataSpec
from raysurf.errors import DataError
from tests.support.image_files import encoded

GOOD = encoded(Image.fromarray(np.zeros((4, 4, 3), np.uint8)))
TABLES: dict[str, tuple[dict[str, Any], str]] = {
    "no rows": ({"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())}, "a.parquet without rows"),
    "no columns": ({}, "a.parquet with no columns; expected columns image and label"),
    "no labels": ({"image": [GOOD]}, "a.parquet with columns image; expected columns image and label"),
    "a label of 1e9": ({"image": [GOOD] * 3, "label": [0, 10**9, 1]}, "row 1: label 1000000000, thus 1,000,000,001 cl"),
    "more classes": ({"image": [GOOD] * 3, "label": [0, 1, 3]}, "row 2: label 3, thus 4 classes of 3 examples"),
    "a label over int64": (
        {"image": [GOOD] * 2, "label": pa.array([2**63 + 1, 0], pa.uint64())},
        f"row 0: label {2**63 + 1}, thus",
    ),
    "a negative label": ({"image": [GOOD] * 3, "label": [0, 1, -1]}, "row 2: label -1; expected classes .* from 0"),
    "an absent label": ({"image": [GOOD] * 3, "label": [0, None, 1]}, "row 1: no label"),
    "labels that are texts": ({"image": [GOOD], "label": ["cat"]}, "labels of type string"),
    "a nested list": (
        {"image": [[[0, 1], [2, 3]]], "label": [0]},
        r"row 0: an image of type list<.*the bytes of an im",
    ),
    "a nested list as bytes": ({"image": [{"bytes": [[0, 1]]}], "label": [0]}, "row 0: an image of type struct<bytes:"),
    "a path alone": ({"image": [{"path": "a.png"}], "label": [0]}, "row 0: an image of type struct<path: string>"),
    "an absent image": ({"image": [GOOD, None], "label": [0, 1]}, "row 1: no bytes"),
    "an absent struct": ({"image": [{"bytes": GOOD}, None], "label": [0, 1]}, "row 1: no bytes"),
    "no image": ({"image": [GOOD, b""], "label": [0, 1]}, "row 1: no image of a known format"),
    "a truncated image": (
        {"image": [GOOD, GOOD[: len(GOOD) // 2]], "label": [0, 1]},
        "row 1: no image of a known format",
    ),
}


def load(path: Path) -> None:
    registry.load(DataSpec(name="parquet", train=str(path), test=str(path), validation=0))


@pytest.mark.parametrize("name", TABLES)
def test_bad_table_is_one_error(name: str, tmp_path: Path) -> None:
    """Rows that are absent, labels that are no classes, images that are none."""
    columns, said = TABLES[name]
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=rf"a\.parquet.*{said.removeprefix('a.parquet')}"):
        load(tmp_path / "a.parquet")


@pytest.mark.parametrize("side", [9_500, 14_000])
def test_decompression_bomb_is_refused(side: int, tmp_path: Path) -> None:
    """A few kB that would be 90 or 196 million pixels are told by their row before they are decoded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bomb = encoded(Image.new("1", (side, side)))
    pq.write_table(pa.table({"image": [GOOD, bomb], "label": [0, 1]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=rf"a\.parquet, row 1: .*{side**2} pixels.* decompression bomb"):
        load(tmp_path / "a.parquet")


def test_images_beyond_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many of a size, each small when encoded, are told by their number and size before they are decoded."""
    from raysurf.data import images

    big = encoded(Image.new("L", (4_000, 2_000)))
    pq.write_table(pa.table({"image": [big] * 30, "label": [0] * 30}), tmp_path / "a.parquet")
    monkeypatch.setattr(images, "_memory", lambda: 200_000_000)
    with pytest.raises(
        DataError, match="30 images of 2000 x 4000 pixels, 240,000,000 bytes; expected no more than the"
    ):
        load(tmp_path / "a.parquet")


@pytest.mark.parametrize("other", ["another schema", "another list", "no Parquet"])
def test_folder_of_unlike_files_names_the_odd_one(other: str, tmp_path: Path) -> None:
    """One folder whose files do not fit together is the user's to mend, and the file is named."""
    pq.write_table(pa.table({"image": [GOOD], "label": [0]}), tmp_path / "a.parquet")
    if other == "no Parquet":
        (tmp_path / "b.txt").write_text("hello")
    elif other == "another schema":
        pq.write_table(pa.table({"image": [GOOD], "label": ["cat"]}), tmp_path / "b.parquet")
    else:
        pq.write_table(pa.table({"image": [[GOOD]], "label": [0]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"/b\.(txt|parquet): .*expected a Parquet file, or a folder"):
        load(tmp_path)


def test_folder_of_like_files_is_one_set(tmp_path: Path) -> None:
    """Files of one schema are read in the order of their names."""
    for i in range(3):
        image = encoded(Image.fromarray(np.full((4, 4), i, np.uint8)))
        pq.write_table(pa.table({"image": [image], "label": [i % 2]}), tmp_path / f"{i}.parquet")
    data = registry.load(DataSpec(name="parquet", train=str(tmp_path), test=str(tmp_path), validation=0))
    assert data.train.images[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert data.train.labels.tolist() == [0, 1, 0]


def test_other_columns_are_not_read(tmp_path: Path) -> None:
    """Columns beside image and label may differ from file to file; the labels' columns may stand in any order."""
    pq.write_table(pa.table({"image": [GOOD], "label": [0], "source": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"source": ["x"], "label": [1], "image": [GOOD]}), tmp_path / "b.parquet")
    data = registry.load(DataSpec(name="parquet", train=str(tmp_path), test=str(tmp_path), validation=0))
    assert data.train.labels.tolist() == [0, 1]


def test_files_that_were_changed_are_read_again(tmp_path: Path) -> None:
    """One process loads a set anew when a file of it is another, or has gone, since it was loaded."""
    spec = DataSpec(name="parquet", train=str(tmp_path), test=str(tmp_path), validation=0)
    for i in range(3):
        pq.write_table(pa.table({"image": [GOOD], "label": [0]}), tmp_path / f"{i}.parquet")
    first = registry.load(spec)
    assert registry.load(spec) is first
    pq.write_table(pa.table({"image": [GOOD], "label": [1]}), tmp_path / "2.parquet")
    assert registry.load(spec).train.labels.tolist() == [0, 0, 1]
    (tmp_path / "0.parquet").unlink()
    assert registry.load(spec).train.labels.tolist() == [0, 1]
