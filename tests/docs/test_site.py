"""The built pages: no warning, no dead link, nothing that is fetched, and everything that there is has its place."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import pytest

import raysurf as rs
from raysurf import plugs
from raysurf.cli.main import cli
from raysurf.results import SCHEMAS
from tests.support.doc_blocks import DOCS

pytestmark = pytest.mark.slow


class Page(HTMLParser):
    """Targets, links and files of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.files: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.ids.add(given.get("id", ""))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") == "stylesheet":
            self.files.append(given["href"])
        elif tag in ("img", "script", "iframe", "source") and "src" in given:
            self.files.append(given["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    """Every page as Sphinx builds it, with warnings as errors."""
    root = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(root)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {path: Page(path.read_text()) for path in root.rglob("*.html")}


def test_every_link_within_is_resolved(site: dict[Path, Page]) -> None:
    """Links lead to pages that are there, and to places that they have."""
    dead = []
    for path, page in site.items():
        for link in page.links:
            address, place = urldefrag(link)
            if not urlparse(address).scheme:
                target = (path.parent / unquote(address)).resolve() if address else path
                known = site[target].ids if target in site else set()
                if not target.exists() or (place and target in site and unquote(place) not in known):
                    dead.append(f"{path.name}: {link}")
    assert dead == []


def test_nothing_is_fetched(site: dict[Path, Page]) -> None:
    """Pictures, styles and scripts lie beside the pages, and no style asks for more."""
    root = min(site, key=lambda path: len(path.parts)).parent
    for path, page in site.items():
        for file in page.files:
            address = urlparse(file)
            assert not address.scheme and not address.netloc, file
            assert (path.parent / unquote(address.path)).exists(), f"{path.name}: {file}"
    styles = "".join(path.read_text() for path in root.rglob("*.css"))
    assert "body" in styles and "url(http" not in styles and "@import" not in styles


def test_the_reference_has_everything(site: dict[Path, Page]) -> None:
    """Commands, plugs and tables have a section each, and public names and errors a place."""
    reference = {path.name: page.ids for path, page in site.items() if path.parent.name == "reference"}
    assert {f"command-{name}" for name in cli.commands} <= reference["commands.html"]
    assert {f"table-{name}" for name in SCHEMAS} <= reference["tables.html"]
    everything = set().union(*reference.values())
    for group in ("jobs", "places", "schedules", "objectives", "noise", "initial", "samplers"):
        assert {f"{group}-{name}".replace("_", "-") for name in plugs.GROUPS[group].own} <= everything
    assert {f"raysurf.{name}" for name in rs.__all__ if name != "results"} <= reference["python.html"]
    assert {"error-specerror", "error-divergederror"} <= reference["errors.html"]


def test_types_of_fields_are_links(site: dict[Path, Page]) -> None:
    """A field that takes a job, a schedule, a noise or data leads to where these are described."""
    (links,) = [page.links for path, page in site.items() if path.name == "jobs.html"]
    assert {"#jobs-sgd", "#jobs-swa", "#places-point", "#values-cycle"} <= {*links}
    assert {"schedules.html", "objectives.html", "noise.html", "data.html#values-data"} <= {*links}
