"""The OpenAPI document and its page: valid, complete, and true to the responses."""

import json
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import validate

from query import handler as query
from query.examples import EXAMPLES
from query.http import openapi, swagger
from query.http.app import RawResponse
from tests.builders.aws import Cloud, movie_line
from tests.builders.indexed import finish_run
from tests.builders.requests import ask, get, post
from tests.unit.query.test_handler import cold  # noqa: F401

JSON_ROUTES = [route for route in query.app.routes if route.response_model is not RawResponse]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The document as the API serves it."""
    return get("/openapi.json")[1]


def conforms(document: dict[str, Any], name: str, value: Any) -> None:
    """Fail if a value does not conform to the schema of that name."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(value)


def test_the_document_is_valid_and_has_every_route(document: dict[str, Any]) -> None:
    validate(document)
    described = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
    assert described == {(route.method, route.path) for route in JSON_ROUTES}


def test_every_parameter_and_operation_has_a_description(document: dict[str, Any]) -> None:
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["summary"]
            assert operation["description"]
            for parameter in operation.get("parameters", []):
                assert parameter["description"], parameter["name"]


def test_exactly_the_required_parameters_are_marked_as_required(document: dict[str, Any]) -> None:
    required = {
        (path, parameter["in"], parameter["name"])
        for path, methods in document["paths"].items()
        for parameter in methods.get("get", {}).get("parameters", [])
        if parameter["required"]
    }
    assert required == {
        ("/movies/{movie_id}/similar", "path", "movie_id"),
        ("/movies/{movie_id}", "path", "movie_id"),
        ("/movies", "query", "title"),
        ("/similar", "query", "title"),
        ("/runs/{run_id}", "path", "run_id"),
    }
    assert document["components"]["schemas"]["RecommendationRequest"]["required"] == ["liked"]
    assert document["components"]["schemas"]["SimilarToManyRequest"]["required"] == ["movie_ids"]


def test_every_example_conforms_to_its_schema(document: dict[str, Any]) -> None:
    contents = [
        content
        for methods in document["paths"].values()
        for operation in methods.values()
        for body in (operation["responses"]["200"], operation.get("requestBody"))
        if body
        for content in body["content"].values()
    ]
    assert len(contents) == len(JSON_ROUTES) + 2
    for content in contents:
        conforms(document, content["schema"]["$ref"].rpartition("/")[2], content["example"])
    (problem,) = document["components"]["responses"]["400"]["content"].values()
    conforms(document, "Problem", problem["example"])


def test_responses_conform_to_their_schemas(cloud: Cloud, document: dict[str, Any]) -> None:
    line = movie_line(1, 2) | {"title": None, "year": None}
    run_id = finish_run(cloud, parts=[[line, movie_line(2, 1)]])
    for path, parameters, name in [
        ("/movies/1/similar", {"limit": "1"}, "SimilarTitles"),
        ("/movies/1", {}, "MovieOfRun"),
        ("/movies", {"title": "movie"}, "Movies"),
        ("/similar", {"title": "movie"}, "SimilarByTitle"),
        ("/runs", {}, "Runs"),
        (f"/runs/{run_id}", {}, "Run"),
        ("/health", {}, "Health"),
    ]:
        status, body = get(path, **parameters)
        assert status == HTTPStatus.OK
        conforms(document, name, body)
    conforms(document, "Recommendations", post("/recommendations", {"liked": [1]})[1])
    conforms(document, "SimilarToMany", post("/similar", {"movie_ids": [1, 9]})[1])
    conforms(document, "Problem", get("/movies/-1")[1])


def test_the_page_loads_nothing_from_other_servers() -> None:
    page = ask("GET", "/docs")
    assert page["headers"]["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in page["headers"]["Content-Security-Policy"]
    references = re.findall(r'(?:src|href|url: )=?"?([^">\s,]+)', page["body"])
    assert {name for name in references if not name.startswith("data:")} == {
        "docs/swagger-ui.min.css",
        "docs/swagger-ui-bundle.min.js",
        "openapi.json",
    }
    for name in ("openapi.json", *(f"docs/{name}" for name in swagger.CONTENT_TYPES)):
        assert ask("GET", f"/{name}")["statusCode"] == HTTPStatus.OK
    assert ask("GET", "/docs/html.py")["statusCode"] == HTTPStatus.NOT_FOUND
    assert ask("GET", "/docs/..%2Fhtml.py")["statusCode"] == HTTPStatus.NOT_FOUND


def test_swagger_ui_fits_into_the_largest_response_of_lambda() -> None:
    for name in swagger.CONTENT_TYPES:
        assert Path(swagger.ASSETS / name).stat().st_size < 6_291_456


def test_the_document_is_made_from_the_routes(document: dict[str, Any]) -> None:
    assert json.loads(json.dumps(openapi.document(query.INFO, query.app.routes[:1], EXAMPLES)))[
        "paths"
    ] == {"/movies/{movie_id}/similar": document["paths"]["/movies/{movie_id}/similar"]}
