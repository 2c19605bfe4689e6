"""The OpenAPI document and its page: valid, complete, and true to the responses."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import validate

from query import handler as query
from query.examples import EXAMPLES, PROBLEMS
from query.http import openapi, swagger
from query.http.app import RawResponse
from runs import claims
from tests.builders.aws import Cloud, movie_line
from tests.builders.indexed import finish_run
from tests.builders.requests import ask, get, post
from tests.unit.query.test_handler import cold  # noqa: F401
from tools.template import template

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


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation of every route."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_parameter_and_operation_has_a_description(document: dict[str, Any]) -> None:
    for _, _, operation in operations(document):
        assert operation["summary"]
        assert operation["description"]
        for parameter in operation.get("parameters", []):
            assert parameter["description"], parameter["name"]


def test_every_operation_can_be_a_tool_of_a_language_model(document: dict[str, Any]) -> None:
    # Clients call an operation by its id and choose it by its description. A new id breaks them.
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert ids == [
        *("get_similar", "get_movie", "get_movies", "get_similar_to_title", "post_similar"),
        *("post_recommendations", "get_runs", "get_run", "get_health"),
    ]
    named = {name for _, _, each in operations(document)
             for name in re.findall(r"`((?:get|post)_\w+)`", each["description"])}  # fmt: skip
    assert named <= set(ids), "a description names an operation that does not exist"
    for _, _, operation in operations(document):
        assert re.fullmatch(r"[a-z_]{1,64}", operation["operationId"])
        assert " Use it " in operation["description"], operation["operationId"]
        assert "\n" not in operation["description"]


def test_every_operation_is_in_one_group(document: dict[str, Any]) -> None:
    groups = {tag["name"] for tag in document["tags"]}
    assert {tuple(each["tags"]) for _, _, each in operations(document)} == {
        (name,) for name in groups
    }
    assert all(tag["description"] for tag in document["tags"])


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
    for status, response in document["components"]["responses"].items():
        (problem,) = response["content"].values()
        conforms(document, "Problem", problem["example"])
        assert problem["example"]["status"] == int(status)
        assert problem["example"]["title"] == response["description"]


def test_every_parameter_and_field_has_an_example_that_is_valid(document: dict[str, Any]) -> None:
    schemas = [
        (f"{operation['operationId']} {each['name']}", each["schema"])
        for _, _, operation in operations(document)
        for each in operation.get("parameters", [])
    ]
    for name in ("RecommendationRequest", "SimilarToManyRequest"):
        properties = document["components"]["schemas"][name]["properties"]
        schemas += [(f"{name} {field}", schema) for field, schema in properties.items()]
    assert len(schemas) > 50
    for where, schema in schemas:
        assert schema.get("examples"), where
        for example in schema["examples"]:
            jsonschema.Draft202012Validator(schema).validate(example)


def finish_run_of_the_examples(cloud: Cloud) -> None:
    """Make a run live with the movies of the examples, and claim the run that they name."""
    movies = [movie_line(1, 3) | {"title": "Toy Story (1995)"}, movie_line(3, 1)]
    finish_run(cloud, parts=[movies])
    created = datetime(2026, 11, 23, 12, 5, tzinfo=UTC)
    claims.claim(cloud.runs, f"{'5f2a9c01':0<64}", "ml-10M100K", None, created, timedelta(0))


def test_the_api_accepts_every_example(cloud: Cloud, document: dict[str, Any]) -> None:
    finish_run_of_the_examples(cloud)
    for path, method, operation in operations(document):
        if method == "post":
            (content,) = operation["requestBody"]["content"].values()
            status, body = post(path, content["example"])
            assert status == HTTPStatus.OK, body
            continue
        parameters = operation["parameters"]
        required = {each["name"]: each["example"] for each in parameters if each["required"]}
        address = path.format(**required)
        query = {name: as_sent(value) for name, value in required.items() if name not in path}
        optional = [each for each in parameters if not each["required"]]
        for more in ({}, *({each["name"]: each["schema"]["examples"][0]} for each in optional)):
            sent = {name: as_sent(value) for name, value in more.items()}
            status, body = get(address, **query, **sent)
            assert status == HTTPStatus.OK, body


def as_sent(value: Any) -> str | list[str]:
    """A value in the query of an address."""
    if isinstance(value, list):
        return [str(each) for each in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


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


def test_errors_of_api_gateway_conform_to_the_schema_of_problems(
    document: dict[str, Any],
) -> None:
    said = template()["Resources"]["Api"]["Properties"]["GatewayResponses"]
    assert said.keys() >= {"DEFAULT_4XX", "DEFAULT_5XX", "THROTTLED", "INVALID_API_KEY"}
    for kind, response in said.items():
        text = response["ResponseTemplates"]["application/json"]
        text = text.replace("$context.error.messageString", '"Missing Authentication Token"')
        body = json.loads(text.replace("$context.error.responseType", kind))
        conforms(document, "Problem", body)
        headers = response["ResponseParameters"]["Headers"]
        assert headers["Content-Type"] == "'application/problem+json'"
        assert headers["Access-Control-Allow-Origin"] == "'*'"
        assert body.get("status") == response.get("StatusCode")
        if "StatusCode" in response:
            assert body["title"] == HTTPStatus(response["StatusCode"]).phrase
            assert str(response["StatusCode"]) in document["components"]["responses"]


def test_a_request_that_lambda_throttles_or_fails_may_be_tried_again() -> None:
    # Without a response of their own, all of API Gateway's 5xx have this one, with its status.
    said = template()["Resources"]["Api"]["Properties"]["GatewayResponses"]
    assert [kind for kind in said if kind.startswith(("INTEGRATION", "DEFAULT_5"))] == [
        "DEFAULT_5XX"
    ]
    response = said["DEFAULT_5XX"]
    assert response["StatusCode"] == HTTPStatus.SERVICE_UNAVAILABLE
    seconds = response["ResponseParameters"]["Headers"]["Retry-After"].strip("'")
    assert int(seconds) > 0


def test_statuses_that_ask_to_try_again_say_when(document: dict[str, Any]) -> None:
    with_header = {
        status
        for status, response in document["components"]["responses"].items()
        if "Retry-After" in response.get("headers", {})
    }
    assert with_header == {"429", "503"}


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
    made = openapi.document(query.INFO, query.TAGS, query.app.routes[:1], EXAMPLES, PROBLEMS)
    path = "/movies/{movie_id}/similar"
    assert json.loads(json.dumps(made))["paths"] == {path: document["paths"][path]}
