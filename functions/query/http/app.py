"""From a request to its answer: which route, its question, its answer, or the problem."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, get_type_hints

import msgspec
from aws_lambda_powertools import Logger

# ConnectionError is botocore's, not Python's.
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError
from msgspec import UNSET, Struct

from query.http import messages, problems, validation
from query.http.messages import Request, Response
from query.http.problems import ProblemError

logger = Logger(child=True)

MAX_BODY_BYTES = 65_536  # bytes
# What DynamoDB and S3 say where they are asked too much.
THROTTLED = frozenset(
    {"ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded"}
)
READ_METHODS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class RawResponse:
    """An answer that is no JSON of ours: a page, or what belongs to one.

    The query of a page's address is for the page's own program to read.

    Attributes:
        content_type: of the body.
        body: all of it.
        headers: beside those that every answer has.
    """

    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """One thing that can be asked.

    Attributes:
        method: GET or POST.
        path: with its parameters in braces.
        summary: what it is, in a few words.
        handler: answers a question.
        request_model: the class of its parameters.
        response_model: the class of its body.
        max_age: seconds for which an answer may be kept without asking again.
        errors: its statuses beside 200 and those of any request.
    """

    method: str
    path: str
    summary: str
    handler: Callable[[Any], Struct | RawResponse]
    request_model: type[Struct]
    response_model: type
    max_age: int
    errors: tuple[int, ...]

    def match(self, path: str) -> Mapping[str, list[str]] | None:
        """The parameters in a path, or None where it is not this route's."""
        found = re.fullmatch(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", self.path), path)
        return found and {name: [value] for name, value in found.groupdict().items()}


@dataclass(frozen=True)
class App:
    """All routes.

    Attributes:
        routes: in the order in which they are documented.
    """

    routes: list[Route] = field(default_factory=list)

    def route[T: Callable[[Any], Any]](
        self, method: str, path: str, summary: str, max_age: int = 0, errors: tuple[int, ...] = ()
    ) -> Callable[[T], T]:
        """Add a route, whose question and answer are what its handler takes and returns."""

        def add(handler: T) -> T:
            hints = get_type_hints(handler)
            answer = hints.pop("return")
            (question,) = hints.values()
            self.routes.append(
                Route(method, path, summary, handler, question, answer, max_age, errors)
            )
            return handler

        return add

    def handle(self, request: Request) -> Response:
        """The answer to a request, whatever it is."""
        try:
            return self._handle(request)
        except ProblemError as error:
            return _error_response(error, request)
        except Exception as error:
            if is_transient(error):
                logger.warning("AWS did not answer", exc_info=error)
                return _error_response(
                    problems.unavailable("the service is busy; try again"), request
                )
            logger.exception("unexpected error", exc_info=error)
            said = "something went wrong; it has been logged"
            return _error_response(ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, said), request)

    def _handle(self, request: Request) -> Response:
        found = [(route, route.match(request.path)) for route in self.routes]
        here = [(route, values) for route, values in found if values is not None]
        if not here:
            raise problems.not_found(f"nothing at {request.path[: problems.SHOWN]}")
        methods = sorted({method for route, _ in here for method in methods_of(route)})
        if request.method == "OPTIONS":
            return _preflight(methods)
        for route, values in here:
            if request.method in methods_of(route):
                return _respond(route, values, request)
        raise ProblemError(
            HTTPStatus.METHOD_NOT_ALLOWED,
            f"{request.method} is not possible here, only {', '.join(methods)}",
            {"Allow": ", ".join(methods)},
        )


def is_transient(error: Exception) -> bool:
    """Whether AWS may soon do what it did not do now; the SDK has tried again by then."""
    if isinstance(error, ClientError):
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return status >= 500 or error.response["Error"]["Code"] in THROTTLED
    # No connection, no answer in time, or an answer that breaks off.
    return isinstance(error, HTTPClientError | ConnectionError)


def methods_of(route: Route) -> tuple[str, ...]:
    """The methods of HTTP that a route answers."""
    return READ_METHODS if route.method == "GET" else (route.method, "OPTIONS")


def _preflight(methods: list[str]) -> Response:
    """What may be asked at a path, also of a browser on behalf of another site's page."""
    headers = {
        "Allow": ", ".join(methods),
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": messages.ALLOWED_HEADERS,
        "Access-Control-Max-Age": str(messages.PREFLIGHT_SECONDS),
    }
    return Response(HTTPStatus.NO_CONTENT, headers=headers)


def _respond(route: Route, values: Mapping[str, list[str]], request: Request) -> Response:
    """What a route answers, or 304 where the sender has that already."""
    answer = route.handler(_read_request(route, values, request))
    if isinstance(answer, RawResponse) and request.trailing_slashes and request.path != "/":
        return _redirect_without_slash(request)
    page = (
        answer
        if isinstance(answer, RawResponse)
        else RawResponse(messages.JSON, msgspec.json.encode(answer))
    )
    if route.method != "GET":
        return Response(HTTPStatus.OK, page.body, page.content_type, {"Cache-Control": "no-store"})
    etag = messages.etag(page.body)
    kept = f"max-age={route.max_age}" if route.max_age else "no-cache"
    headers = {"ETag": etag, "Cache-Control": kept, **_paging_headers(answer), **page.headers}
    if messages.matches_etag(request, etag):
        return Response(HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(HTTPStatus.OK, page.body, page.content_type, headers)


def _redirect_without_slash(request: Request) -> Response:
    """To a page's one address: from another one what it refers to would not be found.

    Relative, for only the client knows what stands before the path.
    """
    up, name = "../" * request.trailing_slashes, request.path.rpartition("/")[2]
    return Response(HTTPStatus.PERMANENT_REDIRECT, headers={"Location": up + name})


def _read_request(route: Route, values: Mapping[str, list[str]], request: Request) -> Struct:
    if issubclass(route.response_model, RawResponse):
        return validation.parse_parameters(route.request_model, values)
    if route.method == "GET":
        return validation.parse_parameters(route.request_model, {**request.query, **values})
    if len(request.body) > MAX_BODY_BYTES:
        said = f"the body has {len(request.body)} bytes; {MAX_BODY_BYTES} are allowed"
        raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, said)
    kind = request.headers.get("content-type", messages.JSON)
    if kind.partition(";")[0].strip().lower() != messages.JSON:
        said = f"the body is {kind[:100]}; it has to be {messages.JSON}"
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, said)
    return validation.parse_json(route.request_model, request.body)


def _paging_headers(answer: Any) -> dict[str, str]:
    """The headers of an answer that is one page of several."""
    links = getattr(answer, "links", None)
    if links is None:
        return {}
    pages = {name: getattr(links, name) for name in links.__struct_fields__ if name != "self"}
    said = [f'<{url}>; rel="{name}"' for name, url in pages.items() if url is not UNSET]
    headers = {"X-Total-Count": str(answer.matched)}
    return headers | ({"Link": ", ".join(said)} if said else {})


def _error_response(error: ProblemError, request: Request) -> Response:
    body = msgspec.json.encode(error.problem(request.path))
    headers = {"Cache-Control": "no-store", **error.headers}
    return Response(error.status, body, problems.CONTENT_TYPE, headers)
