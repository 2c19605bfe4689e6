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
from query.http.messages import Reply, Request
from query.http.problems import ProblemError

logger = Logger(child=True)

LARGEST_BODY = 65_536  # bytes
# What DynamoDB and S3 say where they are asked too much.
THROTTLED = frozenset(
    {"ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded"}
)
READING = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Page:
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
        question: the class of its parameters.
        answer: the class of its body.
        seconds: for which an answer may be kept without asking again.
        fails: its statuses beside 200 and those of any request.
    """

    method: str
    path: str
    summary: str
    handler: Callable[[Any], Struct | Page]
    question: type[Struct]
    answer: type
    seconds: int
    fails: tuple[int, ...]

    def match(self, path: str) -> Mapping[str, list[str]] | None:
        """The parameters in a path, or None where it is not this route's."""
        found = re.fullmatch(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", self.path), path)
        return found and {name: [value] for name, value in found.groupdict().items()}


@dataclass(frozen=True)
class Api:
    """All routes.

    Attributes:
        routes: in the order in which they are documented.
    """

    routes: list[Route] = field(default_factory=list)

    def route[T: Callable[[Any], Any]](
        self, method: str, path: str, summary: str, seconds: int = 0, fails: tuple[int, ...] = ()
    ) -> Callable[[T], T]:
        """Add a route, whose question and answer are what its handler takes and returns."""

        def add(handler: T) -> T:
            hints = get_type_hints(handler)
            answer = hints.pop("return")
            (question,) = hints.values()
            self.routes.append(
                Route(method, path, summary, handler, question, answer, seconds, fails)
            )
            return handler

        return add

    def answer(self, request: Request) -> Reply:
        """The answer to a request, whatever it is."""
        try:
            return self._answer(request)
        except ProblemError as error:
            return _problem(error, request)
        except Exception as error:
            if is_passing(error):
                logger.warning("AWS did not answer", exc_info=error)
                return _problem(problems.unavailable("the service is busy; try again"), request)
            logger.exception("unexpected error", exc_info=error)
            said = "something went wrong; it has been logged"
            return _problem(ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, said), request)

    def _answer(self, request: Request) -> Reply:
        found = [(route, route.match(request.path)) for route in self.routes]
        here = [(route, values) for route, values in found if values is not None]
        if not here:
            raise problems.no_such(f"nothing at {request.path[: problems.SHOWN]}")
        methods = sorted({method for route, _ in here for method in methods_of(route)})
        if request.method == "OPTIONS":
            return _preflight(methods)
        for route, values in here:
            if request.method in methods_of(route):
                return _reply(route, values, request)
        raise ProblemError(
            HTTPStatus.METHOD_NOT_ALLOWED,
            f"{request.method} is not possible here, only {', '.join(methods)}",
            {"Allow": ", ".join(methods)},
        )


def is_passing(error: Exception) -> bool:
    """Whether AWS may soon do what it did not do now; the SDK has tried again by then."""
    if isinstance(error, ClientError):
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return status >= 500 or error.response["Error"]["Code"] in THROTTLED
    # No connection, no answer in time, or an answer that breaks off.
    return isinstance(error, HTTPClientError | ConnectionError)


def methods_of(route: Route) -> tuple[str, ...]:
    """The methods of HTTP that a route answers."""
    return READING if route.method == "GET" else (route.method, "OPTIONS")


def _preflight(methods: list[str]) -> Reply:
    """What may be asked at a path, also of a browser on behalf of another site's page."""
    headers = {
        "Allow": ", ".join(methods),
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": messages.ALLOWED_HEADERS,
        "Access-Control-Max-Age": str(messages.PREFLIGHT_SECONDS),
    }
    return Reply(HTTPStatus.NO_CONTENT, headers=headers)


def _reply(route: Route, values: Mapping[str, list[str]], request: Request) -> Reply:
    """What a route answers, or 304 where the sender has that already."""
    answer = route.handler(_question(route, values, request))
    if isinstance(answer, Page) and request.slashes and request.path != "/":
        return _without_slash(request)
    page = answer if isinstance(answer, Page) else Page(messages.JSON, msgspec.json.encode(answer))
    if route.method != "GET":
        return Reply(HTTPStatus.OK, page.body, page.content_type, {"Cache-Control": "no-store"})
    etag = messages.tag(page.body)
    kept = f"max-age={route.seconds}" if route.seconds else "no-cache"
    headers = {"ETag": etag, "Cache-Control": kept, **_paging(answer), **page.headers}
    if messages.is_known(request, etag):
        return Reply(HTTPStatus.NOT_MODIFIED, headers=headers)
    return Reply(HTTPStatus.OK, page.body, page.content_type, headers)


def _without_slash(request: Request) -> Reply:
    """To a page's one address: from another one what it refers to would not be found.

    Relative, for only the client knows what stands before the path.
    """
    up, name = "../" * request.slashes, request.path.rpartition("/")[2]
    return Reply(HTTPStatus.PERMANENT_REDIRECT, headers={"Location": up + name})


def _question(route: Route, values: Mapping[str, list[str]], request: Request) -> Struct:
    if issubclass(route.answer, Page):
        return validation.read_text(route.question, values)
    if route.method == "GET":
        return validation.read_text(route.question, {**request.query, **values})
    if len(request.body) > LARGEST_BODY:
        said = f"the body has {len(request.body)} bytes; {LARGEST_BODY} are allowed"
        raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, said)
    kind = request.headers.get("content-type", messages.JSON)
    if kind.partition(";")[0].strip().lower() != messages.JSON:
        said = f"the body is {kind[:100]}; it has to be {messages.JSON}"
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, said)
    return validation.read_json(route.question, request.body)


def _paging(answer: Any) -> dict[str, str]:
    """The headers of an answer that is one page of several."""
    links = getattr(answer, "links", None)
    if links is None:
        return {}
    pages = {name: getattr(links, name) for name in links.__struct_fields__ if name != "self"}
    said = [f'<{url}>; rel="{name}"' for name, url in pages.items() if url is not UNSET]
    headers = {"X-Total-Count": str(answer.matched)}
    return headers | ({"Link": ", ".join(said)} if said else {})


def _problem(error: ProblemError, request: Request) -> Reply:
    body = msgspec.json.encode(error.problem(request.path))
    headers = {"Cache-Control": "no-store", **error.headers}
    return Reply(error.status, body, problems.CONTENT_TYPE, headers)
