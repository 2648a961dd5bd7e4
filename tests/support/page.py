"""The elements of an HTML page."""

from __future__ import annotations

import re
from html.parser import HTMLParser


class Page(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.source, self.text = text, ""
        self.feed(text)

    def require_alone(self) -> None:
        """Fail unless it loads nothing, has no address of anything outside, and a policy that forbids both."""
        assert all(link.startswith("#") for link in self.links)
        assert not re.search(r"url\((?!#)|@import", self.source)
        namespaces = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
        assert set(re.findall(r"https?://[^\s\"'<]+", self.source)) <= namespaces
        assert "default-src 'none'" in self.source

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_data(self, data: str) -> None:
        self.text += data
