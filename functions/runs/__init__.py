"""The runs table: the item of every run, and the writes that change it.

Items: `RUN / <run_id>` is a run (see `runs.item`); `DATASET / <fingerprint>` names the run of a
data set (see `runs.claims`). Every change of state is a conditional write that follows `NEXT`.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from boto3.dynamodb.conditions import Attr, ConditionBase, Key
from botocore.exceptions import ClientError

from runs.item import Run as Run
from runs.states import FINAL, NEXT, State

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table


# Maximum seconds between attempts to update an item that is part of a running transaction. The SDK
# does not retry TransactionConflictException; our transactions take milliseconds.
CONFLICT_PAUSES = (0.1, 0.3, 0.6, 1.0, 2.0)


class RunError(Exception):
    """A run does not exist, or its state does not allow the operation."""


def format_time(moment: datetime) -> str:
    """Format a time as ISO 8601 in UTC with milliseconds, as in the table and the API."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """Parse an ISO 8601 time."""
    return datetime.fromisoformat(text)


def run_key(run_id: str) -> dict[str, str]:
    """Return the key of a run's item."""
    return {"pk": "RUN", "sk": run_id}


def get(table: "Table", run_id: str) -> Run | None:
    """Return a run, or None if it does not exist."""
    item = table.get_item(Key=run_key(run_id), ConsistentRead=True).get("Item")
    return cast("Run", item) if item else None


def latest(table: "Table", limit: int) -> Iterator[Run]:
    """Yield up to `limit` runs, newest first; every megabyte of items is a further request."""
    return islice(_newest_first(table, PaginationConfig={"PageSize": limit}), limit)


def newest_live(table: "Table") -> Run | None:
    """Return the newest run that is LIVE in the table, regardless of the pointer.

    If there is none, return the newest run that was live and is being reindexed.
    """
    was_live = Attr("state").eq(State.INDEXING.value) & Attr(f"timeline.{State.LIVE}").exists()
    for wanted in (Attr("state").eq(State.LIVE.value), was_live):
        if found := next(_newest_first(table, FilterExpression=wanted), None):
            return found
    return None


def unsettled(table: "Table") -> list[Run]:
    """Return all runs that are unfinished or may have items in the index, newest first."""
    is_unfinished = ~Attr("state").is_in(sorted(FINAL))
    wanted = is_unfinished | Attr("in_index").eq(True)
    return list(_newest_first(table, FilterExpression=wanted))


def advance(
    table: "Table",
    run_id: str,
    to: State,
    now: datetime,
    only_from: frozenset[State] | None = None,
    **fields: object,
) -> bool:
    """Move a run to a state, if its current state allows that.

    Args:
        table: the runs table.
        run_id: the run.
        to: the new state.
        now: the current time.
        only_from: allows only these current states, of those that `NEXT` allows.
        **fields: further attributes to set; `cluster_id` is the cluster that caused the change.

    Returns:
        Whether the run moved: False if its state does not allow it, if it does not exist, or if
        the change comes from a first cluster that the run has already given up.
    """
    sources = {state for state, nexts in NEXT.items() if to in nexts}
    if only_from is not None:
        sources &= only_from
    changes = {"state": to.value, "updated_at": format_time(now), **fields}
    condition: ConditionBase = Attr("state").is_in(sorted(sources))
    if "cluster_id" in fields:
        failed = Attr("failed_start.cluster_id")
        condition &= failed.not_exists() | failed.ne(fields["cluster_id"])
    entered = to, format_time(now)
    return update(table, run_id, changes, condition, entered, remove=("waits_for",))


def fail(
    table: "Table",
    run_id: str,
    reason: str,
    now: datetime,
    only_from: frozenset[State] | None = None,
    **fields: object,
) -> bool:
    """Fail a run for a reason that a person can act on; see `advance`."""
    return advance(table, run_id, State.FAILED, now, only_from, reason=reason, **fields)


def transition(
    table: "Table", run_id: str, source: State, to: State, stamp: str
) -> dict[str, dict[str, Any]]:
    """Return a change of state as one item of a larger transaction."""
    return {
        "Update": {
            "TableName": table.name,
            "Key": run_key(run_id),
            "UpdateExpression": "SET #state = :to, updated_at = :at, timeline.#to = :at",
            "ConditionExpression": "#state = :source",
            "ExpressionAttributeNames": {"#state": "state", "#to": to.value},
            "ExpressionAttributeValues": {":to": to.value, ":source": source.value, ":at": stamp},
        }
    }


def set_attributes(table: "Table", run_id: str, **fields: object) -> bool:
    """Set attributes of a run in any state; returns False if the run does not exist."""
    return update(table, run_id, fields, Attr("pk").exists())


def count_index_attempt(table: "Table", run_id: str, now: datetime) -> None:
    """Count that the sweep sent a run to the indexer again."""
    _retry_conflicts(
        lambda: table.update_item(
            Key=run_key(run_id),
            UpdateExpression="SET updated_at = :at ADD index_attempts :one",
            ExpressionAttributeValues={":at": format_time(now), ":one": 1},
        )
    )


def reindex(table: "Table", run_id: str, source: State, now: datetime) -> bool:
    """Move a run to INDEXING because an operator wants it indexed again.

    Args:
        table: the runs table.
        run_id: the run.
        source: the current state. `SUPERSEDED`: promote it regardless of its age. `FAILED`: it
            was held back; promote it regardless of its quality. `LIVE`: its items were lost.
        now: the current time.

    Returns:
        Whether the run moved to INDEXING.
    """
    changes: dict[str, object] = {
        "state": State.INDEXING.value,
        "updated_at": format_time(now),
        "in_index": True,
    }
    if source != State.LIVE:
        changes["promoted_by_hand"] = True
    condition: ConditionBase = Attr("state").eq(source.value)
    if source == State.FAILED:
        condition &= Attr("held_back").eq(True)
    entered = State.INDEXING, format_time(now)
    outdated = "parts_indexed", "parts_removed", "index_attempts", "reason"
    return update(table, run_id, changes, condition, entered, remove=outdated)


def record_indexed_part(table: "Table", run_id: str, part: str) -> Run:
    """Record that a part of a run is in the index; idempotent.

    Returns:
        The updated run; its `parts_indexed` names all parts in the index.
    """
    response = _retry_conflicts(
        lambda: table.update_item(
            Key=run_key(run_id),
            UpdateExpression=(
                "ADD parts_indexed :part DELETE parts_removed :part SET in_index = :yes"
            ),
            ExpressionAttributeValues={":part": {part}, ":yes": True},
            ReturnValues="ALL_NEW",
        )
    )
    return cast("Run", response["Attributes"])


def record_removed_part(table: "Table", run_id: str, part: str) -> None:
    """Record that a part of a finished run was removed; after the last one `in_index` is False.

    Does nothing if the run is live or being reindexed.
    """
    has_ended = Attr("state").is_in([State.FAILED.value, State.SUPERSEDED.value])
    try:
        response = _retry_conflicts(
            lambda: table.update_item(
                Key=run_key(run_id),
                UpdateExpression="ADD parts_removed :part",
                ConditionExpression=has_ended,
                ExpressionAttributeValues={":part": {part}},
                ReturnValues="ALL_NEW",
            )
        )
    except table.meta.client.exceptions.ConditionalCheckFailedException:
        return  # the run is live or being reindexed
    run = cast("Run", response["Attributes"])
    if len(run["parts_removed"]) >= run.get("parts", 0):
        is_unchanged = has_ended & Attr("parts_removed").eq(run["parts_removed"])
        update(table, run_id, {"in_index": False}, is_unchanged, remove=("parts_removed",))


def _newest_first(table: "Table", **options: Any) -> Iterator[Run]:
    # The client of a resource also accepts conditions; its type stubs do not show that.
    paginator: Any = table.meta.client.get_paginator("query")
    pages = paginator.paginate(
        TableName=table.name,
        KeyConditionExpression=Key("pk").eq("RUN"),
        ScanIndexForward=False,
        ConsistentRead=True,
        **options,
    )
    return (item for page in pages for item in page["Items"])


def update(
    table: "Table",
    run_id: str,
    changes: Mapping[str, object],
    condition: ConditionBase,
    entered: tuple[State, str] | None = None,
    remove: Sequence[str] = (),
) -> bool:
    """Write changes to a run, unless its item is missing or does not meet a condition.

    Args:
        table: the runs table.
        run_id: the run.
        changes: attributes to set.
        condition: what the item must meet.
        entered: a state that the run enters, and when, for its timeline.
        remove: attributes to remove.

    Returns:
        Whether the changes were written.
    """
    names = {f"#{index}": name for index, name in enumerate(changes)}
    values: dict[str, Any] = {f":{index}": value for index, value in enumerate(changes.values())}
    assignments = [f"#{index} = :{index}" for index in range(len(changes))]
    if entered:
        names |= {"#timeline": "timeline", "#entered": entered[0].value}
        values[":entered"] = entered[1]
        assignments.append("#timeline.#entered = :entered")
    names |= {f"#r{index}": name for index, name in enumerate(remove)}
    removal = " REMOVE " + ", ".join(f"#r{index}" for index in range(len(remove))) if remove else ""
    try:
        _retry_conflicts(
            lambda: table.update_item(
                Key=run_key(run_id),
                UpdateExpression="SET " + ", ".join(assignments) + removal,
                ConditionExpression=Attr("pk").exists() & condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
            )
        )
    except table.meta.client.exceptions.ConditionalCheckFailedException:
        return False
    return True


def _retry_conflicts[T](write: Callable[[], T]) -> T:
    """Write, and retry while the item is part of a running transaction."""
    for pause in CONFLICT_PAUSES:
        try:
            return write()
        except ClientError as error:
            if error.response["Error"]["Code"] != "TransactionConflictException":
                raise
            time.sleep(random.uniform(0.5, 1) * pause)  # noqa: S311
    return write()


def is_contention(error: ClientError) -> bool:
    """Check whether a transaction was cancelled because of a concurrent write."""
    reasons = {reason.get("Code") for reason in error.response.get("CancellationReasons", [])}
    return bool(reasons & {"ConditionalCheckFailed", "TransactionConflict"})
