"""A renderer of formulas as MathML, which browsers draw themselves: no MathJax of 2 MB, no LaTeX, no network."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx


def _draw(display: str) -> Any:
    def visit(translator: Any, node: nodes.Element) -> None:
        formula = convert(node.astext(), display=display)
        translator.body.append(formula if display == "inline" else f'<div class="math">{formula}</div>')
        raise nodes.SkipNode

    return visit


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the renderer ``mathml``."""
    app.add_html_math_renderer("mathml", (_draw("inline"), None), (_draw("block"), None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
