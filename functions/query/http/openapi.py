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

REF = "#/components/schemas/{name}"
EVERY_ROUTE = (400, 405, 429, 500)  # error statuses that any route may return
HEADERS = {
    "ETag": "Identifies this version of the response; send it back as If-None-Match.",
    "Cache-Control": "How long the response may be kept.",
    "X-Total-Count": "The number of rows on all pages.",
    "Link": "The neighbouring pages, RFC 8288.",
}
PAGING_HEADERS = ("X-Total-Count", "Link")
API_KEY = {
    "type": "apiKey",
    "in": "header",
    "name": "x-api-key",
    "description": "Only if the deployment requires a key",
}


def document(
    info: Mapping[str, Any], routes: Iterable[Route], examples: Examples
) -> dict[str, Any]:
    """The OpenAPI document of the routes that return JSON.

    Args:
        info: the API's title, version and so on.
        routes: all routes of the API.
        examples: one of each response, of each JSON body and of `Problem`.
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
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {str(status): _error(status, examples) for status in statuses},
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
        "summary": route.summary,
        "description": route.handler.__doc__,
        "responses": {"200": _success(route, examples)},
    }
    if route.method == "GET":
        operation["parameters"] = _parameters(route)
        operation["responses"]["304"] = {"description": "The client already has this response"}
    else:
        content = _content(route.request_model, examples)
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
    return described


def _success(route: Route, examples: Examples) -> dict[str, Any]:
    headers = ["Cache-Control"]
    headers += ["ETag"] if route.method == "GET" else []
    headers += PAGING_HEADERS if hasattr(route.response_model, "links") else []
    return {
        "description": route.response_model.__doc__,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
        "content": _content(route.response_model, examples),
    }


def _error(status: int, examples: Examples) -> dict[str, Any]:
    content = _content(Problem, examples, problems.CONTENT_TYPE)
    if status != HTTPStatus.BAD_REQUEST:  # the example is a bad request
        del content[problems.CONTENT_TYPE]["example"]
    return {"description": HTTPStatus(status).phrase, "content": content}


def _content(model: type[Struct], examples: Examples, content_type: str = JSON) -> dict[str, Any]:
    example = msgspec.to_builtins(examples[model])
    return {content_type: {"schema": {"$ref": REF.format(name=model.__name__)}, "example": example}}
