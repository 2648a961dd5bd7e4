"""Data sets of the user's own functions: what they may give, and what is said of what they may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import raysurf as rs
from raysurf import own_code
from raysurf.data import registry
from raysurf.data.dataset import Dataset
from raysurf.data.sets import digits
from raysurf.data.spec import DataSpec
from raysurf.errors import DataError, SpecError
from raysurf.jobs.parse import parse_job
from raysurf.store.store import Store
from raysurf.store.tables import read_rows
from tests.support.cases import tiny_sgd
from tests.support.execution import do

given: Any = None
BYTES, LABELS = np.arange(240, dtype=np.uint8).reshape(10, 2, 3, 4), np.arange(10) % 3
FLOATS = BYTES.astype(np.float64)


def load_given() -> Any:
    """What a test has laid out."""
    return given


def load_digits() -> Any:
    """The digits as a user would give them: floating, scaled by himself."""
    raw = digits.read(DataSpec(name="digits"))
    images, test_images = (torch.from_numpy(array / 16) for array in (raw.images, raw.test_images))
    return (images, torch.from_numpy(raw.labels)), (test_images, raw.test_labels)


def load_with(root: str) -> Any:
    """A function that cannot be called as it is to be."""
    raise AssertionError(root)


def loaded(monkeypatch: pytest.MonkeyPatch, *parts: Any, **more: Any) -> Dataset:
    monkeypatch.setitem(globals(), "given", parts)
    registry._load.cache_clear()
    return registry.load(DataSpec(name=f"{__name__}:load_given", **more))


def test_own_data_train_as_a_built_in_set(tmp_path: Path) -> None:
    """The digits by a function give the metrics of the digits; the rows say whose they are."""
    store, own = Store(str(tmp_path)), rs.DataSpec(name=f"{__name__}:load_digits", share=0.2, validation=297)
    mine = do(job := tiny_sgd(data=own, epochs=2), store)
    theirs = do(tiny_sgd(data=rs.DataSpec(name="digits", share=0.2), epochs=2), store)
    assert mine == pytest.approx(theirs, rel=1e-4)
    (row,) = read_rows(store, "runs", job.id)
    assert row["data"] == f"{__name__}:load_digits"
    assert row["data_fingerprint"]


@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_bytes_and_floats(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes are 0 to 255, floats are as they are; a tenth is held out; classes are counted; fingerprints are stable."""
    made = torch.from_numpy if kind == "tensor" else np.asarray
    part = (made(BYTES), made(LABELS))
    data = loaded(monkeypatch, part, part, normalise="none")
    assert (data.image_shape, data.num_classes, len(data.train), data.augment) == ((2, 3, 4), 3, 9, "none")
    assert data.validation is not None and len(data.validation) == 1
    assert torch.allclose(data.normalise(data.test.images), torch.from_numpy(BYTES / 255).float())
    assert loaded(monkeypatch, part, part).fingerprint == data.fingerprint
    part = (made(FLOATS), made(LABELS.astype(np.uint8)))
    floats = loaded(monkeypatch, part, part, normalise="none", validation=0)
    assert torch.equal(floats.normalise(floats.test.images), torch.from_numpy(FLOATS).float())
    assert torch.allclose(
        (own := loaded(monkeypatch, part, part, validation=0)).normalise(own.train.images).mean((0, 2, 3)),
        torch.zeros(2),
        atol=1e-5,
    )


GOOD = (BYTES, LABELS)
BAD: dict[str, tuple[Any, str]] = {
    "three arrays": (
        (BYTES, LABELS, BYTES),
        r"a tuple of 3: ndarray, ndarray, ndarray; expected \(images, labels\) of tr",
    ),
    "four arrays flat": ((BYTES, LABELS, BYTES, LABELS), "a tuple of 4"),
    "two arrays": ((BYTES, LABELS), r"a tuple of 2: ndarray, ndarray; expected \(images"),
    "lists": ((GOOD, (BYTES.tolist(), LABELS)), "test images: a list of 10.*; expected an array of NumPy"),
    "no channels": (((BYTES[:, 0], LABELS), GOOD), r"training images of uint8 \[10, 3, 4\]; expected \[N, C, H, W\]"),
    "no examples": (((BYTES[:0], LABELS[:0]), GOOD), r"training images of uint8 \[0, 2, 3, 4\]"),
    "whole numbers": (
        ((BYTES.astype(np.int64), LABELS), GOOD),
        "training images of int64 .*; expected uint8 of 0 to 255",
    ),
    "complex": (((BYTES.astype(np.complex64), LABELS), GOOD), "training images of complex64"),
    "sparse": (((torch.from_numpy(BYTES).to_sparse(), LABELS), GOOD), "training images: Tensor"),
    "texts": (((BYTES.astype(str), LABELS), GOOD), "training images of <U"),
    "NaN": (
        ((np.where(BYTES == 239, np.nan, FLOATS), LABELS), (FLOATS, LABELS)),
        "NaN or infinity in training image 9",
    ),
    "too large": (((FLOATS, LABELS), (FLOATS * 1e300, LABELS)), "NaN or infinity in test image 0"),
    "other shapes": ((GOOD, (BYTES[:, :1], LABELS)), r"test images of uint8 \[10, 1, 3, 4\]; expected one shape"),
    "other types": ((GOOD, (FLOATS, LABELS)), "one shape and type of image in both"),
    "fewer labels": (((BYTES, LABELS[:9]), GOOD), "10 training images and 9 labels"),
    "one-hot labels": (
        ((BYTES, np.eye(10, dtype=int)), GOOD),
        r"training labels of int64 \[10, 10\]; expected whole num",
    ),
    "floating labels": (((BYTES, LABELS * 1.0), GOOD), "training labels of float64"),
    "a negative label": ((GOOD, (BYTES, LABELS - 1)), "test labels, row 0: label -1"),
    "more classes": (
        (GOOD, (BYTES, LABELS + 10**9)),
        "test labels, row 2: label 1000000002, thus 1,000,000,003 classes",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_return_is_one_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else a function gives is told by what it is, and what is expected."""
    parts, said = BAD[name]
    with pytest.raises(DataError, match=rf"test_own_set:load_given'.*{said}"):
        loaded(monkeypatch, *parts)


def test_none_is_no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that forgot to return."""
    monkeypatch.setitem(globals(), "given", None)
    with pytest.raises(DataError, match="what it gives: NoneType"):
        registry.load(DataSpec(name=f"{__name__}:load_given"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            f"{__name__}:load_with",
            r"data: got '.*:load_with': missing a required argument: 'root'; expected a function th",
        ),
        (f"{__name__}:load_digit", r"data: got '.*', and tests.data.test_own_set has no load_digit"),
        ("nowhere_at_all:load", r"data: got .*there is no module nowhere_at_all"),
        (f"{__name__}:BYTES", r"data: got .* which is no function"),
    ],
)
def test_check_judges_without_calling(name: str, said: str) -> None:
    """``check`` imports the module and binds the call; what is not there is told, with its place in the file."""
    with pytest.raises(SpecError, match=said):
        parse_job({"kind": "sgd", "model": "lenet5", "data": {"name": name}, "epochs": 1})
    with own_code.no_imports():
        good = {"kind": "sgd", "model": "lenet5", "data": {"name": f"{__name__}:load_with"}, "epochs": 1}
        assert parse_job(good).data_spec.name == f"{__name__}:load_with"
