"""What an API says instead of an answer: RFC 9457 problem+json."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

CONTENT_TYPE = "application/problem+json"


class InvalidParameter(Struct, frozen=True, omit_defaults=True):
    """What is wrong with one parameter."""

    parameter: str
    detail: str
    allowed: Annotated[str, Meta(description="What would be right")]
    value: Annotated[str | None, Meta(description="What was given; absent where nothing was")] = (
        None
    )


SHOWN = 200  # characters of a path that an answer repeats


class Problem(Struct, frozen=True):
    """An error, RFC 9457."""

    title: str
    status: int
    detail: str
    instance: Annotated[str, Meta(description="The path that was asked for")]
    type: str = "about:blank"
    errors: Annotated[
        list[InvalidParameter] | UnsetType,
        Meta(description="Of a bad request: what is wrong with it"),
    ] = UNSET


class ProblemError(Exception):
    """A request that cannot be answered; the message is for its sender.

    Attributes:
        status: of HTTP.
        headers: that the answer has beside the usual ones.
        faults: what is wrong with which parameter.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        headers: Mapping[str, str] | None = None,
        faults: list[InvalidParameter] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers or {}
        self.faults = faults

    def problem(self, instance: str) -> Problem:
        """The body of the answer."""
        return Problem(
            title=self.status.phrase,
            status=int(self.status),
            detail=str(self),
            instance=instance[:SHOWN],
            errors=self.faults or UNSET,
        )


def not_found(what: str) -> ProblemError:
    """404: what was asked for is not there."""
    return ProblemError(HTTPStatus.NOT_FOUND, f"there is {what}")


def unavailable(detail: str) -> ProblemError:
    """503: not now, but soon."""
    return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "5"})


def bad_request(*faults: InvalidParameter) -> ProblemError:
    """400: parameters that are missing, unknown or not allowed."""
    said = "; ".join(f"{fault.parameter}: {fault.detail}" for fault in faults)
    return ProblemError(HTTPStatus.BAD_REQUEST, said, faults=list(faults))
