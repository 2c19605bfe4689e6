"""The OpenAPI 3.1 document, made from the routes, their parameters and their responses."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct

from query.http import problems
from query.http.app import RawResponse, Route
from query.http.messages import JSON
from query.http.problems import Problem
from query.http.validation import parameters_of

type Examples = Mapping[type[Struct], Struct]
type Problems = Mapping[int, Problem]

REF = "#/components/schemas/{name}"
EVERY_ROUTE = (400, 403, 405, 429, 500, 503)  # error statuses that any route may return
TRY_AGAIN = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
HEADERS = {
    "ETag": "Identifies this version of the response; send it back as If-None-Match.",
    "Cache-Control": "How long the response may be kept.",
    "X-Total-Count": "The number of rows on all pages.",
    "Link": "The neighbouring pages, RFC 8288.",
    "Retry-After": "Seconds after which the request may succeed.",
}
PAGING_HEADERS = ("X-Total-Count", "Link")
API_KEY = {
    "type": "apiKey",
    "in": "header",
    "name": "x-api-key",
    "description": "Only if the deployment requires a key",
}


def document(
    info: Mapping[str, Any],
    tags: Mapping[str, str],
    routes: Iterable[Route],
    examples: Examples,
    problem_examples: Problems,
) -> dict[str, Any]:
    """The OpenAPI document of the routes that return JSON.

    Args:
        info: the API's title, version and so on.
        tags: the groups of routes with their descriptions, in the order to show.
        routes: all routes of the API.
        examples: one of each response and of each JSON body.
        problem_examples: one for each status.
    """
    described = [route for route in routes if route.response_model is not RawResponse]
    paths: dict[str, dict[str, Any]] = {}
    for route in described:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, examples)
    models = {route.response_model for route in described} | {Problem}
    models |= {route.request_model for route in described if route.method == "POST"}
    _, schemas = msgspec.json.schema_components(
        sorted(models, key=lambda model: model.__name__), ref_template=REF
    )
    statuses = sorted({*EVERY_ROUTE, *(status for route in described for status in route.errors)})
    return {
        "openapi": "3.1.0",
        "info": info,
        "servers": [{"url": ".", "description": "The address of this document"}],
        "security": [{}, {"api_key": []}],
        "tags": [{"name": name, "description": text} for name, text in tags.items()],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {
                str(status): _error(status, problem_examples[status]) for status in statuses
            },
            "headers": {
                name: {"description": text, "schema": {"type": "string"}}
                for name, text in HEADERS.items()
            },
            "securitySchemes": {"api_key": API_KEY},
        },
    }


def _operation(route: Route, examples: Examples) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.handler.__name__,
        "tags": [route.tag],
        "summary": route.summary,
        "description": " ".join((route.handler.__doc__ or "").split()),
        "responses": {"200": _success(route, examples)},
    }
    if route.method == "GET":
        operation["parameters"] = _parameters(route)
        operation["responses"]["304"] = {"description": "The client already has this response"}
    else:
        content = _content(examples[route.request_model])
        operation["requestBody"] = {"required": True, "content": content}
    for status in sorted({*EVERY_ROUTE, *route.errors}):
        operation["responses"][str(status)] = {"$ref": f"#/components/responses/{status}"}
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    """The parameters of the path, which names them in braces, and those of the query."""
    described = []
    for name, parameter in parameters_of(route.request_model).items():
        schema = dict(parameter.schema)
        description = schema.pop("description", "")
        if parameter.default not in (msgspec.UNSET, msgspec.NODEFAULT, ()):
            schema["default"] = parameter.default
        described.append(
            {
                "name": name,
                "in": "path" if f"{{{name}}}" in route.path else "query",
                "description": description,
                "required": parameter.is_required,
                "schema": schema,
            }
        )
        if parameter.is_required:  # Swagger UI fills it in; optional ones would filter the rows
            described[-1]["example"] = schema["examples"][0]
    return described


def _success(route: Route, examples: Examples) -> dict[str, Any]:
    headers = ["Cache-Control"]
    headers += ["ETag"] if route.method == "GET" else []
    headers += PAGING_HEADERS if hasattr(route.response_model, "links") else []
    return {
        "description": route.response_model.__doc__,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
        "content": _content(examples[route.response_model]),
    }


def _error(status: int, example: Problem) -> dict[str, Any]:
    content = _content(example, problems.CONTENT_TYPE)
    response: dict[str, Any] = {"description": HTTPStatus(status).phrase, "content": content}
    if status in TRY_AGAIN:
        response["headers"] = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    return response


def _content(example: Struct, content_type: str = JSON) -> dict[str, Any]:
    schema = {"$ref": REF.format(name=type(example).__name__)}
    return {content_type: {"schema": schema, "example": msgspec.to_builtins(example)}}
