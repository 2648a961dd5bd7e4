"""Output of all commands: control characters are shown as Python writes them."""

from __future__ import annotations

import re
import unicodedata

import click

# All but the printable ASCII, which most texts are made of, a tab and the end of a line.
_OTHERS = re.compile(r"[^\t\n -~]")


def printable(text: str) -> str:
    r"""Escape control characters, bidirectional overrides and lone surrogates, such as ``\x1b``."""
    return _OTHERS.sub(lambda found: _shown(found[0]), text)


def echo(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a text, or a file's bytes as they are, to stdout or stderr."""
    click.echo(text if isinstance(text, bytes) else printable(str(text)), err=err, nl=nl)


def _shown(sign: str) -> str:
    if sign.isprintable() or unicodedata.category(sign) == "Zs":
        return sign
    return sign.encode("unicode_escape").decode()
