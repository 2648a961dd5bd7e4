"""Tensors come back from bytes as they were, whatever their layout."""

from __future__ import annotations

import pytest
import torch

from raysurf.jobs.context import UNDECODABLE, as_they_lie, as_they_were, decode, encode


def test_layouts_come_back() -> None:
    """Channels last, transposed, with gaps, scalars and empty ones: values and layout are those that went in."""
    image = torch.randn(2, 3, 4, 5)
    tensors = {
        "plain": image,
        "last": image.contiguous(memory_format=torch.channels_last),
        "transposed": torch.randn(3, 4).T,
        "gaps": torch.randn(4, 6)[:, ::2],
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
    }
    laid, orders = as_they_lie(tensors)
    assert set(orders) == {"last", "transposed"}
    assert laid["last"].is_contiguous()
    assert laid["last"].data_ptr() == tensors["last"].data_ptr()
    decoded = as_they_were(decode(encode(laid)), orders)
    for name, tensor in tensors.items():
        assert torch.equal(decoded[name], tensor)
        assert name == "gaps" or decoded[name].stride() == tensor.stride()


@pytest.mark.parametrize("order", [[0, 0], [0], [0, 1, 2], "ab", 7, [1.5, 0], None])
def test_wrong_orders_are_none(order: object) -> None:
    """An order that somebody else wrote is told like bytes that are no tensors."""
    with pytest.raises(UNDECODABLE):
        as_they_were({"w": torch.zeros(2, 3)}, {"w": order})  # type: ignore[dict-item]
