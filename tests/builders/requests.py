"""Requests to the query function as API Gateway sends them."""

import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from query import handler as query
from tests.builders.aws import CONTEXT
from tools.sample_events import event
from tools.template import template


@dataclass(frozen=True)
class Address:
    """An address of the API.

    Attributes:
        prefix: precedes each path in the address.
        in_event: the part of the prefix that API Gateway leaves in the event's `path`.
    """

    prefix: str
    in_event: str


STAGE = Address("/v1", in_event="")  # the API's own address; `path` lacks its stage


def event_of(path: str, at: Address = STAGE) -> dict[str, Any]:
    """The event of a request, with the resource that API Gateway would find in the template."""
    resources = template()["Resources"]["Api"]["Properties"]["DefinitionBody"]["paths"]
    for resource in sorted(resources, key=lambda each: ("+" in each, "{" in each)):
        greedy = re.sub(r"{(\w+)\+}", r"(?P<\1>.+)", resource)
        pattern = re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", greedy)
        if found := re.fullmatch(pattern, path.rstrip("/") or "/"):
            break
    request = event("query-similar")
    request |= {
        "resource": resource,
        "path": at.in_event + path,
        "pathParameters": (found and found.groupdict()) or None,
    }
    request["requestContext"] |= {"resourcePath": resource, "path": at.prefix + path}
    return request


def ask(
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    body: str | None = None,
    at: Address = STAGE,
    **parameters: str | list[str],
) -> dict[str, Any]:
    """The function's response to a request; checks the form of a problem."""
    request = event_of(path, at)
    given = {name: [value] if isinstance(value, str) else value
             for name, value in parameters.items()}  # fmt: skip
    request |= {
        "httpMethod": method,
        "queryStringParameters": {name: values[-1] for name, values in given.items()} or None,
        "multiValueQueryStringParameters": given or None,
        "headers": {"Accept": "*/*"} | (headers or {}),
        "body": body,
    }
    response = json.loads(json.dumps(query.lambda_handler(request, CONTEXT)))  # as Lambda does
    if response["statusCode"] >= HTTPStatus.BAD_REQUEST:
        assert response["headers"]["Content-Type"] == "application/problem+json"
        problem = json.loads(response["body"])
        assert problem["status"] == response["statusCode"]
        assert problem["instance"] == (path.rstrip("/") or "/")
    return response


def get(path: str, **parameters: str | list[str]) -> tuple[int, dict[str, Any]]:
    """GET; returns status and body."""
    response = ask("GET", path, **parameters)
    return response["statusCode"], json.loads(response["body"])


def post(path: str, body: Any) -> tuple[int, dict[str, Any]]:
    """POST an object as JSON; returns status and body."""
    response = ask("POST", path, {"Content-Type": "application/json"}, json.dumps(body))
    return response["statusCode"], json.loads(response["body"])
