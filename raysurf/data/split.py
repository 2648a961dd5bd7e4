"""Splitting labelled examples so that every part has the classes in the same shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
UNLABELLED = -1


def stratified_split(labels: NDArray[np.int64], held_out: int, seed: int = 0) -> tuple[Indices, Indices]:
    """Hold out examples, of each class its share to within one.

    Args:
        labels: [N], class of each example.
        held_out: How many to hold out, 0 to N.
        seed: Decides which.

    Returns:
        Kept and held-out indices, each in rising order; together they are 0 .. N-1.
    """
    assert 0 <= held_out <= len(labels), (held_out, len(labels))
    random = np.random.default_rng(seed)
    classes, counts = np.unique(labels, return_counts=True)
    exact = counts * held_out / max(1, len(labels))
    take = np.floor(exact).astype(np.int64)
    most_owed = np.argsort(take - exact, kind="stable")
    take[most_owed[: held_out - int(take.sum())]] += 1
    chosen = [random.permutation(np.flatnonzero(labels == c))[:n] for c, n in zip(classes, take, strict=True)]
    held = np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)
    return np.setdiff1d(np.arange(len(labels)), held), held


def keep_labels(labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Take the labels from all examples but some, of each class its share to within one.

    The same examples keep them as ``share`` keeps of a set, so that supervised training on these alone can be compared.

    Args:
        labels: [N], class of each example.
        count: How many keep theirs, 0 to N.

    Returns:
        New labels, -1 where there is none.
    """
    known = stratified_split(labels, count, seed=1)[1]
    kept = np.full_like(labels, UNLABELLED)
    kept[known] = labels[known]
    return kept
