"""A point: a model's trainable parameters by name, and the arithmetic that all of weight space shares."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from raysurf.errors import PointMismatchError

Point = dict[str, Tensor]


def point_of(model: nn.Module) -> Point:
    """Copy a model's trainable parameters.

    Args:
        model: Any module; tied parameters appear once, under their first name.

    Returns:
        A new point that shares no storage with the model.
    """
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def buffers_of(model: nn.Module) -> dict[str, Tensor]:
    """Copy a model's persistent buffers (batch-norm statistics); they are no part of a point.

    Args:
        model: Any module; a buffer of a module that is registered twice appears once, under its first name.

    Returns:
        New tensors by name.
    """
    kept = model.state_dict().keys()
    return {name: value.detach().clone() for name, value in model.named_buffers() if name in kept}


def first_names(model: nn.Module) -> dict[str, str]:
    """Map every state-dict name of a tensor to its first name (tied tensors have several)."""
    first_of: dict[str, str] = {}
    first: dict[int, str] = {}
    kept = model.state_dict().keys()
    for name, value in (
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ):
        if name in kept:
            first_of[name] = first.setdefault(id(value), name)
    return first_of


@torch.no_grad()
def place(model: nn.Module, point: Mapping[str, Tensor], buffers: Mapping[str, Tensor] | None = None) -> None:
    """Write a point, and buffers if given, into a model in place.

    Args:
        model: The module whose parameters are overwritten.
        point: A value for every trainable parameter; device and precision are converted.
        buffers: Values for the buffers of the same names, any of those that a buffer has; the others are left alone.

    Raises:
        PointMismatchError: If names, kinds of numbers or, but for buffers, shapes differ from the model's.
    """
    parameters = dict(model.named_parameters())
    require_same(parameters, point)
    require_kinds(parameters, point)
    torch._foreach_copy_(list(parameters.values()), [point[name] for name in parameters])
    if buffers:
        own = dict(model.named_buffers(remove_duplicate=False))
        for name, value in buffers.items():
            if name not in own:
                raise PointMismatchError(f"a buffer {name} {tuple(value.shape)}", f"the model's {sorted(own)}")
        require_kinds(own, buffers)
        for name, value in buffers.items():
            write(own[name], value)


def write(own: Tensor, value: Tensor) -> None:
    """Write a buffer's value in place; it may have grown since the network was built, as observers' ranges do."""
    if own.shape != value.shape:
        own.resize_(value.shape)
    own.copy_(value)


def kind_of(value: Tensor) -> str:
    """Kind of a tensor's numbers (bool, integer, real, complex); kinds are never cast silently."""
    if value.dtype == torch.bool:
        return "booleans"
    return (
        "floating-point numbers"
        if value.is_floating_point()
        else "complex numbers"
        if value.is_complex()
        else "integers"
    )


def require_kinds(own: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> None:
    """Check that tensors have the kinds of numbers of those that they are written into.

    Raises:
        PointMismatchError: At the first that has another.
    """
    for name, value in new.items():
        if kind_of(value) != kind_of(own[name]):
            raise PointMismatchError(f"{name} of {str(value.dtype).removeprefix('torch.')}", kind_of(own[name]))


def require_same(expected: Mapping[str, Tensor], got: Mapping[str, Tensor]) -> None:
    """Check that two points have the same names and shapes.

    Raises:
        PointMismatchError: At the first name or shape that differs.
    """
    if expected.keys() != got.keys():
        missing, extra = sorted(expected.keys() - got.keys()), sorted(got.keys() - expected.keys())
        raise PointMismatchError(f"extra names {extra[:3]}, missing names {missing[:3]}", f"{len(expected)} same names")
    for name, value in expected.items():
        if value.shape != got[name].shape:
            raise PointMismatchError(f"{name} of shape {tuple(got[name].shape)}", f"shape {tuple(value.shape)}")


def combine(points: Sequence[Mapping[str, Tensor]], coefficients: Sequence[float]) -> Point:
    """Evaluate sum_i c_i w_i.

    A coefficient of zero leaves its point out, and a lone coefficient of one copies its point, so that
    a curve at its end is its end to the last bit.

    Args:
        points: At least one point; same names and shapes.
        coefficients: One number a point.

    Returns:
        A new point in the dtype of ``points[0]``.

    Raises:
        PointMismatchError: If two points differ in names or shapes.
    """
    assert len(points) == len(coefficients) and points, "one coefficient a point, and at least one point"
    for other in points[1:]:
        require_same(points[0], other)
    terms = [(point, c) for point, c in zip(points, coefficients, strict=True) if c != 0.0]
    if not terms:
        return {name: torch.zeros_like(value) for name, value in points[0].items()}
    first, c = terms[0]
    result = {name: value.clone() if c == 1.0 else value * c for name, value in first.items()}
    for point, c in terms[1:]:
        for name, value in result.items():
            value.add_(point[name], alpha=c)
    return result


def parts(value: Tensor) -> Tensor:
    """Real numbers as they are, a view; complex ones [...] as their real and imaginary parts [..., 2]."""
    return torch.view_as_real(value.resolve_conj()) if value.is_complex() else value


def wide(value: Tensor) -> Tensor:
    """``parts`` in float64: all lengths and angles are taken of them, so that those of complex weights are by |w|."""
    return parts(value.detach()).double()


def squared_norm(point: Mapping[str, Tensor]) -> float:
    """The sum of |w|^2 over all parameters, accumulated in float64."""
    return float(sum(wide(value).square().sum() for value in point.values()))


def distance(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    """The Euclidean distance of two points, accumulated in float64.

    Raises:
        PointMismatchError: If the points differ in names or shapes.
    """
    require_same(a, b)
    return math.sqrt(sum(float((wide(a[k]) - wide(b[k])).square().sum()) for k in a))


@torch.no_grad()
def differences_gram(points: Sequence[Mapping[str, Tensor]]) -> Tensor:
    """Inner products of the differences from the first point: G_ij = <w_i - w_0, w_j - w_0>, i, j >= 1.

    Args:
        points: K + 1 points, K >= 1; same names and shapes.

    Returns:
        [K, K] float64 on the CPU, accumulated tensor by tensor in float64.

    Raises:
        PointMismatchError: If two points differ in names or shapes.
    """
    for other in points[1:]:
        require_same(points[0], other)
    gram = torch.zeros(len(points) - 1, len(points) - 1, dtype=torch.float64)
    for name, origin in points[0].items():
        flat = torch.stack([(wide(point[name]) - wide(origin)).reshape(-1) for point in points[1:]])
        gram += (flat @ flat.T).cpu()
    return gram


def nearest_point(gram: Tensor, coefficients: Sequence[float], among: Sequence[int]) -> int:
    """Which of several points w_j lies nearest to their mixture sum_i c_i w_i.

    |sum_i c_i w_i - w_j|^2 = d^T G d, d = c - e_j without its first element

    Args:
        gram: G, [K, K], as ``differences_gram`` gives it for the K + 1 points.
        coefficients: c, K + 1 numbers that add up to one.
        among: Numbers of the points that are asked for.

    Returns:
        Its number; the first of several that are as near.
    """
    apart = torch.tensor(coefficients, dtype=gram.dtype) - torch.eye(len(coefficients), dtype=gram.dtype)
    return min(among, key=lambda j: float(apart[j, 1:] @ gram @ apart[j, 1:]))


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of the first tensor that holds NaN or infinity, or None."""
    return next((name for name, value in tensors.items() if not bool(torch.isfinite(value).all())), None)
