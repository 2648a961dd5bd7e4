"""The 1,797 scanned digits that ship with scikit-learn: 1,000 to train, 297 to validate, 500 to test."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np

from raysurf.data.dataset import RawSet, stratified_split
from raysurf.data.spec import DataSpec
from raysurf.errors import DataError

TEST, VALIDATION = 500, 297


def read(spec: DataSpec) -> RawSet:
    """Read the file that lies in scikit-learn's package, without importing scikit-learn (which takes seconds).

    Images are [N, 1, 8, 8] with values 0 to 16; the split into train and test is stratified and always the same.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("digits", "no scikit-learn", "scikit-learn to be installed, since it ships the file")
    with gzip.open(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", "rt") as stream:
        rows = np.loadtxt(stream, delimiter=",", dtype=np.int64)
    images = rows[:, :-1].astype(np.uint8).reshape(-1, 1, 8, 8)
    labels = rows[:, -1]
    train, test = stratified_split(labels, TEST)
    return RawSet(images[train], labels[train], images[test], labels[test], 10, VALIDATION, scale=16.0)
