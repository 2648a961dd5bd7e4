"""The pictures of a page: each an ``svg`` element, or data that plotly draws, with a sentence on how to read it."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from raysurf.report.picture import svg_of

GLYPH = re.compile(r'\s*<path id="(?P<id>[A-Za-z0-9]+-[0-9a-f]+)"[^>]*?/>', re.DOTALL)
COMMENT = re.compile(r"\s*<!--.*?-->", re.DOTALL)
MARKED = re.compile(r'<g id="trial-(\d+)(?:-\d+)?">')
# Not the scale of letters, which is small.
NUMBER = re.compile(r"(?<![\w.#-])(?<!scale\()-?\d+\.\d{3,}(?![\w.])")
TRIAL = "trial-"
# Inches; narrower figures do not take the page's whole width.
WIDEST = 9.0


class Gallery:
    """Turns figures into HTML; what one picture has defined, such as a letter's outline, later ones do not repeat.

    Args:
        is_interactive: Whether sections may hand it plotly's figures.
    """

    def __init__(self, is_interactive: bool = False) -> None:
        self.is_interactive = is_interactive
        self.drawn: list[dict[str, Any]] = []
        self._glyphs: set[str] = set()
        self._count = 0

    def picture(
        self, figure: Figure, title: str, says: str, *, tips: Mapping[int, str] | None = None, is_map: bool = False
    ) -> str:
        """A figure as HTML.

        Args:
            figure: The figure; artists whose gid is ``trial-3`` show the tip of trial 3.
            title: What it is called by screen readers.
            says: What stands under it.
            tips: By trial.
            is_map: Whether its colours mean values, so that a dark page leaves them as they are.
        """
        self._count += 1
        if not is_map:
            # The page's own ground, light or dark, shows through.
            figure.patch.set_visible(False)
            for panel in figure.axes:
                panel.patch.set_visible(False)
        with plain_text():
            svg = svg_of(figure, title)
        svg = COMMENT.sub("", svg)
        svg = GLYPH.sub(self._once, svg)
        svg = NUMBER.sub(lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), svg)
        if tips:
            svg = MARKED.sub(lambda found: _marked(int(found[1]), tips), svg)
        svg = re.sub(r'<g id="(?!trial)[a-z_]+_\d+">', "<g>", svg)
        # Letters of a narrow picture are not larger than those of a wide one.
        svg = svg.replace("<svg", f'<svg style="--share: {min(1.0, figure.get_figwidth() / WIDEST):.2f}"', 1)
        kind = "picture map" if is_map else "picture"
        return _figure(f'<div class="{kind}" role="img" aria-label="{escape(title)}" tabindex="0">{svg}</div>', says)

    def plotly(
        self,
        data: Sequence[Mapping[str, Any]],
        layout: Mapping[str, Any],
        title: str,
        says: str,
        *,
        is_map: bool = False,
    ) -> str:
        """A figure for plotly to draw, as HTML.

        Args:
            data: Its traces.
            layout: Its layout.
            title: What it is called by screen readers.
            says: What stands under it.
            is_map: Whether its colours mean values, so that a dark page leaves them as they are.
        """
        name = f"plotly{len(self.drawn)}"
        self.drawn.append({"id": name, "data": list(data), "layout": dict(layout)})
        named = len(data) if layout.get("showlegend", True) else 0
        height = int(layout.get("height", 400 + 10 * named))
        kind = "plotly map" if is_map else "plotly"
        place = f'<div id="{name}" class="{kind}" style="height: {height}px" aria-label="{escape(title)}"></div>'
        return _figure(place, says)

    def data(self) -> str:
        """All of plotly's figures as JSON that may stand in a page's script."""
        text = json.dumps(self.drawn, allow_nan=False, separators=(",", ":"))
        return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")

    def _once(self, found: re.Match[str]) -> str:
        if found["id"] in self._glyphs:
            return ""
        self._glyphs.add(found["id"])
        return found[0]


def plotly_text(text: str) -> str:
    """Text that plotly, which reads a few tags in what it shows, shows as it is; lines stay lines."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", "<br>")


@contextmanager
def plain_text() -> Iterator[None]:
    """While it lasts figures take text as it is: no formulae in it, no warnings of letters that a font lacks."""
    with matplotlib.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        yield


def _marked(trial: int, tips: Mapping[int, str]) -> str:
    return f'<g class="trial" data-trial="{trial}"><title>{escape(tips.get(trial, ""))}</title>'


def _figure(inner: str, says: str) -> str:
    return f"<figure>{inner}{f'<figcaption>{escape(says)}</figcaption>' if says else ''}</figure>"
