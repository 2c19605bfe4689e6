"""Finds the route of a request, calls it and makes its result, or its error, the response."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, get_type_hints
from urllib.parse import unquote

import msgspec
from aws_lambda_powertools import Logger

# ConnectionError is botocore's, not Python's.
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError
from msgspec import UNSET, Struct

from query.http import messages, problems, validation
from query.http.messages import Request, Response
from query.http.problems import ProblemError

logger = Logger(child=True)

MAX_BODY_BYTES = 65_536
# Error codes of DynamoDB and S3 for too many requests.
THROTTLED = frozenset(
    {"ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded"}
)


@dataclass(frozen=True)
class RawResponse:
    """The result of a route that does not return JSON: a page or one of its files.

    The query of a page's address belongs to the page's own script and is not validated.

    Attributes:
        content_type: of the body.
        body: the whole body.
        headers: in addition to those of every response.
    """

    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Route:
    """A method and path of the API.

    Attributes:
        method: GET or POST.
        path: with its parameters in braces.
        summary: its purpose in a few words.
        max_age: seconds for which clients may keep a response.
        errors: its statuses besides 200 and those of every route.
        tag: its group in the documentation; empty for pages.
        handler: takes the parameters and returns the response's body.
        request_model: the class of its parameters, from the handler's annotations.
        response_model: the class of its body, from the handler's annotations.
        pattern: matches its paths.
    """

    method: str
    path: str
    summary: str
    max_age: int
    errors: tuple[int, ...]
    tag: str
    handler: Callable[[Any], Struct | RawResponse]
    request_model: type[Struct] = field(init=False)
    response_model: type = field(init=False)
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        hints = get_type_hints(self.handler)
        self.response_model = hints.pop("return")
        (self.request_model,) = hints.values()
        self.pattern = re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", self.path))
        validation.parameters_of(self.request_model)  # builds their schemas at import

    @property
    def methods(self) -> tuple[str, ...]:
        """The HTTP methods that it answers."""
        return ("GET", "HEAD", "OPTIONS") if self.method == "GET" else (self.method, "OPTIONS")


@dataclass(frozen=True)
class App:
    """An API.

    Attributes:
        routes: in the order in which they are declared and documented.
    """

    routes: list[Route] = field(default_factory=list)

    def get[T: Callable[[Any], Any]](
        self,
        path: str,
        *,
        summary: str,
        max_age: int = 0,
        errors: tuple[int, ...] = (),
        tag: str = "",
    ) -> Callable[[T], T]:
        """Declare a GET route, which takes its parameters from the path and the query."""
        return self._route("GET", path, summary, max_age, errors, tag)

    def post[T: Callable[[Any], Any]](
        self, path: str, *, summary: str, errors: tuple[int, ...] = (), tag: str = ""
    ) -> Callable[[T], T]:
        """Declare a POST route, which takes its parameters from a JSON body."""
        return self._route("POST", path, summary, 0, errors, tag)

    def _route[T: Callable[[Any], Any]](
        self, method: str, path: str, summary: str, max_age: int, errors: tuple[int, ...], tag: str
    ) -> Callable[[T], T]:
        def add(handler: T) -> T:
            self.routes.append(Route(method, path, summary, max_age, errors, tag, handler))
            return handler

        return add

    def resolve(self, event: dict[str, Any]) -> dict[str, Any]:
        """Answer a proxy event; errors become problem documents."""
        request = Request(event)
        try:
            response = self._dispatch(request)
        except ProblemError as error:
            response = _error_response(error, request)
        except Exception as error:
            if is_transient(error):
                logger.warning("AWS did not answer", exc_info=error)
                problem = problems.unavailable("the service is busy; try again")
            else:
                logger.exception("unexpected error", exc_info=error)
                problem = ProblemError(
                    HTTPStatus.INTERNAL_SERVER_ERROR, "something went wrong; it has been logged"
                )
            response = _error_response(problem, request)
        return messages.proxy_result(request, response)

    def _dispatch(self, request: Request) -> Response:
        matches = [
            (route, found.groupdict())
            for route in self.routes
            if (found := route.pattern.fullmatch(request.route_path))
        ]
        if not matches:
            raise problems.not_found(f"no route {request.route_path[: problems.MAX_SHOWN]}")
        allowed = ", ".join(sorted({method for route, _ in matches for method in route.methods}))
        if request.http_method == "OPTIONS":
            return _preflight(allowed)
        for route, values in matches:
            if request.http_method in route.methods:
                return _respond(route, values, request)
        raise ProblemError(
            HTTPStatus.METHOD_NOT_ALLOWED,
            f"{request.http_method} is not allowed; allowed: {allowed}",
            {"Allow": allowed},
        )


def is_transient(error: Exception) -> bool:
    """Whether AWS may soon succeed where it failed now; the SDK has already retried."""
    if isinstance(error, ClientError):
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return status >= 500 or error.response["Error"]["Code"] in THROTTLED
    # No connection, no answer in time, or an answer that breaks off.
    return isinstance(error, HTTPClientError | ConnectionError)


def _preflight(allowed: str) -> Response:
    """The response to OPTIONS, also for a browser that asks on behalf of another site's page."""
    headers = {
        "Allow": allowed,
        "Access-Control-Allow-Methods": allowed,
        "Access-Control-Allow-Headers": "Accept, Content-Type, If-None-Match, X-Api-Key",
        "Access-Control-Max-Age": "86400",
    }
    return Response(HTTPStatus.NO_CONTENT, headers=headers)


def _respond(route: Route, values: Mapping[str, str], request: Request) -> Response:
    """The route's response, or 304 if the client already has it."""
    result = route.handler(_parse(route, values, request))
    if isinstance(result, RawResponse):
        if request.trailing_slashes and request.route_path != "/":
            return _redirect_without_slash(request)
        raw = result
    else:
        raw = RawResponse(messages.JSON, msgspec.json.encode(result), _paging_headers(result))
    if route.method != "GET":
        return Response(HTTPStatus.OK, raw.body, raw.content_type, {"Cache-Control": "no-store"})
    etag = messages.etag(raw.body)
    cache_control = f"max-age={route.max_age}" if route.max_age else "no-cache"
    headers = {"ETag": etag, "Cache-Control": cache_control, **raw.headers}
    if messages.matches_etag(request, etag):
        return Response(HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(HTTPStatus.OK, raw.body, raw.content_type, headers)


def _redirect_without_slash(request: Request) -> Response:
    """Redirect to a page's address without trailing slashes, where its relative links work.

    The redirect is relative, because only the client knows what precedes the path.
    """
    up, name = "../" * request.trailing_slashes, request.route_path.rpartition("/")[2]
    return Response(HTTPStatus.PERMANENT_REDIRECT, headers={"Location": up + name})


def _parse(route: Route, values: Mapping[str, str], request: Request) -> Struct:
    """The parameters of a request."""
    # Decoded only now, when the route is found: an encoded slash ends no part of a path.
    path = {name: [unquote(value)] for name, value in values.items()}
    if issubclass(route.response_model, RawResponse):
        return validation.parse_parameters(route.request_model, path)
    if route.method == "GET":
        query = request.multi_value_query_string_parameters
        return validation.parse_parameters(route.request_model, {**query, **path})
    body = request.content
    if len(body) > MAX_BODY_BYTES:
        detail = f"the body has {len(body)} bytes; the limit is {MAX_BODY_BYTES}"
        raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
    content_type = request.headers.get("content-type", messages.JSON)
    if content_type.partition(";")[0].strip().lower() != messages.JSON:
        detail = f"the body is {content_type[:100]}; it must be {messages.JSON}"
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)
    return validation.parse_json(route.request_model, body)


def _paging_headers(body: Any) -> dict[str, str]:
    """The headers of a page of a list: a body with `links` to other pages and `matched` rows."""
    links = getattr(body, "links", None)
    if links is None:
        return {}
    pages = {name: getattr(links, name) for name in links.__struct_fields__ if name != "self"}
    link = ", ".join(f'<{url}>; rel="{name}"' for name, url in pages.items() if url is not UNSET)
    return {"X-Total-Count": str(body.matched)} | ({"Link": link} if link else {})


def _error_response(error: ProblemError, request: Request) -> Response:
    body = msgspec.json.encode(error.problem(request.route_path))
    headers = {"Cache-Control": "no-store", **error.headers}
    return Response(error.status, body, problems.CONTENT_TYPE, headers)
