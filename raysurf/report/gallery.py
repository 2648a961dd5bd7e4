"""The pictures of a page: each an ``svg`` element, or data that plotly draws, with a sentence on how to read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from raysurf.report.html import part
from raysurf.report.picture import svg_of

if TYPE_CHECKING:
    from markupsafe import Markup

# Inches; narrower figures do not take the page's whole width.
WIDEST = 9.0


class Gallery:
    """Turns figures into HTML.

    Args:
        is_interactive: Whether sections may hand it plotly's figures.
    """

    def __init__(self, is_interactive: bool = False) -> None:
        self.is_interactive = is_interactive
        self.drawn: list[dict[str, Any]] = []
        self._defined: set[str] = set()

    def picture(
        self, figure: Figure, title: str, says: str, *, tips: Mapping[int, str] | None = None, is_map: bool = False
    ) -> Markup:
        """A figure as HTML.

        Args:
            figure: The figure; artists whose gid is ``trial-3`` show the tip of trial 3.
            title: What it is called by screen readers.
            says: What stands under it.
            tips: By trial.
            is_map: Whether its colours mean values, so that a dark page leaves them as they are.
        """
        if not is_map:
            # The page's own ground, light or dark, shows through.
            for patch in (figure.patch, *(panel.patch for panel in figure.axes)):
                patch.set_visible(False)
        # Letters of a narrow picture are not larger than those of a wide one.
        style = f"--share: {min(1.0, figure.get_figwidth() / WIDEST):.2f}"
        return part("figure", title, says, svg_of(figure, title, tips, self._defined, style), is_map)

    def plotly(
        self,
        data: Sequence[Mapping[str, Any]],
        layout: Mapping[str, Any],
        title: str,
        says: str,
        *,
        is_map: bool = False,
    ) -> Markup:
        """A figure for plotly to draw, its traces and layout, as HTML; see ``picture``."""
        name = f"plotly{len(self.drawn)}"
        self.drawn.append({"id": name, "data": list(data), "layout": dict(layout)})
        named = len(data) if layout.get("showlegend", True) else 0
        return part("plotly", title, says, name, int(layout.get("height", 400 + 10 * named)), is_map)
