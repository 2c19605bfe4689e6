"""The live pointer: which run readers are answered from, and the one write that moves it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import quality_gate
import runs
from index_table import LIVE_KEY
from runs import Run, State

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

MAX_ATTEMPTS = 5  # moves of the pointer that may get in each other's way


class HeldBackError(Exception):
    """A run that must not go live by itself; the message is the reason, with the figures."""


@dataclass(frozen=True)
class LivePointer:
    """The live pointer.

    Attributes:
        run_id: the run that readers are answered from.
        measure: the similarity measure that answers by default.
        measures: all that it has neighbours by.
        min_co_raters: that a pair of movies needed in it.
        min_score: that a pair of movies needed in it, as text.
        titles: S3 key of its titles catalogue.
        previous: the run that was live before and is kept for a rollback.
        retired: the run before that one, whose items are to go.
        promoted_at: when the pointer moved.
    """

    run_id: str
    measure: str
    measures: list[str]
    min_co_raters: int
    min_score: str
    titles: str
    previous: str | None
    retired: str | None
    promoted_at: str


def from_item(item: Mapping[str, Any]) -> LivePointer:
    """The pointer that an item of the index table holds."""
    values = {name: item[name] for name in LivePointer.__dataclass_fields__}
    return LivePointer(**values | {"min_co_raters": int(values["min_co_raters"])})


def read(index_table: "Table") -> LivePointer | None:
    """The live pointer, or None before the first run went live."""
    item = index_table.get_item(Key=dict(LIVE_KEY), ConsistentRead=True).get("Item")
    return from_item(item) if item else None


def next_pointer(current: LivePointer | None, run: Run, now: datetime) -> LivePointer:
    """Where the pointer goes when a run is made live: what was live is kept, its elder retired."""
    return LivePointer(
        run_id=run["run_id"],
        measure=run["measure"],
        measures=run["measures"],
        min_co_raters=int(run["min_co_raters"]),
        min_score=run["min_score"],
        titles=run["titles"],
        previous=current.run_id if current else None,
        retired=current.previous if current else None,
        promoted_at=runs.format_time(now),
    )


def check_not_worse(
    runs_table: "Table", current: LivePointer | None, run: Run, max_loss: float
) -> None:
    """See that a run is not worse than the live one whose place it would take by itself.

    Args:
        runs_table: the runs table.
        current: the pointer.
        run: the run that is to be promoted.
        max_loss: see `quality_gate.regression_reason`.

    Raises:
        HeldBackError: it is.
    """
    if current is None or run["run_id"] <= current.run_id or run.get("promoted_by_hand"):
        return
    if reason := quality_gate.regression_reason(
        run, runs.get(runs_table, current.run_id), max_loss
    ):
        raise HeldBackError(reason)


def promote(
    runs_table: "Table", index_table: "Table", run: Run, now: datetime, max_loss: float
) -> LivePointer:
    """Make an indexed run the live one, in one transaction; doing it again changes nothing.

    The pointer never goes backwards by itself: a run that was dropped before the live one is
    superseded at once, unless somebody asked for it. Run ids sort by time.

    Args:
        runs_table: where the run becomes LIVE and the one before SUPERSEDED.
        index_table: where the pointer moves.
        run: in state INDEXING, with all its parts in the index.
        now: the current time.
        max_loss: see `quality_gate.regression_reason`.

    Returns:
        The pointer afterwards: at this run, or at the later one that is live already.

    Raises:
        HeldBackError: the run is worse than the live one, and nobody asked for it.
        RunError: the pointer kept moving, or the run is in no state to be promoted.
    """
    for _ in range(MAX_ATTEMPTS):
        current = read(index_table)
        if current is not None and current.run_id == run["run_id"]:
            # It is so already, or was indexed anew while the pointer stood at it.
            runs.advance(
                runs_table, run["run_id"], State.LIVE, now, only_from=frozenset({State.INDEXING})
            )
            return current
        is_by_hand = run.get("promoted_by_hand")
        if current is not None and run["run_id"] < current.run_id and not is_by_hand:
            _supersede(runs_table, run["run_id"], current.run_id, now)
            return current
        check_not_worse(runs_table, current, run, max_loss)
        target = next_pointer(current, run, now)
        if _move(runs_table, index_table, current, target, State.INDEXING):
            return target
    raise runs.RunError(f"the live pointer could not be moved to run {run['run_id']}")


def roll_back(runs_table: "Table", index_table: "Table", now: datetime) -> LivePointer:
    """Make the run that was live before the live one again, at once: its items are still there.

    The run that was live is kept in its turn, so that rolling back twice changes nothing.

    Returns:
        The pointer afterwards.

    Raises:
        RunError: there is no run to go back to, or the pointer kept moving.
    """
    for _ in range(MAX_ATTEMPTS):
        current = read(index_table)
        before = runs.get(runs_table, current.previous) if current and current.previous else None
        if current is None or before is None:
            raise runs.RunError("there is no run before the live one to go back to")
        target = replace(next_pointer(current, before, now), retired=None)
        if _move(runs_table, index_table, current, target, State.SUPERSEDED):
            return target
    raise runs.RunError("the live pointer kept moving; try again")


def _supersede(runs_table: "Table", run_id: str, by: str, now: datetime) -> None:
    runs.advance(
        runs_table,
        run_id,
        State.SUPERSEDED,
        now,
        only_from=frozenset({State.INDEXING}),
        reason=f"a later run, {by}, is live",
    )


def _move(
    runs_table: "Table",
    index_table: "Table",
    current: LivePointer | None,
    target: LivePointer,
    source: State,
) -> bool:
    pointer: dict[str, Any] = {
        "TableName": index_table.name,
        "Item": {**LIVE_KEY, **asdict(target)},
        "ConditionExpression": "attribute_not_exists(pk)",
    }
    if current:
        pointer["ConditionExpression"] = "run_id = :current"
        pointer["ExpressionAttributeValues"] = {":current": current.run_id}
    client = index_table.meta.client
    changes: list[Any] = [
        {"Put": pointer},
        runs.transition(runs_table, target.run_id, source, State.LIVE, target.promoted_at),
    ]
    if current:
        changes.append(
            runs.transition(
                runs_table, current.run_id, State.LIVE, State.SUPERSEDED, target.promoted_at
            )
        )
    try:
        client.transact_write_items(TransactItems=changes)
    except client.exceptions.TransactionCanceledException as error:
        if runs.is_contention(error):
            return False
        raise
    return True
