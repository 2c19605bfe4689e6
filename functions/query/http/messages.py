"""API Gateway's request and answer, as the routes see them."""

import base64
import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

JSON = "application/json"
# Anybody's page may ask; nothing here is secret from whoever may ask at all.
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "ETag, Link, Retry-After, X-Total-Count",
}
ALLOWED_HEADERS = "Accept, Content-Type, If-None-Match, X-App-Key"
PREFLIGHT_SECONDS = 86_400
COMPRESS_FROM = 2048  # bytes from which an answer is worth compressing
COMPRESSION_LEVEL = 5  # of zlib's levels: half the time of the best one, for 2 % more bytes


@dataclass(frozen=True)
class Request:
    """What was asked.

    Attributes:
        method: of HTTP.
        path: of the route: without what stands before it in the address (a stage, the base path of
            a custom domain) and without slashes at its end.
        trailing_slashes: how many stand at its end in the address.
        query: the values of each parameter.
        headers: by their names in lower case.
        body: as it was sent.
    """

    method: str
    path: str
    trailing_slashes: int
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Response:
    """What is answered.

    Attributes:
        status: of HTTP.
        body: uncompressed.
        content_type: of it.
        headers: beside those that every answer has.
    """

    status: HTTPStatus
    body: bytes = b""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


def from_event(event: Mapping[str, Any]) -> Request:
    """The request of a REST API's proxy event."""
    body = event.get("body") or ""
    return Request(
        method=event["httpMethod"],
        path=_path(event).rstrip("/") or "/",
        trailing_slashes=len(event["path"]) - len(event["path"].rstrip("/")),
        query=event.get("multiValueQueryStringParameters") or {},
        headers={name.lower(): value for name, value in (event.get("headers") or {}).items()},
        body=base64.b64decode(body)
        if event.get("isBase64Encoded")
        else body.encode(errors="surrogatepass"),
    )


def _path(event: Mapping[str, Any]) -> str:
    """The path of the resource that API Gateway found, with its parameters put in.

    The event's `path` begins with the base path where one is mapped to the API, and with the stage
    where such a mapping names none; `resource` never does. Whether API Gateway decodes parameters
    is told in two ways, but no path of ours has a character that would be encoded, so they are
    taken as they are: decoded here, `%252F` would become a slash.
    """
    given = event.get("pathParameters") or {}
    resource = event.get("resource") or ""
    names = re.findall(r"{(\w+)\+?}", resource)
    if not resource or any(given.get(name) is None for name in names):
        return event["path"]
    return re.sub(r"{(\w+)\+?}", lambda found: given[found[1]], resource)


def etag(body: bytes) -> str:
    """The ETag of a body, which names its run: another run or another query has another one.

    Weak, since the same answer goes out compressed and not.
    """
    return f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def matches_etag(request: Request, etag: str) -> bool:
    """Whether the sender has the answer with this ETag already."""
    known = request.headers.get("if-none-match", "")
    return known.strip() == "*" or etag in (each.strip() for each in known.split(","))


def to_gateway(request: Request, reply: Response) -> dict[str, Any]:
    """The answer as a REST API takes it from a function; compressed where it is large."""
    body, headers = reply.body, {**CORS, "X-Content-Type-Options": "nosniff", **reply.headers}
    if body:
        headers["Content-Type"] = reply.content_type
        headers["Vary"] = "Accept-Encoding"
    is_compressed = len(body) >= COMPRESS_FROM and _accepts_gzip(request)
    if is_compressed:
        headers["Content-Encoding"] = "gzip"
        body = gzip.compress(body, COMPRESSION_LEVEL, mtime=0)
    if request.method == "HEAD":
        body = b""
    return {
        "statusCode": int(reply.status),
        "headers": headers,
        "body": base64.b64encode(body).decode() if is_compressed else body.decode(),
        "isBase64Encoded": is_compressed,
    }


def _accepts_gzip(request: Request) -> bool:
    """Whether the sender takes gzip; without Accept API Gateway would hand on base64 as it is."""
    accepted = request.headers.get("accept-encoding", "")
    codings = [coding.replace(" ", "") for coding in accepted.lower().split(",")]
    return bool(request.headers.get("accept")) and any(
        coding.partition(";")[0] == "gzip" and not coding.endswith(";q=0") for coding in codings
    )
