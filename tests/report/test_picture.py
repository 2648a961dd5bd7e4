"""Writing pictures: by suffix, whole or not at all, and pages that need nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from raysurf.errors import SpecError, StoreError
from raysurf.report.picture import MAX_ROWS, Caption, write
from raysurf.report.pictures.lines import profile_figure
from raysurf.report.runs import MeasuredRun
from raysurf.report.sweep_rows import sweep_rows
from tests.support.measured_rows import along, picture, points, run, run_id, store, trial
from tests.support.page import Page

RUN = MeasuredRun(
    run_id("profile"),
    ("study",),
    model="vgg16",
    data="cifar10",
    seed=3,
    metrics={"train/max_loss": 1.25, "length": 7.5},
)
ROWS = points(RUN.run_id, "curve", along(5, 8.0), lambda place: 1.0)


def figure() -> Figure:
    return profile_figure(picture(ROWS, RUN))


def written(tmp_path: Path, caption: Caption, title: str = "a title") -> str:
    path = tmp_path / "a.html"
    write(figure(), str(path), title, caption)
    return path.read_text()


def test_suffix_says_as_what(tmp_path: Path) -> None:
    """PNG, SVG, PDF and HTML are what their suffix says, with the title inside; the same rows give the same bytes."""
    for name in ("a.png", "a.SVG", "a.pdf", "a.html"):
        for folder in ("deep", "again"):
            write(figure(), str(tmp_path / folder / name), "a title", Caption(rows=ROWS))
        assert (tmp_path / "deep" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    with Image.open(tmp_path / "deep" / "a.png") as image:
        assert (image.format, image.info["Title"]) == ("PNG", "a title")
    assert "<dc:title>a title</dc:title>" in (tmp_path / "deep" / "a.SVG").read_text()
    pdf = (tmp_path / "deep" / "a.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-") and b"/Title (a title)" in pdf and b"/CreationDate" not in pdf
    assert (tmp_path / "deep" / "a.html").read_text().startswith("<!doctype html>")
    assert len(list((tmp_path / "deep").iterdir())) == 4


@pytest.mark.parametrize("name", ["a.eps", "a", "png"])
def test_unknown_suffix(name: str, tmp_path: Path) -> None:
    """Another suffix is an error that names those that there are, and nothing is written."""
    with pytest.raises(SpecError, match=r"got '.*'; expected a name that ends in \.png, \.svg, \.pdf, \.html"):
        write(figure(), str(tmp_path / name), "a title")
    assert not list(tmp_path.iterdir())


def test_place_that_cannot_be_written(tmp_path: Path) -> None:
    """A folder of the picture's name is an error, and nothing is left beside it."""
    (tmp_path / "a.png").mkdir()
    with pytest.raises(StoreError, match="expected a place where a picture can be written"):
        write(figure(), str(tmp_path / "a.png"), "a title")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_page_needs_nothing_else(tmp_path: Path) -> None:
    """It has the picture inside, no script, no address of anything outside, and a policy that forbids both."""
    text = written(tmp_path, Caption("what it shows", [(RUN, "curve")], ROWS))
    page = Page(text)
    page.require_alone()
    assert page.tags.count("svg") == 1
    assert "script" not in page.tags
    assert re.search(r"<svg(?![^>]* (width|height)=)[^>]* viewBox=", text)


def test_page_says_what_it_shows(tmp_path: Path) -> None:
    """Caption, sweep, network, data, run and the metrics that there are; and every row, in a part that opens."""
    page = Page(written(tmp_path, Caption("what it shows", [(RUN, "curve")], ROWS)))
    said = ("a title", "what it shows", "study", "vgg16", "cifar10", RUN.run_id, "worst train loss", "1.25", "7.5")
    assert [text for text in said if text not in page.text] == []
    assert "barrier" not in page.text
    assert page.tags.count("details") == 1
    assert page.tags.count("tr") == 2 + 1 + len(ROWS)


def test_older_barriers_keep_their_meaning(tmp_path: Path) -> None:
    """What a run of before called its barrier is shown as Entezari's; a run that has both names shows it once."""
    older, newer = run_id("profile", 1), run_id("profile", 2)
    runs = [
        run(older, sweep="s", trial=0, metrics='{"train/barrier_loss": 0.5}'),
        run(newer, sweep="s", trial=1, metrics='{"train/barrier_loss": 0.25, "train/entezari_barrier_loss": 0.25}'),
    ]
    trials = [trial("s", [name]) | {"trial": number} for number, name in enumerate((older, newer))]
    sweep = sweep_rows(store(tmp_path / "r", runs, trials=trials), "s")
    assert [trial.metrics for trial in sweep.trials] == [{"train/entezari_barrier_loss": v} for v in (0.5, 0.25)]
    drawn = MeasuredRun(older, ("s",), metrics={"train/barrier_loss": 0.5})
    assert "Entezari barrier of train loss" in Page(written(tmp_path, Caption("", [(drawn, "line")], ROWS))).text


def test_long_tables_are_cut_and_say_so(tmp_path: Path) -> None:
    """Of very many rows the page has the first, and says how many there are."""
    many = ROWS * (MAX_ROWS // len(ROWS) + 1)
    page = Page(written(tmp_path, Caption(rows=many)))
    assert f"the first {MAX_ROWS} of the {len(many)} rows" in page.text
    assert page.tags.count("tr") == 1 + MAX_ROWS


def test_names_cannot_break_a_page(tmp_path: Path) -> None:
    """Text from rows is text, whatever is in it."""
    evil = "<script>alert(1)</script>"
    run = MeasuredRun(RUN.run_id, (evil,), model=evil)
    page = Page(written(tmp_path, Caption(evil, [(run, evil)]), title=evil))
    assert "script" not in page.tags
    assert page.text.count("alert(1)") >= 5


def test_text_is_no_formula(tmp_path: Path) -> None:
    """Names with dollars, letters that no font has and characters that no XML has are drawn, in every format."""
    odd = "a $\\frac{$ \x07 -- 漢"
    for suffix in ("png", "svg", "pdf", "html"):
        path = tmp_path / f"a.{suffix}"
        write(profile_figure(picture(ROWS, RUN, labels=[odd], title=odd)), str(path), odd, Caption(odd, [(RUN, odd)]))
        assert path.stat().st_size > 1000
    assert "a $\\frac{$" in Page(path.read_text()).text
