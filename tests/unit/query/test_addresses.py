"""The API at any address: its stage, a custom domain, a base path, with and without a slash."""

import json
import re
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

import pytest

from query import handler as query
from query.http import swagger
from query.http.app import RawResponse
from tests.unit.conftest import CONTEXT, Cloud, movie_line
from tests.unit.query.test_handler import STAGE, Address, ask, cold, event_of  # noqa: F401
from tests.unit.runs.test_indexer import finish_run

HOST = "https://api.example.org"
# As API Gateway tells them: a base path stays in `path`, and so does a stage that is not mapped.
ADDRESSES = {
    "the stage": STAGE,
    "a custom domain": Address("", told=""),
    "a domain that maps no stage": Address("/v1", told="/v1"),
    "a base path": Address("/films", told="/films"),
    "a base path that maps no stage": Address("/films/v1", told="/films/v1"),
    "a deep base path": Address("/a/b/c", told="/a/b/c"),
    "a base path that is a route of ours": Address("/movies", told="/movies"),
    "another one": Address("/docs", told="/docs"),
}
PAGES = ["/docs", "/openapi.json", *(f"/docs/{name}" for name in swagger.CONTENT_TYPES)]


@pytest.fixture(params=ADDRESSES.values(), ids=ADDRESSES)
def at(request: pytest.FixtureRequest) -> Address:
    """Each address."""
    return request.param


def follow(at: Address, url: str) -> str:
    """What is answered at a URL; fails where it is not the API's or not there."""
    assert url.startswith(HOST + at.prefix + "/"), f"{url} leaves {at.prefix or HOST}"
    answer = ask("GET", urlsplit(url).path.removeprefix(at.prefix), at=at)
    assert answer["statusCode"] == HTTPStatus.OK, url
    return answer["body"]


@pytest.mark.usefixtures("cloud")
def test_whatever_the_pages_refer_to_is_below_their_address(cloud: Cloud, at: Address) -> None:
    finish_run(cloud, parts=[[movie_line(1, 2), movie_line(2, 1)]])
    home = f"{HOST}{at.prefix}/"
    (to_docs,) = re.findall(r'<a id="docs" href="([^"]+)"', follow(at, home))
    page_url = urljoin(home, to_docs)
    page = follow(at, page_url)
    named = re.findall(r'(?:src=|href=|url: )"(?!data:)([^"]+)"', page)
    assert len(named) == 3
    for reference in named:
        follow(at, urljoin(page_url, reference))
    document_url = urljoin(page_url, "openapi.json")
    document = json.loads(follow(at, document_url))
    (server,) = document["servers"]
    base = urljoin(document_url, server["url"])
    assert json.loads(follow(at, base.rstrip("/") + "/movies/1/similar"))["total"] == 1
    assert json.loads(follow(at, base.rstrip("/") + "/health"))["status"] == "ok"


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_page_with_a_slash_at_its_end_is_sent_to_its_one_address(
    at: Address, method: str, path: str
) -> None:
    answer = ask(method, f"{path}/", at=at)
    assert answer["statusCode"] == HTTPStatus.PERMANENT_REDIRECT
    url = HOST + at.prefix + path
    assert urljoin(f"{url}/", answer["headers"]["Location"]) == url
    assert ask(method, path, at=at)["statusCode"] == HTTPStatus.OK


def test_all_pages_but_the_explorer_have_one_address() -> None:
    told = {route.path for route in query.app.routes if route.response_model is RawResponse}
    assert told == {"/", "/docs", "/docs/{name}", "/openapi.json"}


def test_the_way_to_a_page_climbs_over_every_slash() -> None:
    assert ask("GET", "/docs//")["headers"]["Location"] == "../../docs"  # RFC 3986, 5.2.4


def test_the_explorer_is_there_with_and_without_a_slash(at: Address) -> None:
    for path in ("", "/"):
        assert ask("GET", path, at=at)["body"].startswith("<!doctype html>")


def test_a_page_that_is_not_there_is_no_way_elsewhere(at: Address) -> None:
    for path in ("/docs/nothing/", "/docs/..%2F..%2Fexample.org/", "/docs///example.org/"):
        answer = ask("GET", path, at=at)
        assert (answer["statusCode"], "Location" in answer["headers"]) == (404, False)


def test_a_list_with_a_slash_at_its_end_is_answered_as_before(cloud: Cloud, at: Address) -> None:
    finish_run(cloud, parts=[[movie_line(1, 2), movie_line(2, 1)]])
    assert ask("GET", "/movies/1/similar/", at=at)["statusCode"] == HTTPStatus.OK


@pytest.mark.parametrize("decoded", [False, True])
def test_an_encoded_slash_opens_no_other_route(decoded: bool) -> None:
    request = event_of("/docs/..%2Fhealth")
    request["pathParameters"] = {"name": "../health" if decoded else "..%2Fhealth"}
    answer = query.lambda_handler(request, CONTEXT)
    assert answer["statusCode"] == HTTPStatus.NOT_FOUND


def test_an_event_without_a_resource_is_taken_by_its_path() -> None:
    request = event_of("/docs")
    for missing in ({"resource": None}, {"resource": "/{proxy+}", "pathParameters": None}):
        assert query.lambda_handler(request | missing, CONTEXT)["statusCode"] == HTTPStatus.OK
