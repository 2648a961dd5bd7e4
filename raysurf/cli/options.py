"""Options that several commands share."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from raysurf.cli.output import echo
from raysurf.errors import PlugWarning, StoreWarning

F = TypeVar("F", bound=Callable[..., Any])

results_option = click.option(
    "--results", default="results", show_default=True, help="Address of the result store, a folder or a URI."
)
cluster_address = click.option(
    "--address",
    envvar=["RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"],
    default="http://127.0.0.1:8265",
    show_default=True,
    help="Address of the cluster's dashboard; else $RAY_API_SERVER_ADDRESS or $RAY_ADDRESS.",
)


def format_option(formats: Sequence[str] = ("table", "json"), help: str = "Output format.") -> Callable[[F], F]:
    """The option ``--format``, passed as ``style``; the first format is the default."""
    choice = click.Choice(formats)
    return click.option("--format", "style", type=choice, default=formats[0], show_default=True, help=help)


# Warnings that are printed in a line, each once.
PRINTED = (StoreWarning, PlugWarning)


@contextmanager
def printed_warnings() -> Iterator[None]:
    """Print warnings about what is left out on stderr, each once."""
    with warnings.catch_warnings():
        for kind in PRINTED:
            warnings.simplefilter("always", kind)
        shown: set[str] = set()
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if not issubclass(category, PRINTED):
                others(message, category, *rest, **more)
            elif str(message) not in shown:
                shown.add(str(message))
                echo(f"warning: {message}", err=True)

        warnings.showwarning = show
        yield


def _be_strict(context: click.Context, option: click.Parameter, value: bool) -> None:
    if value:
        context.with_resource(warnings.catch_warnings())
        warnings.simplefilter("error", StoreWarning)


def strict(command: F) -> F:
    """Add the option ``--strict`` to a command that reads tables."""
    text = "Fail on an unreadable file of a table, instead of leaving it out with a warning."
    return click.option("--strict", is_flag=True, expose_value=False, callback=_be_strict, help=text)(command)
