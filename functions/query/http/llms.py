"""llms.txt, the API in short for language models, made from the OpenAPI document and the routes.

The form is that of https://llmstxt.org: a title, a summary, notes, and lists of links. All links
are relative, so they work at every address of the API.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from query.http.app import RawResponse, Route
from query.http.messages import JSON
from query.http.problems import CONTENT_TYPE

PATH = "/llms.txt"


def page(document: Mapping[str, Any], routes: Iterable[Route]) -> RawResponse:
    """The page, beside `openapi.json`.

    Args:
        document: the OpenAPI document.
        routes: all routes of the API; those of pages are not in the document.
    """
    text = "\n".join(_lines(document, routes))
    return RawResponse("text/plain; charset=utf-8", f"{text}\n".encode())


def _lines(document: Mapping[str, Any], routes: Iterable[Route]) -> Iterator[str]:
    info = document["info"]
    yield f"# {info['title']}"
    yield f"\n> {info['summary']}"
    yield f"\n{info['description']}\n"
    yield f"- Paths and links are relative to the address of this file. Responses are {JSON}."
    yield f"- Errors are {CONTENT_TYPE} (RFC 9457); `detail` says what to change."
    for key in document["components"]["securitySchemes"].values():
        yield f"- {key['description']}: send it in the header `{key['name']}`."
    for tag in document["tags"]:
        yield f"\n## {tag['description']}\n"
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if tag["name"] in operation["tags"]:
                    yield _entry(document, path, method, operation)
    yield "\n## Pages\n"
    for route in routes:
        is_page = route.response_model is RawResponse and "{" not in route.path
        if is_page and route.path != PATH:
            yield f"- [{route.path}](.{route.path}): {route.summary}"


def _entry(
    document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]
) -> str:
    """An operation: its definition as a link, when to use it, and an example."""
    pointer = f"/paths/{path.replace('/', '~1')}/{method}"
    name = f"[{operation['operationId']}](openapi.json#{quote(pointer)})"
    summary, description = operation["summary"], operation["description"]
    example = f"{method.upper()} {path[1:]}"
    if method == "get":
        parameters = operation["parameters"]
        given = {each["name"]: each["example"] for each in parameters if each["required"]}
        query = {each: value for each, value in given.items() if f"{{{each}}}" not in path}
        example = example.format(**given) + (f"?{urlencode(query)}" if query else "")
        optional = [each["name"] for each in parameters if not each["required"]]
    else:
        content = operation["requestBody"]["content"][JSON]
        schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
        body = {
            name: value for name, value in content["example"].items() if name in schema["required"]
        }
        example += f" {json.dumps(body)}"
        optional = [name for name in schema["properties"] if name not in schema["required"]]
    also = f" Optional: {', '.join(optional)}." if optional else ""
    return f"- {name}: {summary}. {description} Example: `{example}`.{also}"
