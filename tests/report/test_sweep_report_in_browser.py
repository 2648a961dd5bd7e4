"""The report in a real browser: it renders without an error, and its filter, its order and its tips work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.browser import Browser, needs_chromium

pytestmark = needs_chromium
NUM_TRIALS = 30
SHOWN = "[...document.querySelectorAll('table.trials tbody tr')].filter(row => row.offsetHeight > 0)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as running:
        yield running


@pytest.fixture(scope="module")
def phone() -> Iterator[Browser]:
    with Browser(390, 844) as running:
        yield running


@pytest.fixture(params=["plain", "interactive"])
def shown(request: pytest.FixtureRequest, browser: Browser, pages: Path) -> Iterator[Browser]:
    """Either page, whose console must stay silent and which may ask for nothing but itself."""
    browser.said.clear()
    browser.requests.clear()
    browser.open(pages / f"{request.param}.html")
    yield browser
    assert browser.said == []
    assert browser.requests == [(pages / f"{request.param}.html").as_uri()]


def test_pictures_are_drawn(shown: Browser) -> None:
    """Every picture has an extent, whether it is SVG or plotly's."""
    assert shown.ask("document.querySelectorAll('.picture > svg').length") >= 2
    assert shown.ask(
        "[...document.querySelectorAll('.picture > svg')].every(e => e.getBoundingClientRect().height > 50)"
    )
    places = shown.ask("document.querySelectorAll('.plotly').length")
    assert shown.ask(
        "document.querySelectorAll('.plotly .main-svg').length >= document.querySelectorAll('.plotly').length"
    )
    assert (places > 0) == shown.ask("typeof Plotly === 'object'")


def test_filter(shown: Browser) -> None:
    """Words that are typed leave the trials that have all of them, in any column or in their tip."""
    assert shown.ask(f"{SHOWN}.length") == NUM_TRIALS
    shown.click(".filter input")
    shown.write("failed diverged")
    assert shown.ask(f"{SHOWN}.map(row => row.dataset.trial)") == ["24"]
    assert shown.ask("document.querySelector('.filter output').textContent") == f"1 of {NUM_TRIALS}"


def test_order(shown: Browser) -> None:
    """A click on a heading sorts by its column, another the other way; lines without a value stay last."""
    column = "document.querySelectorAll('table.trials tbody td:nth-child(3)')"
    values = f"[...{column}].map(cell => cell.textContent)"
    for sign in (1, -1):
        shown.click("table.trials th:nth-child(3) button")
        *texts, last = shown.ask(values)
        assert last == ""
        numbers = [sign * float(text) for text in texts]
        assert numbers == sorted(numbers) and len(set(numbers)) > 20


def test_tip_of_a_line(shown: Browser) -> None:
    """A line that is pointed at shows its trial's values, and lets go of them."""
    shown.point_at('table.trials tr[data-trial="3"] td')
    assert shown.ask("document.getElementById('tip').hidden") is False
    text = shown.ask("document.getElementById('tip').textContent")
    assert text.startswith("trial 3: variational, done\n") and "momentum = " in text and "init = " in text
    shown.point_at("h1")
    assert shown.ask("document.getElementById('tip').hidden") is True


def test_tip_of_a_dot(browser: Browser, pages: Path) -> None:
    """A dot of the history that is pointed at shows the same, and marks the trial's line in the table."""
    browser.open(pages / "plain.html")
    browser.point_at('section g.trial[data-trial="7"] use')
    assert browser.ask("document.getElementById('tip').textContent").startswith("trial 7: variational, done\n")
    assert browser.ask("document.querySelector('table.trials tr.pointed').dataset.trial") == "7"


def test_dark_page(browser: Browser, pages: Path) -> None:
    """A page in the dark is dark, and its planes keep their colours."""
    browser.media(dark=True)
    browser.open(pages / "plain.html")
    assert browser.ask("getComputedStyle(document.body).backgroundColor") == "rgb(22, 23, 24)"
    assert "invert" in browser.ask("getComputedStyle(document.querySelector('.picture:not(.map) svg')).filter")
    assert browser.ask("getComputedStyle(document.querySelector('.picture.map svg')).filter") == "none"
    browser.media(dark=True, printed=True)
    assert browser.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.ask("getComputedStyle(document.querySelector('nav')).display") == "none"
    browser.media()


def test_dark_interactive_page(browser: Browser, pages: Path) -> None:
    """Pictures that plotly draws are turned dark as the others are, once each, and its planes keep their colours."""
    browser.media(dark=True)
    browser.open(pages / "interactive.html")
    filters = "[...document.querySelectorAll('{}')].map(e => getComputedStyle(e).filter)"
    assert set(browser.ask(filters.format("figure > .plotly:not(.map)"))) == {"invert(1) hue-rotate(180deg)"}
    assert set(browser.ask(filters.format("figure > .plotly.map, .plotly .plotly, .main-svg"))) == {"none"}
    browser.media()


def test_printed_interactive_page(browser: Browser, pages: Path, tmp_path: Path) -> None:
    """For print plotly's pictures become as wide as paper, and afterwards as wide as the page again."""
    browser.open(pages / "interactive.html")
    width = "document.querySelector('.plotly .main-svg').getBoundingClientRect().width"
    before = browser.ask(width)
    browser.ask(f"addEventListener('beforeprint', () => {{ window.printed = {width}; }})")
    browser.pdf(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    assert browser.ask("window.printed") == 680 < before
    assert browser.ask(width) == before
    browser.media()


def test_learning_curves_are_told(browser: Browser, pages: Path) -> None:
    """A trial that is pointed at in the table is marked in the learning curves, in all three of their panels."""
    browser.open(pages / "plain.html")
    picture = "section:has(.picture[aria-label^='Learning curves'])"
    trial = browser.ask(f'document.querySelector("{picture} g.trial").dataset.trial')
    browser.point_at(f'table.trials tr[data-trial="{trial}"] td')
    assert browser.ask(f'document.querySelectorAll("{picture} g.trial.pointed").length') == 3


@pytest.mark.parametrize("name", ["plain", "interactive"])
def test_phone(name: str, phone: Browser, pages: Path) -> None:
    """A page of 390 pixels does not scroll sideways, and no text is smaller than 11 pixels."""
    phone.open(pages / f"{name}.html")
    assert phone.ask("document.documentElement.scrollWidth") <= 390
    size = "parseFloat(getComputedStyle(e).fontSize)"
    assert phone.ask(f"Math.min(...[...document.querySelectorAll('p, td, th, figcaption')].map(e => {size}))") >= 11
    assert phone.said == []


@pytest.mark.parametrize("kind", [".picture", ".rows"])
@pytest.mark.parametrize("dark", [False, True])
def test_what_scrolls_shows_it(kind: str, dark: bool, phone: Browser, pages: Path, tmp_path: Path) -> None:
    """On a phone a shadow lies on the side on which there is more of a figure or table, and on no other."""
    phone.media(dark=dark)
    phone.open(pages / "plain.html")
    for name, left in (("begin", 0), ("end", 9999)):
        box = phone.ask(
            f"(e => {{ e.scrollIntoView({{block: 'center'}}); e.scrollLeft = {left}; "
            "const b = e.getBoundingClientRect(); return [b.left, b.right, b.top, b.bottom]; })"
            f"([...document.querySelectorAll('{kind}')].find(e => e.scrollWidth > e.clientWidth + 60))"
        )
        phone.screenshot(tmp_path / f"{name}.png", whole=False)
        x_left, x_right, top, bottom = (round(edge) for edge in box)
        with Image.open(tmp_path / f"{name}.png") as image:
            grey = np.asarray(image.convert("L"), dtype=float)[max(top, 0) + 3 : min(bottom, 844) - 3]
        ground = np.median(grey[:, x_left + 30 : x_right - 30])
        edges = [np.median(abs(grey[:, at] - ground)) for at in (x_left + 3, x_right - 4)]
        assert (edges[0] > 20, edges[1] > 20) == (name == "end", name == "begin")
    phone.media()


def test_without_scripts(browser: Browser, pages: Path) -> None:
    """With scripts switched off the table is there as a whole, without a filter that would do nothing."""
    browser.open(pages / "plain.html", scripts=False)
    assert browser.ask(f"{SHOWN}.length") == NUM_TRIALS
    assert browser.ask("document.querySelector('.filter').hidden")
    assert "lr = " in browser.ask("document.querySelector('table.trials tr[data-trial]').title")
