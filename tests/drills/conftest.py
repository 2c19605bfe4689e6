"""What the drills share: a hand that kills a function at one of its AWS calls."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import botocore.client
import pytest


class KilledError(BaseException):
    """The function's process is gone. No Exception: nothing of the function may catch it."""


@dataclass
class Calls:
    """The AWS calls that were made.

    Attributes:
        kill_after: the call after which the process is killed, counted from 1; None for none.
        answered: whether that call is still carried out, only its answer never seen.
        made: names of the operations, in order.
    """

    kill_after: int | None = None
    answered: bool = True
    made: list[str] = field(default_factory=list)


@contextmanager
def watched(calls: Calls) -> Iterator[Calls]:
    """Count the AWS calls of a block, and kill it where `calls` says."""
    original: Callable = botocore.client.BaseClient._make_api_call

    def call(client: object, operation: str, parameters: dict) -> object:
        calls.made.append(operation)
        is_last = len(calls.made) == calls.kill_after
        if is_last and not calls.answered:
            raise KilledError(operation)
        try:
            return original(client, operation, parameters)
        finally:
            if is_last:
                raise KilledError(operation)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.client.BaseClient, "_make_api_call", call)
        yield calls
