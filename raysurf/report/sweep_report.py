"""The report of sweeps: one self-contained HTML page, from the rows so far."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from raysurf.errors import Fault, SpecError, StoreError, StoreUnavailableError, StoreWarning
from raysurf.report.gallery import Gallery
from raysurf.report.html import page, part, text_of
from raysurf.report.picture import write_whole
from raysurf.report.sections.calibration import calibration
from raysurf.report.sections.learning import learning
from raysurf.report.sections.search import importance, parallel_coordinates, search_history
from raysurf.report.sections.summary import provenance, summary
from raysurf.report.sections.surfaces import TITLES, surfaces
from raysurf.report.sections.tables import best_trials, comparisons, failed_runs, trials_table
from raysurf.report.sweep_rows import sweep_rows
from raysurf.results.reader import Reader
from raysurf.results.snapshot import Snapshot
from raysurf.store.parts import made_of_rows

# Makes a section; empty if the rows have nothing for it, and then it is left out.
Make = Callable[[], Markup]


def write_report(results: Reader, sweeps: Sequence[str], path: str, *, is_interactive: bool = False) -> None:
    """Write the report of some sweeps, in this order, to an .html file; plotly draws what it can if it is interactive.

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
    read = [sweep_rows(results, name) for name in dict.fromkeys(sweeps)]
    names = [sweep.name for sweep in read]
    articles = []
    for number, sweep in enumerate(read):
        sections: dict[str, Make] = {
            "Summary": partial(summary, sweep),
            "Best trials": partial(best_trials, sweep),
            "Search history": partial(search_history, sweep, gallery),
            "Importance": partial(importance, sweep, gallery),
            "Parallel coordinates": partial(parallel_coordinates, sweep, gallery),
            "Learning curves": partial(learning, results, sweep, gallery),
            **{title: partial(surfaces, results, sweep, gallery, name) for name, title in TITLES.items()},
            "Calibration": partial(calibration, results, sweep, gallery),
            "Trials": partial(trials_table, sweep),
        }
        articles.append((sweep.name, _sections(results, f"s{number}", sections)))
    shared: dict[str, Make] = {
        "Beside published figures": partial(comparisons, results, names),
        "What failed": partial(failed_runs, results, names),
        "Provenance": partial(provenance, results, read),
    }
    last = _sections(results, "all", shared)
    links = [(id, heading) for id, heading, _ in articles[0][1]] if articles else []
    if len(read) > 1:
        links = [(f"s{number}-0", sweep.name) for number, sweep in enumerate(read)]
    scripts = [text_of("page.js")]
    if gallery.drawn:
        # The library's own file, without the end of a script in it.
        library = files("plotly").joinpath("package_data/plotly.min.js").read_text(encoding="utf-8")
        scripts += [re.sub(r"</(script)", r"<\\/\1", library, flags=re.IGNORECASE), text_of("plotly.js")]
    return page(
        "report.html.jinja",
        f"{', '.join(names)}: report",
        styles=["style.css", "report.css"],
        scripts=scripts,
        policy=" blob:",
        links=[*links, *((id, heading) for id, heading, _ in last)],
        sweeps=articles,
        shared=last,
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        uri=results.store.uri,
        figures=gallery.drawn,
    )


def _sections(results: Reader, name: str, sections: dict[str, Make]) -> list[tuple[str, str, Markup]]:
    """Id, heading and content of the sections that are not empty; of malformed rows what is wrong in their place."""
    made = []
    for number, (heading, make) in enumerate(sections.items()):
        try:
            with made_of_rows(results.store.uri, f"the section {heading!r}"):
                content = make()
        except StoreUnavailableError:
            raise
        except StoreError as error:
            warnings.warn(StoreWarning(str(error)), stacklevel=2)
            content = part("left_out", error.got)
        if content:
            made.append((f"{name}-{number}", heading, content))
    return made
