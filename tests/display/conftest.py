"""Reads cards as a browser would: which tags there are, and what text stands in them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

VOID = {"br", "img", "hr"}
OURS = {"style", "div", "p", "span", "b", "a", "code", "pre", "table", "tr", "td", "th", "details", "summary", "img"}
# What a live card may have beyond that: untrusted notebooks lose it.
LIVE = {"ol", "li", "small", "dl", "dt", "dd", "svg", "polyline"}
LIVE_ATTRIBUTES = {"role", "aria-label", "aria-current", "aria-sort", "tabindex", "viewbox", "points"}


class Page(HTMLParser):
    """The tags, attributes and text of a piece of HTML; fails where a tag is not closed."""

    def __init__(self, html: str, *, is_live: bool = False) -> None:
        super().__init__()
        self.is_live = is_live
        self.tags, self.classes, self.open, self.texts = set(), set(), [], []
        self.feed(html)
        self.close()
        assert self.open == []
        assert self.tags <= (OURS | LIVE if is_live else OURS)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            if (tag, name) == ("a", "href"):  # to a cell of the notebook, nowhere else
                assert re.fullmatch(r"([\w%.~-]*\.ipynb)?#cell-id=[\w%.~/-]+", value, re.ASCII), value
                continue
            if tag == "img" and name in {"src", "alt"}:
                assert name == "alt" or re.fullmatch(r"data:image/[\w+]+;base64,[\w+/]*=*", value)
                continue
            if self.is_live and name in LIVE_ATTRIBUTES:
                continue
            assert name in {"class", "style"}, f"{tag} has {name}"
            if name == "class":
                self.classes.update(value.split())
            else:
                assert value.startswith("width:")
                assert value.endswith("px")
                assert value[6:-2].isdigit()
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)


@pytest.fixture
def read():
    return lambda shown: Page(shown.html)


@pytest.fixture
def read_live():
    return lambda *parts: Page("".join(part.html for part in parts), is_live=True)
