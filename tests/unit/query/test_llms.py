"""llms.txt: in the form of llmstxt.org, with every operation, and links and examples that work."""

import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote, urljoin, urlsplit

import pytest

from query import handler as query
from query.http.app import RawResponse
from tests.builders.aws import Cloud
from tests.builders.requests import Address, ask, get, post
from tests.unit.query.test_addresses import HOST, at, follow  # noqa: F401
from tests.unit.query.test_handler import cold  # noqa: F401
from tests.unit.query.test_openapi import finish_run_of_the_examples

LINK = re.compile(r"^- \[([^\]]+)\]\(([^)]+)\): .+$", re.MULTILINE)


@pytest.fixture(scope="module")
def text() -> str:
    """The file as the API serves it."""
    response = ask("GET", "/llms.txt")
    assert response["headers"]["Content-Type"] == "text/plain; charset=utf-8"
    return response["body"]


def sections(text: str) -> Iterator[tuple[str, str]]:
    """Its sections below the notes, each with its heading."""
    for section in text.split("\n## ")[1:]:
        heading, _, rest = section.partition("\n\n")
        yield heading, rest


def test_it_has_the_form_of_llmstxt(text: str) -> None:
    title, summary, *notes = text.split("\n## ")[0].split("\n\n")
    assert re.fullmatch(r"# .+", title)
    assert re.fullmatch(r"> .+", summary)
    assert notes
    assert not [line for note in notes for line in note.splitlines() if line.startswith("#")]
    for heading, body in sections(text):
        lines = body.strip().splitlines()
        assert lines, heading
        assert all(LINK.fullmatch(line) for line in lines), heading


def test_it_describes_every_operation_and_page_of_the_document(text: str) -> None:
    document = get("/openapi.json")[1]
    described = [
        (operation["operationId"], operation["description"])
        for methods in document["paths"].values()
        for operation in methods.values()
    ]
    pages = [
        route.path
        for route in query.app.routes
        if route.response_model is RawResponse and "{" not in route.path
    ]
    pages.remove("/llms.txt")
    assert sorted(name for name, _ in LINK.findall(text)) == sorted(
        [*(name for name, _ in described), *pages]
    )
    for _, description in described:
        assert description in text


def test_its_links_lead_to_what_they_name_at_every_address(text: str, at: Address) -> None:  # noqa: F811
    home = f"{HOST}{at.prefix}/llms.txt"
    for name, link in LINK.findall(text):
        url = urlsplit(urljoin(home, link))
        body = follow(at, url._replace(fragment="").geturl())
        if url.fragment:
            found: Any = json.loads(body)
            for part in unquote(url.fragment).split("/")[1:]:
                found = found[part.replace("~1", "/")]
            assert found["operationId"] == name


def test_its_examples_are_answered(cloud: Cloud, text: str) -> None:
    finish_run_of_the_examples(cloud)
    examples = re.findall(r"Example: `(GET|POST) (\S+)(?: (.+?))?`\.", text)
    assert len(examples) == len(query.app.routes) - 5  # that are pages
    for method, address, body in examples:
        path, _, parameters = f"/{address}".partition("?")
        if method == "POST":
            status, answer = post(path, json.loads(body))
        else:
            status, answer = get(path, **dict(parse_qsl(parameters)))
        assert status == HTTPStatus.OK, answer
