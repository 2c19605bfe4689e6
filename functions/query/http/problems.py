"""Errors as RFC 9457 problem documents."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

CONTENT_TYPE = "application/problem+json"
MAX_SHOWN = 200  # characters of a path that a problem repeats


class InvalidParameter(Struct, frozen=True, omit_defaults=True):
    """A parameter that is wrong, and why."""

    parameter: str
    detail: str
    allowed: Annotated[str, Meta(description="What would be valid")]
    value: Annotated[str | None, Meta(description="The value sent; absent if there was none")] = (
        None
    )


class Problem(Struct, frozen=True, kw_only=True):
    """An error, RFC 9457."""

    title: str
    status: Annotated[
        int | UnsetType, Meta(description="Absent in some errors of API Gateway itself")
    ] = UNSET
    detail: str
    instance: Annotated[
        str | UnsetType,
        Meta(description="The path of the request; absent in errors of API Gateway itself"),
    ] = UNSET
    type: str = "about:blank"
    errors: Annotated[
        list[InvalidParameter] | UnsetType,
        Meta(description="The invalid parameters of a bad request"),
    ] = UNSET


class ProblemError(Exception):
    """A request that fails; the message goes to the client.

    Attributes:
        status: the HTTP status.
        headers: additional headers of the response.
        errors: the invalid parameters.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        headers: Mapping[str, str] | None = None,
        errors: list[InvalidParameter] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = HTTPStatus(status)
        self.headers = headers or {}
        self.errors = errors or []

    def problem(self, instance: str) -> Problem:
        """The body of the response to a request for the path `instance`."""
        return Problem(
            title=self.status.phrase,
            status=int(self.status),
            detail=str(self),
            instance=instance[:MAX_SHOWN],
            errors=self.errors or UNSET,
        )


def not_found(detail: str) -> ProblemError:
    """404."""
    return ProblemError(HTTPStatus.NOT_FOUND, detail)


def unavailable(detail: str) -> ProblemError:
    """503: try again soon."""
    return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "5"})


def bad_request(*errors: InvalidParameter) -> ProblemError:
    """400: parameters are missing, unknown or invalid."""
    detail = "; ".join(f"{error.parameter}: {error.detail}" for error in errors)
    return ProblemError(HTTPStatus.BAD_REQUEST, detail, errors=list(errors))
