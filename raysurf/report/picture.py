"""Writing a picture, by the suffix of its path: PNG, SVG, PDF, or a self-contained HTML page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.figure import Figure

from raysurf.errors import Fault, SpecError, StoreError
from raysurf.report.html import page, table
from raysurf.report.pictures.axes import TRIAL, plain_text
from raysurf.report.runs import MeasuredRun
from raysurf.store.filesystem import replace_file

if TYPE_CHECKING:
    from markupsafe import Markup

SUFFIXES = (".png", ".svg", ".pdf", ".html")
# What each format keeps beside the title; without the time of writing, the same figure gives the same bytes.
METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": "raysurf"},
    "svg": {"Date": None},
    "pdf": {"Creator": "raysurf", "CreationDate": None},
}
DPI = 150
MAX_ROWS = 1000
METRICS = {
    "worst train loss": ("train/max_loss",),
    "Entezari barrier of train loss": ("train/entezari_barrier_loss", "train/barrier_loss"),
    "saddle of train NLL": ("train/saddle_nll",),
    "worst test error": ("test/max_error",),
    "Frankle barrier of test error": ("test/frankle_barrier_error",),
    "length": ("length",),
    "pivots": ("num_pivots",),
}
COLUMNS = {
    "surface": "geometry origin ray point t x y distance split loss nll error failure",
    "epochs": "epoch weights lr train_loss train_error validation_loss validation_error test_loss test_error",
    "predictions": "weights scheme num_samples split accuracy nll brier ece num_examples",
    "activations": "layer neuron label low high share mean std num_draws",
    "inputs": "origin point x y label answer confidence deterministic_answer layer output_mean output_std",
}
LANDMARK_COLUMNS = ("name", "x", "y", "off_plane", "source")


@dataclass(frozen=True)
class Caption:
    """What a page shows beside its picture: how to read it, and what is drawn.

    Args:
        runs: With their labels.
        rows: Of ``table``.
        landmarks: Rows of ``landmarks``, one a landmark.
    """

    says: str = ""
    runs: Sequence[tuple[MeasuredRun, str]] = ()
    rows: Sequence[Mapping[str, Any]] = ()
    landmarks: Sequence[Mapping[str, Any]] = ()
    table: str = "surface"


def check_suffix(path: str) -> None:
    """Check that a picture can be written under this name.

    Raises:
        SpecError: If its suffix is of no known kind.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise SpecError([Fault("output", repr(path), f"a name that ends in {', '.join(SUFFIXES)}")])


def write(figure: Figure, path: str, title: str, caption: Caption | None = None) -> None:
    """Write a picture as its suffix says, whole or not at all; the same figure gives the same bytes.

    The title is kept inside the file; a page shows the caption under the picture.

    Raises:
        SpecError: If the suffix is of no known kind.
        StoreError: If the place cannot be written.
    """
    check_suffix(path)
    suffix = Path(path).suffix.lower()
    if suffix == ".html":
        write_whole(path, _page(title, svg_of(figure, title), caption or Caption()).encode())
    else:
        write_whole(path, _rendered(figure, suffix[1:], title))


def write_whole(path: str, data: bytes) -> None:
    """Write a file, whole or not at all, making its folder.

    Raises:
        StoreError: If the place cannot be written.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, data)
    except OSError as error:
        raise StoreError(path, error.strerror or str(error), "a place where a picture can be written") from error


@plain_text()
def _rendered(figure: Figure, kind: str, title: str) -> bytes:
    sink = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "raysurf"}):
        figure.savefig(sink, format=kind, dpi=DPI, metadata={"Title": title, **METADATA[kind]})
    return sink.getvalue()


SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", XLINK)
# XML has no control characters but the tabulator and the ends of lines.
NO_XML = {code: None for code in range(32) if chr(code) not in "\t\n\r"}


def svg_of(
    figure: Figure, title: str, tips: Mapping[int, str] | None = None, defined: set[str] | None = None, style: str = ""
) -> Markup:
    """A picture as an ``svg`` element of a page, without a size of its own.

    Args:
        figure: The picture; what has the gid ``trial-3`` is marked as trial 3 if there are tips.
        title: Kept inside it.
        tips: By trial.
        defined: Ids of outlines, such as letters, that the page has and this picture leaves out; its own are added.
        style: CSS of the element.
    """
    from markupsafe import Markup

    text = _rendered(figure, "svg", title).decode().translate(NO_XML)
    root = ElementTree.fromstring(text)
    for name in ("width", "height"):
        del root.attrib[name]
    if style:
        root.set("style", style)
    for metadata in root.findall(f"{{{SVG}}}metadata"):
        root.remove(metadata)
    for group in root.iter(f"{{{SVG}}}g"):
        kind, _, number = group.attrib.pop("id", "").partition("-")
        if tips and f"{kind}-" == TRIAL:
            number = number.partition("-")[0]
            group.attrib |= {"class": "trial", "data-trial": number}
            group.text = None
            tip = ElementTree.Element(f"{{{SVG}}}title")
            tip.text = tips.get(int(number), "").translate(NO_XML)
            group.insert(0, tip)
    defined = set() if defined is None else defined
    for definitions in root.iter(f"{{{SVG}}}defs"):
        for outline in definitions.findall(f"{{{SVG}}}path"):
            if outline.attrib["id"] in defined:
                definitions.remove(outline)
            defined.add(outline.attrib["id"])
    for element in root.iter():
        for name in {"d", "x", "y"}.intersection(element.attrib):
            element.set(name, " ".join(map(_shortened, element.attrib[name].split())))
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _shortened(word: str) -> str:
    """A number of pixels without more decimals than can be seen."""
    return f"{float(word):.2f}".rstrip("0").rstrip(".") if "." in word else word


def _page(title: str, svg: Markup, caption: Caption) -> str:
    opened = []
    if caption.landmarks:
        listed = [[row[name] for name in LANDMARK_COLUMNS] for row in caption.landmarks]
        opened.append((f"{len(listed)} landmarks", table(LANDMARK_COLUMNS, listed)))
    if rows := caption.rows:
        labels = {run.run_id: label for run, label in caption.runs}
        kept = [name for name in COLUMNS[caption.table].split() if any(row[name] is not None for row in rows)]
        lines = [[labels.get(row["run_id"], row["run_id"]), *(row[name] for name in kept)] for row in rows[:MAX_ROWS]]
        what = f"the {len(rows)} rows that are drawn"
        if len(lines) < len(rows):
            what = f"the first {len(lines)} of {what} (all of them: raysurf table {caption.table})"
        opened.append((what, table(("drawn", *kept), lines)))
    runs = _runs(caption.runs) if caption.runs else ""
    return page("picture.html.jinja", title, styles=["style.css"], svg=svg, says=caption.says, runs=runs, opened=opened)


def _runs(runs: Sequence[tuple[MeasuredRun, str]]) -> Markup:
    """What was drawn, a line a run, with the metrics that any of them has."""
    metrics = {
        name: [next((run.metrics[key] for key in keys if key in run.metrics), None) for run, _ in runs]
        for name, keys in METRICS.items()
    }
    kept = {name: values for name, values in metrics.items() if any(value is not None for value in values)}
    lines = [
        [label, *own, ", ".join(run.sweeps), run.model, run.data, run.seed, run.run_id]
        for (run, label), *own in zip(runs, *kept.values(), strict=True)
    ]
    return table(("drawn", *kept, "sweep", "model", "data set", "seed", "run"), lines)
