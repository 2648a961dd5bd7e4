"""The option that says which cluster a command speaks to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., Any]


def cluster_address(command: Command) -> Command:
    """Add ``--address``, with the defaults of Ray's own command line."""
    return click.option(
        "--address",
        envvar=["RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"],
        default="http://127.0.0.1:8265",
        show_default=True,
        help="Of the cluster's dashboard; else $RAY_API_SERVER_ADDRESS or $RAY_ADDRESS.",
    )(command)
