"""The pictures of a page: each an ``svg`` element, or data that plotly draws, with a sentence on how to read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from raysurf.report.html import part
from raysurf.report.picture import svg_of
from raysurf.report.pictures.axes import Plotted

if TYPE_CHECKING:
    from markupsafe import Markup

# Inches; narrower figures do not take the page's whole width.
WIDEST = 9.0


class Gallery:
    """Turns figures into HTML; an interactive one leaves to plotly what it can draw."""

    def __init__(self, is_interactive: bool = False) -> None:
        self.is_interactive = is_interactive
        self.drawn: list[dict[str, Any]] = []
        self._defined: set[str] = set()

    def picture(
        self,
        title: str,
        says: str,
        figure: Callable[[], Figure],
        plotly: Callable[[], Iterable[Plotted]] | None = None,
        *,
        tips: Mapping[int, str] | None = None,
        is_map: bool = False,
    ) -> Markup:
        """A picture as HTML.

        Args:
            title: What it is called by screen readers.
            says: What stands under it.
            figure: Draws it; artists whose gid is ``trial-3`` show the tip of trial 3.
            plotly: Traces and layout of the figures that plotly draws instead, one below another.
            tips: By trial.
            is_map: Whether its colours mean values, so that a dark page leaves them as they are.
        """
        from markupsafe import Markup

        if plotly is None or not self.is_interactive:
            drawn = figure()
            if not is_map:
                # The page's own ground, light or dark, shows through.
                for patch in (drawn.patch, *(panel.patch for panel in drawn.axes)):
                    patch.set_visible(False)
            # Letters of a narrow picture are not larger than those of a wide one.
            style = f"--share: {min(1.0, drawn.get_figwidth() / WIDEST):.2f}"
            return part("figure", title, says, svg_of(drawn, title, tips, self._defined, style), is_map)
        plotted = list(plotly())
        captions = [""] * (len(plotted) - 1) + [says]
        parts = []
        for (data, layout), caption in zip(plotted, captions, strict=True):
            name = f"plotly{len(self.drawn)}"
            self.drawn.append({"id": name, "data": data, "layout": layout})
            named = len(data) if layout.get("showlegend", True) else 0
            parts.append(part("plotly", title, caption, name, layout.get("height", 400 + 10 * named), is_map))
        return Markup().join(parts)
