"""What is left out of a store, told in a line each; with ``--strict`` it is an error."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from raysurf.cli.echo import echo
from raysurf.errors import StoreWarning

F = TypeVar("F", bound=Callable[..., Any])


@contextmanager
def told_warnings() -> Iterator[None]:
    """Tell what is left out of a store on stderr, each thing once."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", StoreWarning)
        told: set[str] = set()
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if not issubclass(category, StoreWarning):
                others(message, category, *rest, **more)
            elif str(message) not in told:
                told.add(str(message))
                echo(f"warning: {message}", err=True)

        warnings.showwarning = show
        yield


def _be_strict(context: click.Context, option: click.Parameter, value: bool) -> None:
    if value:
        context.with_resource(warnings.catch_warnings())
        warnings.simplefilter("error", StoreWarning)


def strict(command: F) -> F:
    """Give a command that reads tables the option ``--strict``."""
    text = "Fail if a file of a table cannot be read, instead of leaving it out with a warning."
    return click.option("--strict", is_flag=True, expose_value=False, callback=_be_strict, help=text)(command)
