"""What a data set is called in tables and pictures."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import raysurf as rs
from raysurf.data.spec import DataSpec
from raysurf.store.store import Store
from raysurf.store.tables import read_rows
from tests.support.cases import tiny_sgd
from tests.support.execution import do
from tests.support.image_files import make_folder


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ({"name": "cifar10"}, "cifar10"),
        ({"name": "cifar10", "label": "CIFAR of ours"}, "CIFAR of ours"),
        ({"name": "folder", "train": "/data/pets/train", "test": "/data/pets/test"}, "folder pets"),
        ({"name": "folder", "train": "pets_train/", "test": "pets_test"}, "folder pets_train"),
        ({"name": "folder", "train": "/data/train/pets", "test": "/data/test/pets"}, "folder pets"),
        ({"name": "parquet", "train": "svhn/train-0.parquet", "test": "svhn/test.parquet"}, "parquet svhn"),
        ({"name": "parquet", "train": "sets/svhn.parquet", "test": "sets/svhn_test.parquet"}, "parquet svhn"),
        ({"name": "parquet", "train": "train", "test": "test"}, "parquet train"),
        ({"name": "folder", "train": "pets/train", "test": "pets/test", "label": "pets"}, "pets"),
    ],
)
def test_a_set_is_called_by_its_label_or_folder(spec: dict[str, Any], shown: str) -> None:
    """Sets of files are told apart by their folder's name, or by the label that they are given."""
    assert DataSpec(**spec).shown == shown


def test_label_is_no_part_of_a_job(tmp_path: Path) -> None:
    """Rows have it; the id has not; weights on data of two labels lie in one space, those of two folders do not."""
    for which in ("train", "test"):
        shutil.copytree(make_folder(tmp_path / which, 4), tmp_path / "cropped" / which)
        for file in (tmp_path / "cropped" / which).rglob("*.jpg"):
            shutil.copy(tmp_path / which / "ant" / "0.jpg", file)
    places = {which: str(tmp_path / "cropped" / which) for which in ("train", "test")}
    settings = {"epochs": 1, "model": rs.ModelSpec(name="lenet5")}
    plain = tiny_sgd(data=rs.DataSpec(name="folder", **places), **settings)
    named = tiny_sgd(data=rs.DataSpec(name="folder", label="ants", **places), **settings)
    assert plain.id == named.id
    store = Store(str(tmp_path / "r"))
    do(named, store)
    (row,) = read_rows(store, "runs", named.id)
    assert row["data"] == "ants"
    assert plain.data_spec.shown == "folder cropped"
    rs.Line(start=plain, end=named.with_seed(1))
    elsewhere = tiny_sgd(
        data=rs.DataSpec(name="folder", train=str(tmp_path / "train"), test=places["test"]), **settings
    )
    with pytest.raises(ValueError, match="trained on different data"):
        rs.Line(start=plain, end=elsewhere.with_seed(1))
