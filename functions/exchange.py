"""API Gateway's request and answer, as the routes see them."""

import base64
import gzip
import hashlib
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
ALLOWED_HEADERS = "Accept, Content-Type, If-None-Match, X-Api-Key"
PREFLIGHT_SECONDS = 86_400
LARGE = 2048  # bytes from which an answer is worth compressing
QUICK = 5  # of zlib's levels: half the time of the best one, for 2 % more bytes


@dataclass(frozen=True)
class Request:
    """What was asked.

    Attributes:
        method: of HTTP.
        path: without the stage and without a slash at its end.
        query: the values of each parameter.
        headers: by their names in lower case.
        body: as it was sent.
    """

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
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


def request_of(event: Mapping[str, Any]) -> Request:
    """The request of a REST API's proxy event."""
    body = event.get("body") or ""
    return Request(
        method=event["httpMethod"],
        path=event["path"].rstrip("/") or "/",
        query=event.get("multiValueQueryStringParameters") or {},
        headers={name.lower(): value for name, value in (event.get("headers") or {}).items()},
        body=base64.b64decode(body)
        if event.get("isBase64Encoded")
        else body.encode(errors="surrogatepass"),
    )


def tag(body: bytes) -> str:
    """The ETag of a body, which names its run: another run or another query has another one.

    Weak, since the same answer goes out compressed and not.
    """
    return f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def is_known(request: Request, etag: str) -> bool:
    """Whether the sender has the answer with this ETag already."""
    known = request.headers.get("if-none-match", "")
    return known.strip() == "*" or etag in (each.strip() for each in known.split(","))


def proxied(request: Request, reply: Reply) -> dict[str, Any]:
    """The answer as a REST API takes it from a function; compressed where it is large."""
    body, headers = reply.body, {**CORS, "X-Content-Type-Options": "nosniff", **reply.headers}
    if body:
        headers["Content-Type"] = reply.content_type
        headers["Vary"] = "Accept-Encoding"
    is_compressed = len(body) >= LARGE and _takes_gzip(request)
    if is_compressed:
        headers["Content-Encoding"] = "gzip"
        body = gzip.compress(body, QUICK, mtime=0)
    if request.method == "HEAD":
        body = b""
    return {
        "statusCode": int(reply.status),
        "headers": headers,
        "body": base64.b64encode(body).decode() if is_compressed else body.decode(),
        "isBase64Encoded": is_compressed,
    }


def _takes_gzip(request: Request) -> bool:
    """Whether the sender takes gzip; without Accept API Gateway would hand on base64 as it is."""
    accepted = request.headers.get("accept-encoding", "")
    codings = [coding.replace(" ", "") for coding in accepted.lower().split(",")]
    return bool(request.headers.get("accept")) and any(
        coding.partition(";")[0] == "gzip" and not coding.endswith(";q=0") for coding in codings
    )
