"""How many examples of a set are trained on, where that is known without reading it. Importing it imports no torch."""

from __future__ import annotations

from raysurf.data.spec import DataSpec

# Training examples, and how many of them are held out unless a spec says otherwise.
SIZES = {
    "digits": (1297, 297),
    "toy_gaussians": (2000, 0),
    "mnist": (60_000, 5000),
    "fashion_mnist": (60_000, 5000),
    "cifar10": (50_000, 5000),
    "cifar100": (50_000, 5000),
    "cifar100_coarse": (50_000, 5000),
}


def num_training(spec: DataSpec) -> int | None:
    """Training examples that a spec keeps, labelled or not; None where only the data tell.

    Args:
        spec: Which set, what is held out of it and what share is kept.
    """
    if spec.name not in SIZES:
        return None
    every, held_out = SIZES[spec.name]
    kept = every - (held_out if spec.validation is None else spec.validation)
    return max(1, round(spec.share * kept)) if kept > 0 else None
