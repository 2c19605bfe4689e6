"""The API's document, OpenAPI 3.1, made from its routes, questions and answers."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct

from query.examples import EXAMPLES
from query.http import problems
from query.http.app import RawResponse, Route
from query.http.messages import JSON
from query.http.problems import Problem

REF = "#/components/schemas/{name}"
ALWAYS = (400, 405, 429, 500)  # statuses with which any request may be answered

INFO = {
    "title": "similar-titles",
    "version": "1",
    "summary": "Titles similar to a movie, by how the same users rated both.",
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}
HEADERS = {
    "ETag": "Names this answer of this run; send it as If-None-Match.",
    "Cache-Control": "How long the answer may be kept.",
    "X-Total-Count": "How many rows all pages have together.",
    "Link": "The pages around this one, RFC 8288.",
}
PAGED = ("X-Total-Count", "Link")


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The OpenAPI document of what answers with JSON.

    Args:
        routes: of the API.
    """
    told = [route for route in routes if route.response_model is not RawResponse]
    paths: dict[str, dict[str, Any]] = {}
    for route in told:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    bodies = {route.request_model for route in told if route.method == "POST"}
    answers = {route.response_model for route in told} | bodies | {Problem}
    types = sorted(answers, key=lambda each: each.__name__)
    _, schemas = msgspec.json.schema_components(types, ref_template=REF)
    return {
        "openapi": "3.1.0",
        "info": INFO,
        "servers": [{"url": ".", "description": "Where this document is"}],
        "security": [{}, {"api_key": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {str(status): _failure(status) for status in _statuses(told)},
            "headers": {
                name: {"description": text, "schema": {"type": "string"}}
                for name, text in HEADERS.items()
            },
            "securitySchemes": {
                "api_key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-api-key",
                    "description": "Where whoever deployed the API asks for one",
                }
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    said: dict[str, Any] = {
        "operationId": route.handler.__name__,
        "summary": route.summary,
        "description": route.handler.__doc__,
        "responses": {"200": _success(route)},
    }
    if route.method == "GET":
        said["parameters"] = _parameters(route)
        said["responses"]["304"] = {"description": "The sender has this answer already"}
    else:
        said["requestBody"] = {"required": True, "content": _content(route.request_model)}
    for status in sorted({*ALWAYS, *route.errors}):
        said["responses"][str(status)] = {"$ref": f"#/components/responses/{status}"}
    return said


def _parameters(route: Route) -> list[dict[str, Any]]:
    """A question's fields: those in braces are of the path, the others of the query."""
    parameters = []
    for field in msgspec.structs.fields(route.request_model):
        schema = msgspec.json.schema(field.type)
        is_of_path = f"{{{field.name}}}" in route.path
        if field.default not in (msgspec.UNSET, msgspec.NODEFAULT, ()):
            schema["default"] = field.default
        parameter = {
            "name": field.name,
            "in": "path" if is_of_path else "query",
            "description": schema.pop("description", ""),
            "required": field.required,
            "schema": schema,
        }
        parameters.append(parameter)
    return parameters


def _success(route: Route) -> dict[str, Any]:
    is_paged = "links" in getattr(route.response_model, "__struct_fields__", ())
    headers = ["Cache-Control"]
    headers += ["ETag"] if route.method == "GET" else []
    headers += PAGED if is_paged else []
    return {
        "description": route.response_model.__doc__,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
        "content": _content(route.response_model),
    }


def _content(kind: type[Struct], content_type: str = JSON) -> dict[str, Any]:
    example = msgspec.to_builtins(EXAMPLES[kind])
    return {content_type: {"schema": {"$ref": REF.format(name=kind.__name__)}, "example": example}}


def _statuses(routes: Iterable[Route]) -> list[int]:
    return sorted({*ALWAYS, *(status for route in routes for status in route.errors)})


def _failure(status: int) -> dict[str, Any]:
    content = _content(Problem, problems.CONTENT_TYPE)
    if status != HTTPStatus.BAD_REQUEST:
        del content[problems.CONTENT_TYPE]["example"]
    return {"description": HTTPStatus(status).phrase, "content": content}
