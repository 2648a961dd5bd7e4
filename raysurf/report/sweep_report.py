"""The report of sweeps: one self-contained HTML page, from the rows so far."""

from __future__ import annotations

import base64
import hashlib
import re
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from html import escape
from importlib.resources import files
from pathlib import Path

from raysurf.errors import Fault, SpecError, StoreError, StoreUnavailableError, StoreWarning
from raysurf.report.gallery import Gallery
from raysurf.report.page_html import document
from raysurf.report.page_script import PLOTLY_SCRIPT, SCRIPT
from raysurf.report.page_style import REPORT_STYLE, STYLE
from raysurf.report.picture import write_whole
from raysurf.report.sections.calibration import calibration
from raysurf.report.sections.learning import learning
from raysurf.report.sections.search import importance, parallel_coordinates, search_history
from raysurf.report.sections.summary import provenance, summary
from raysurf.report.sections.surfaces import TITLES, surfaces
from raysurf.report.sections.tables import best_trials, comparisons, failed_runs, trials_table
from raysurf.report.sweep_rows import SweepRows, sweep_rows
from raysurf.results.reader import Reader
from raysurf.results.snapshot import Snapshot
from raysurf.store.parts import made_of_rows

# A section that finds nothing in the rows of a sweep is left out.
OF_A_SWEEP: tuple[tuple[str, Callable[[Reader, SweepRows, Gallery], str]], ...] = (
    ("Summary", lambda results, sweep, gallery: summary(sweep)),
    ("Best trials", lambda results, sweep, gallery: best_trials(sweep)),
    ("Search history", lambda results, sweep, gallery: search_history(sweep, gallery)),
    ("Importance", lambda results, sweep, gallery: importance(sweep, gallery)),
    ("Parallel coordinates", lambda results, sweep, gallery: parallel_coordinates(sweep, gallery)),
    ("Learning curves", learning),
    *(
        (title, lambda results, sweep, gallery, name=name: surfaces(results, sweep, gallery, name))
        for name, title in TITLES.items()
    ),
    ("Calibration", calibration),
    ("Trials", lambda results, sweep, gallery: trials_table(sweep)),
)


def write_report(results: Reader, sweeps: Sequence[str], path: str, *, is_interactive: bool = False) -> None:
    """Write the report of some sweeps.

    Args:
        results: The store.
        sweeps: Their names, in the order in which the page has them.
        path: Where the page goes; its name ends in .html.
        is_interactive: Whether pictures that plotly can draw are drawn by it, in the browser.

    Raises:
        SpecError: If the path is of another suffix.
        UnknownNameError: If there is no such sweep.
        StoreError: If rows cannot be read, or the page cannot be written.
    """
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise SpecError([Fault("output", repr(path), "a name that ends in .html")])
    write_whole(path, report_page(results, sweeps, is_interactive=is_interactive).encode("utf-8", "replace"))


def report_page(results: Reader, sweeps: Sequence[str], *, is_interactive: bool = False) -> str:
    """The page, as HTML; see ``write_report``."""
    results, gallery = Snapshot(results.store), Gallery(is_interactive)
    names = list(dict.fromkeys(sweeps))
    read = [sweep_rows(results, name) for name in names]
    links: list[str] = []
    parts: list[str] = []
    for number, sweep in enumerate(read):
        inner = _sections(
            f"s{number}",
            [(title, _section(results, title, partial(of, results, sweep, gallery))) for title, of in OF_A_SWEEP],
            links,
        )
        heading = f"<h2>{escape(sweep.name)}</h2>" if len(read) > 1 else ""
        parts.append(f"<article>{heading}{inner}</article>")
    shared = [
        (title, _section(results, title, make))
        for title, make in (
            ("Beside published figures", partial(comparisons, results, names)),
            ("What failed", partial(failed_runs, results, names)),
            ("Provenance", partial(provenance, results, read)),
        )
    ]
    shared_links: list[str] = []
    parts.append(_sections("all", shared, shared_links))
    title = f"{', '.join(names)}: report"
    made = f"Made by raysurf on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC from the rows in {results.store.uri}."
    if len(read) > 1:
        links = [f'<a href="#s{number}-0">{escape(sweep.name)}</a>' for number, sweep in enumerate(read)]
    nav = f'<nav aria-label="Contents">{" ".join(links + shared_links)}</nav>'
    return _document(title, f"<h1>{escape(title)}</h1>{nav}{''.join(parts)}<footer>{escape(made)}</footer>", gallery)


def _section(results: Reader, title: str, make: Callable[[], str]) -> str:
    """Draw a section; if its rows are malformed, say so in its place."""
    try:
        with made_of_rows(results.store.uri, f"the section {title!r}"):
            return make()
    except StoreUnavailableError:
        raise
    except StoreError as error:
        warnings.warn(StoreWarning(str(error)), stacklevel=2)
        return f"<p>Left out: {escape(error.got)}.</p>"


def _sections(name: str, sections: Sequence[tuple[str, str]], links: list[str]) -> str:
    found = [(f"{name}-{i}", title, inner) for i, (title, inner) in enumerate(sections) if inner]
    links += [f'<a href="#{anchor}">{escape(title)}</a>' for anchor, title, _ in found]
    return "".join(
        f'<section id="{anchor}"><h2>{escape(title)}</h2>{inner}</section>' for anchor, title, inner in found
    )


def _document(title: str, body: str, gallery: Gallery) -> str:
    """The page around its body. Its policy lets it load nothing, and run its own scripts alone."""
    scripts = [SCRIPT]
    data = ""
    if gallery.drawn:
        scripts += [_plotly(), PLOTLY_SCRIPT]
        data = f'<script type="application/json" id="figures">{gallery.data()}</script>'
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'" for each in scripts
    )
    scripted = "".join(f"<script>{each}</script>" for each in scripts)
    return document(
        title, f"{STYLE}{REPORT_STYLE}", f"img-src data: blob:; script-src {hashes}", f"{body}\n{data}{scripted}"
    )


def _plotly() -> str:
    """The library's own file, without the end of a script in it."""
    text = files("plotly").joinpath("package_data/plotly.min.js").read_text(encoding="utf-8")
    return re.sub(r"</(script)", r"<\\/\1", text, flags=re.IGNORECASE)
