"""API Gateway's proxy events as HTTP requests, and HTTP responses as proxy results."""

import base64
import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

JSON = "application/json"
# Any site's page may read the API: a response holds nothing that its caller could not fetch anyway.
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "ETag, Link, Retry-After, X-Total-Count",
}
COMPRESS_FROM = 2048  # bytes; smaller bodies are sent as they are
COMPRESSION_LEVEL = 5  # half the time of zlib's best level for 2 % more bytes


class Request(APIGatewayProxyEvent):
    """A request: a REST API's proxy event."""

    @cached_property
    def route_path(self) -> str:
        """The path below the API's address, without trailing slashes.

        An event's `path` includes a custom domain's base path, and the stage if the mapping names
        none; `resource` never does. So the path is the resource with its parameters filled in.
        They are used as they come: sources disagree on whether API Gateway decodes them,
        our routes need no encoding, and decoding here would turn `%252F` into a slash.
        """
        resource, values = self.get("resource") or "", self.path_parameters
        names = re.findall(r"{(\w+)\+?}", resource)
        if not resource or any(values.get(name) is None for name in names):
            path = self.path
        else:
            path = re.sub(r"{(\w+)\+?}", lambda found: values[found[1]], resource)
        return path.rstrip("/") or "/"

    @property
    def trailing_slashes(self) -> int:
        """The number of slashes at the end of the address."""
        return len(self.path) - len(self.path.rstrip("/"))

    @property
    def content(self) -> bytes:
        """The body as it was sent."""
        body = self.body or ""
        if self.is_base64_encoded:
            return base64.b64decode(body)
        return body.encode(errors="surrogatepass")


@dataclass(frozen=True)
class Response:
    """A response.

    Attributes:
        status: the HTTP status.
        body: uncompressed.
        content_type: of the body.
        headers: in addition to those of every response.
    """

    status: HTTPStatus
    body: bytes = b""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


def etag(body: bytes) -> str:
    """The ETag of a body: weak, because the same body goes out compressed and uncompressed."""
    return f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def matches_etag(request: Request, etag: str) -> bool:
    """Whether the client already has the body with this ETag."""
    known = request.headers.get("if-none-match", "")
    return known.strip() == "*" or etag in (each.strip() for each in known.split(","))


def proxy_result(request: Request, response: Response) -> dict[str, Any]:
    """The response in the form that API Gateway expects from a function."""
    body, headers = response.body, {**CORS, "X-Content-Type-Options": "nosniff", **response.headers}
    if body:
        headers["Content-Type"] = response.content_type
        headers["Vary"] = "Accept-Encoding"
    is_compressed = len(body) >= COMPRESS_FROM and _accepts_gzip(request)
    if is_compressed:
        headers["Content-Encoding"] = "gzip"
        body = gzip.compress(body, COMPRESSION_LEVEL, mtime=0)
    if request.http_method == "HEAD":
        body = b""
    return {
        "statusCode": int(response.status),
        "headers": headers,
        "body": base64.b64encode(body).decode() if is_compressed else body.decode(),
        "isBase64Encoded": is_compressed,
    }


def _accepts_gzip(request: Request) -> bool:
    """Whether the client accepts gzip; without `Accept`, API Gateway would not decode base64."""
    codings = request.headers.get("accept-encoding", "").lower().replace(" ", "").split(",")
    return bool(request.headers.get("accept")) and any(
        coding.partition(";")[0] == "gzip" and not coding.endswith(";q=0") for coding in codings
    )
