"""The API at every kind of address: its stage, a custom domain, a base path, trailing slashes."""

import json
import re
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

import pytest

from query import handler as query
from query.http import swagger
from query.http.app import RawResponse
from tests.builders.aws import CONTEXT, Cloud, movie_line
from tests.builders.indexed import finish_run
from tests.builders.requests import STAGE, Address, ask, event_of
from tests.unit.query.test_handler import cold  # noqa: F401
from tools.template import template

HOST = "https://api.example.org"
# In API Gateway's events, `path` includes a base path, and a stage if the mapping names none.
ADDRESSES = {
    "the stage": STAGE,
    "a custom domain": Address("", in_event=""),
    "a domain that maps no stage": Address("/v1", in_event="/v1"),
    "a base path": Address("/films", in_event="/films"),
    "a base path that maps no stage": Address("/films/v1", in_event="/films/v1"),
    "a deep base path": Address("/a/b/c", in_event="/a/b/c"),
    "a base path that equals a route": Address("/movies", in_event="/movies"),
    "another such base path": Address("/docs", in_event="/docs"),
}
PAGES = [
    "/docs",
    "/openapi.json",
    "/llms.txt",
    *(f"/docs/{name}" for name in swagger.CONTENT_TYPES),
]


@pytest.fixture(params=ADDRESSES.values(), ids=ADDRESSES)
def at(request: pytest.FixtureRequest) -> Address:
    """Each address."""
    return request.param


def follow(at: Address, url: str) -> str:
    """The body at a URL; fails if it is not one of the API's, or not found."""
    assert url.startswith(HOST + at.prefix + "/"), f"{url} leaves {at.prefix or HOST}"
    response = ask("GET", urlsplit(url).path.removeprefix(at.prefix), at=at)
    assert response["statusCode"] == HTTPStatus.OK, url
    return response["body"]


@pytest.mark.usefixtures("cloud")
def test_all_references_of_the_pages_are_below_their_address(cloud: Cloud, at: Address) -> None:
    finish_run(cloud, parts=[[movie_line(1, 2), movie_line(2, 1)]])
    home = f"{HOST}{at.prefix}/"
    (to_docs,) = re.findall(r'<a id="docs" href="([^"]+)"', follow(at, home))
    page_url = urljoin(home, to_docs)
    page = follow(at, page_url)
    references = re.findall(r'(?:src=|href=|url: )"(?!data:)([^"]+)"', page)
    assert len(references) == 3
    for reference in references:
        follow(at, urljoin(page_url, reference))
    document_url = urljoin(page_url, "openapi.json")
    document = json.loads(follow(at, document_url))
    (server,) = document["servers"]
    base = urljoin(document_url, server["url"])
    assert json.loads(follow(at, base.rstrip("/") + "/movies/1/similar"))["total"] == 1
    assert json.loads(follow(at, base.rstrip("/") + "/health"))["status"] == "ok"


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_page_with_a_trailing_slash_redirects_to_its_address(
    at: Address, method: str, path: str
) -> None:
    response = ask(method, f"{path}/", at=at)
    assert response["statusCode"] == HTTPStatus.PERMANENT_REDIRECT
    url = HOST + at.prefix + path
    assert urljoin(f"{url}/", response["headers"]["Location"]) == url
    assert ask(method, path, at=at)["statusCode"] == HTTPStatus.OK


def test_the_tests_above_cover_all_pages_except_the_explorer() -> None:
    pages = {route.path for route in query.app.routes if route.response_model is RawResponse}
    assert pages == {"/", "/docs", "/docs/{name}", "/openapi.json", "/llms.txt"}


def test_pages_need_no_key_because_browsers_send_none() -> None:
    paths = template()["Resources"]["Api"]["Properties"]["DefinitionBody"]["paths"]
    pages = {route.path for route in query.app.routes if route.response_model is RawResponse}
    without_key = {path for path, methods in paths.items() if "security" not in methods["get"]}
    assert without_key == pages


def test_the_redirect_goes_up_once_for_every_trailing_slash() -> None:
    assert ask("GET", "/docs//")["headers"]["Location"] == "../../docs"  # RFC 3986, 5.2.4


def test_the_explorer_is_served_with_and_without_a_slash(at: Address) -> None:
    for path in ("", "/"):
        assert ask("GET", path, at=at)["body"].startswith("<!doctype html>")


def test_a_missing_page_does_not_redirect(at: Address) -> None:
    for path in ("/docs/nothing/", "/docs/..%2F..%2Fexample.org/", "/docs///example.org/"):
        response = ask("GET", path, at=at)
        assert (response["statusCode"], "Location" in response["headers"]) == (404, False)


def test_a_list_needs_no_redirect_for_a_trailing_slash(cloud: Cloud, at: Address) -> None:
    finish_run(cloud, parts=[[movie_line(1, 2), movie_line(2, 1)]])
    assert ask("GET", "/movies/1/similar/", at=at)["statusCode"] == HTTPStatus.OK


@pytest.mark.parametrize("decoded", [False, True])
def test_an_encoded_slash_does_not_reach_another_route(decoded: bool) -> None:
    request = event_of("/docs/..%2Fhealth")
    request["pathParameters"] = {"name": "../health" if decoded else "..%2Fhealth"}
    response = query.lambda_handler(request, CONTEXT)
    assert response["statusCode"] == HTTPStatus.NOT_FOUND


def test_an_event_without_a_resource_is_routed_by_its_path() -> None:
    request = event_of("/docs")
    for missing in ({"resource": None}, {"resource": "/{proxy+}", "pathParameters": None}):
        assert query.lambda_handler(request | missing, CONTEXT)["statusCode"] == HTTPStatus.OK
