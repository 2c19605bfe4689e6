"""Fixtures of the drills: notes for docs/reliability.md, and hooks that disturb AWS calls."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import botocore.client
import pytest
from botocore.exceptions import ReadTimeoutError

from tests.builders.aws import Cloud, account

type Hand = Callable[[str, dict, Callable[[], object]], object]


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """See `account`."""
    with account() as made:
        yield made


class KilledError(BaseException):
    """The process of the function is killed; not an Exception, so the function cannot catch it."""


@dataclass
class Calls:
    """The AWS calls of a block.

    Attributes:
        kill_after: the call after which the process is killed, counted from 1; None for none.
        answered: whether that call is still carried out, only its answer never seen.
        survives: whether that call only fails, with an error that nothing of the function expects;
            where it is not carried out, nothing after it is but what SQS does.
        made: names of the operations, in order.
    """

    kill_after: int | None = None
    answered: bool = True
    survives: bool = False
    made: list[str] = field(default_factory=list)


@contextmanager
def between(hand: Hand) -> Iterator[None]:
    """Hook into the AWS calls of a block.

    Args:
        hand: is given an operation's name, its parameters, and what carries it out; returns the
            answer. The calls that it makes itself reach AWS without it.
    """
    original: Callable = botocore.client.BaseClient._make_api_call
    is_busy = False

    def call(client: object, operation: str, parameters: dict) -> object:
        nonlocal is_busy
        carry_out = partial(original, client, operation, parameters)
        if is_busy:
            return carry_out()
        is_busy = True
        try:
            return hand(operation, parameters, carry_out)
        finally:
            is_busy = False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.client.BaseClient, "_make_api_call", call)
        yield


@contextmanager
def watched(calls: Calls) -> Iterator[Calls]:
    """Count the AWS calls of a block, and kill it or fail a call as `calls` says."""
    end = ReadTimeoutError(endpoint_url="by the drill") if calls.survives else KilledError()

    def hand(operation: str, _: dict, carry_out: Callable[[], object]) -> object:
        calls.made.append(operation)
        is_last = len(calls.made) == calls.kill_after
        is_over = calls.survives and len(calls.made) > (calls.kill_after or 0)
        if not calls.answered and (is_last or (is_over and operation != "ChangeMessageVisibility")):
            raise end
        try:
            return carry_out()
        finally:
            if is_last:
                raise end

    with between(hand):
        yield calls
