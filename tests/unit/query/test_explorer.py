"""The explorer's page: self-contained, and its CSP allows nothing else."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

from query import explorer

PAGE = explorer.page()
HTML = PAGE.body.decode()


class Page(HTMLParser):
    """The parsed page.

    Attributes:
        ids: of its elements, in order.
        inlined: the text of each script and style.
        references: the addresses in its elements.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.inlined: dict[str, list[str]] = {"script": [], "style": []}
        self.references: list[str] = []
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        named = dict(attrs)
        self.ids += [named["id"]] if named.get("id") else []
        self.references += [named[name] or "" for name in ("src", "href") if name in named]
        assert not named.keys() & {"style", "onclick", "onload"}, "the CSP would block it"

    def handle_data(self, data: str) -> None:
        if self._inside in self.inlined:
            self.inlined[self._inside].append(data)

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        self._inside = ""


def test_the_csp_allows_only_the_pages_own_style_and_script() -> None:
    policy = dict(
        each.split(" ", 1)
        for each in explorer.page().headers["Content-Security-Policy"].split("; ")
    )
    for kind, (text,) in Page(HTML).inlined.items():
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert policy[f"{kind}-src"] == f"'sha256-{digest}'"
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["require-trusted-types-for"] == "'script'"


def test_the_page_refers_only_to_itself_and_to_the_api_below_it() -> None:
    page = Page(HTML)
    assert [each for each in page.references if not each.startswith(("data:", "?", "#"))] == [
        "docs"
    ]
    assert set(re.findall(r"https?://[^'\"`\s]+", HTML)) == {"http://www.w3.org/2000/svg"}


def test_the_page_has_every_script_of_its_folder() -> None:
    sections = [
        path.read_text(encoding="utf-8").splitlines()[0]
        for path in Path(explorer.__file__).parent.glob("*.js")
    ]
    assert len(sections) > 1
    assert all(HTML.count(f"{line}\n") == 1 for line in sections)


def test_every_element_id_in_the_script_exists_exactly_once() -> None:
    page = Page(HTML)
    (script,) = page.inlined["script"]
    used = set(re.findall(r'\$\("([\w-]+)"\)', script))
    assert used
    assert used <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
