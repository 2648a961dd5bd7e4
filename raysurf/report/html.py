"""Pages and their parts as HTML, from the templates beside this file; whatever stands in a row is text there."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

# A page loads nothing, and runs no script but its own.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("raysurf.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["said"] = said
    templates.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return templates


def part(name: str, /, *values: Any, **named: Any) -> Markup:
    """A part of a page: a macro of ``parts.html.jinja``, called with values that it escapes."""
    from markupsafe import Markup

    return Markup(getattr(_templates().get_template("parts.html.jinja").module, name)(*values, **named))


def page(
    template: str, title: str, *, styles: Sequence[str], scripts: Sequence[str] = (), policy: str = "", **values: Any
) -> str:
    """A whole page, from a template that extends ``page.html.jinja`` and shows further values.

    Args:
        styles: Files of CSS in this folder.
        scripts: Texts of scripts.
        policy: Where images may come from besides data.
    """
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = "; script-src " + " ".join(f"'sha256-{digest}'" for digest in hashes) if scripts else ""
    style, policy = "".join(map(text_of, styles)), f"{POLICY}{policy}{allowed}"
    values |= {"title": title, "style": style, "scripts": scripts, "policy": policy}
    return _templates().get_template(template).render(values)


def text_of(name: str) -> str:
    """A file of this folder."""
    return files("raysurf.report").joinpath(name).read_text(encoding="utf-8")


def table(names: Sequence[str], lines: Sequence[Sequence[Any]], name: str = "", trials: Sequence[Any] = ()) -> Markup:
    """A table; numbers stand to the right, and a value that is not there is an empty cell.

    ``name`` is the class of the table; ``trials`` are those that the lines are of, whose tips they have.
    """
    is_number = [any(isinstance(line[i], int | float) for line in lines) for i in range(len(names))]
    return part("table", names, lines, is_number, name, trials)


def said(value: Any) -> str:
    """A value as text: of a real number five digits, of nothing nothing."""
    if isinstance(value, list | tuple):
        return ", ".join(map(said, value))
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(value)
