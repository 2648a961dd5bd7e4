"""What noisy networks are called in pictures, from their jobs as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMES = {
    "dropout": "dropout",
    "gaussian_dropout": "Gaussian dropout",
    "variational_dropout": "variational dropout",
    "variance": "variance network",
}


def noise_name(spec: Mapping[str, Any]) -> str:
    """Such as "variance network" or "variational dropout, layer + dropout"; the kind where no noise is stated.

    Args:
        spec: A variational job. What its JSON leaves out is the default: one noise level a weight, Gaussian variance.
    """
    names = [_one(noise) for noise in spec.get("noise") or () if isinstance(noise, dict)]
    return " + ".join(dict.fromkeys(names)) or str(spec.get("kind", "variational"))


def noisy_layers(spec: Mapping[str, Any]) -> str:
    """Which layers are noisy, such as "conv2, dense1"; empty of other jobs."""
    return ", ".join(str(noise.get("layers")) for noise in spec.get("noise") or () if isinstance(noise, dict))


def noisy_spec(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The variational job that a run is, or whose weights it looks at."""
    weights = spec.get("weights")
    return weights if isinstance(weights, dict) else spec


def _one(noise: Mapping[str, Any]) -> str:
    kind = str(noise.get("kind", "noise"))
    name = NAMES.get(kind, kind.replace("_", " "))
    if kind == "variational_dropout":
        return f"{name}, {noise.get('sharing', 'weight')}"
    family = noise.get("family", "gaussian")
    return f"{name}, {family}" if kind == "variance" and family != "gaussian" else name
