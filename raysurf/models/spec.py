"""How a network is named in a job."""

from __future__ import annotations

from typing import Any

from raysurf.values import Value


class ModelSpec(Value):
    """A network: a name of ours, one of torchvision's, or ``package.module:function``; and its builder's options."""

    name: str
    options: dict[str, bool | int | float | str] = {}

    @staticmethod
    def parse(value: Any) -> Any:
        """Read the short form: a bare name."""
        return {"name": value} if isinstance(value, str) else value
