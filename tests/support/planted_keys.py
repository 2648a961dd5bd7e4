"""Keys that stand in an environment, and the files that hold one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "WANDB_API_KEY",
    "HF_TOKEN",
    "GITHUB_TOKEN",
    "OPENAI_API_KEY",
    "AZURE_STORAGE_KEY",
    "DATABASE_PASSWORD",
)


def holders(keys: Sequence[str], *places: Path) -> list[str]:
    """The files below some folders that hold one of the keys."""
    paths = []
    for path in (path for place in places for path in place.rglob("*") if path.is_file()):
        data = path.read_bytes()
        paths += [str(path) for key in keys if key.encode() in data]
    return paths
