"""The runs table: the state of every run, and the claim that gives each data set one run.

Items: `RUN / <run_id>` is a run (see `run_item`); `DATASET / <fingerprint>` names the run of a data
set. Every change of state is a conditional write that follows `NEXT`.
"""

import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, cast

from boto3.dynamodb.conditions import Attr, ConditionBase, Key
from botocore.exceptions import ClientError

from run_item import FailedStart
from run_item import Run as Run

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table


class State(StrEnum):
    """The state of a run.

    Attributes:
        label: the state in words, for people.
        is_final: whether the run stays in it unless an operator or a later run moves it.
    """

    _value_: str
    label: str
    is_final: bool

    CHECKING = "CHECKING", "checking the folder"  # nothing is paid for yet
    LAUNCHING = "LAUNCHING", "requesting a cluster"
    STARTING = "STARTING", "the cluster is starting"
    RUNNING = "RUNNING", "Spark is computing"
    INDEXING = "INDEXING", "loading the index"
    LIVE = "LIVE", "serving the API", True
    SUPERSEDED = "SUPERSEDED", "a later run is live", True
    FAILED = "FAILED", "failed, see its reason", True  # or was held back

    def __new__(cls, name: str, label: str, is_final: bool = False) -> Self:
        """Make a state from its row above."""
        state = str.__new__(cls, name)
        state._value_, state.label, state.is_final = name, label, is_final
        return state


# EMR events may be lost or late, so a run may skip STARTING and RUNNING.
NEXT: Mapping[State, frozenset[State]] = {
    State.CHECKING: frozenset({State.LAUNCHING, State.FAILED}),
    State.LAUNCHING: frozenset({State.STARTING, State.RUNNING, State.INDEXING, State.FAILED}),
    State.STARTING: frozenset({State.RUNNING, State.INDEXING, State.FAILED}),
    State.RUNNING: frozenset({State.INDEXING, State.FAILED}),
    State.INDEXING: frozenset({State.LIVE, State.SUPERSEDED, State.FAILED}),
    State.LIVE: frozenset({State.SUPERSEDED, State.INDEXING}),  # INDEXING only by an operator
    State.SUPERSEDED: frozenset({State.LIVE, State.INDEXING}),  # only by an operator
    State.FAILED: frozenset({State.INDEXING}),  # only by an operator, if the run was held back
}

BEFORE_LAUNCH = frozenset({State.CHECKING, State.LAUNCHING})
ON_CLUSTER = frozenset({State.LAUNCHING, State.STARTING, State.RUNNING})
FINAL = frozenset(state for state in State if state.is_final)

# Maximum seconds between attempts to update an item that is part of a running transaction. The SDK
# does not retry TransactionConflictException; our transactions take milliseconds.
CONFLICT_PAUSES = (0.1, 0.3, 0.6, 1.0, 2.0)


class RunError(Exception):
    """A run does not exist, or its state does not allow the operation."""


@dataclass(frozen=True)
class Launch:
    """Start a new run; `failed` is the failed run of the same data set that it replaces."""

    failed: Run | None = None


@dataclass(frozen=True)
class Resume:
    """Take over a run whose launcher died before it launched a cluster."""

    run: Run


@dataclass(frozen=True)
class Skip:
    """Do nothing: the data set already has a run."""

    run: Run


def decide(run: Run | None, dropped_at: datetime, now: datetime) -> Launch | Resume | Skip:
    """Decide what to do with a dropped data set.

    Args:
        run: the run of the data set, if it has one.
        dropped_at: when the file of the event arrived, in whole seconds as S3 reports it.
        now: the current time.
    """
    if run is None:
        return Launch()
    if run["state"] == State.FAILED and dropped_at >= parse_time(run["updated_at"]).replace(
        microsecond=0
    ):
        # Dropped again after the failure. Earlier events are late or duplicate.
        return Launch(failed=run)
    if run["state"] in BEFORE_LAUNCH and now >= parse_time(run["lease_until"]):
        return Resume(run)
    return Skip(run)


def new_run_id(now: datetime, fingerprint: str) -> str:
    """Make a run id: the creation time in milliseconds, by which ids sort, and the data set."""
    return f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}Z-{fingerprint[:8]}"


def format_time(moment: datetime) -> str:
    """Format a time as ISO 8601 in UTC with milliseconds, as in the table and the API."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """Parse an ISO 8601 time."""
    return datetime.fromisoformat(text)


def run_key(run_id: str) -> dict[str, str]:
    """Return the key of a run's item."""
    return {"pk": "RUN", "sk": run_id}


def _dataset_key(fingerprint: str) -> dict[str, str]:
    return {"pk": "DATASET", "sk": fingerprint}


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


def for_dataset(table: "Table", *fingerprints: str) -> Run | None:
    """Return the run of a data set, or None if the data set is new.

    Args:
        table: the runs table.
        fingerprints: of the data set; the first with a run counts.
    """
    for fingerprint in fingerprints:
        claim = table.get_item(Key=_dataset_key(fingerprint), ConsistentRead=True).get("Item")
        if claim:
            return get(table, str(claim["run_id"]))
    return None


def claim(
    table: "Table",
    fingerprint: str,
    folder: str,
    failed: Run | None,
    now: datetime,
    lease: timedelta,
    rerun_of: str | None = None,
) -> Run | None:
    """Create a run for a data set, unless another launcher has just done so.

    Args:
        table: the runs table.
        fingerprint: of the data set.
        folder: where it was dropped, for display.
        failed: the run to replace: the failed one from `decide`, or the one to repeat.
        now: the current time; it becomes part of the run id.
        lease: how long the caller may take before another launcher may take over.
        rerun_of: the run that it repeats.

    Returns:
        The new run, or None if another launcher was faster.
    """
    stamp = format_time(now)
    run_id, owner = new_run_id(now, fingerprint), uuid.uuid4().hex
    run: Run = {
        "pk": "RUN",
        "sk": run_id,
        "run_id": run_id,
        "folder": folder,
        "fingerprint": fingerprint,
        "state": State.CHECKING.value,
        "attempt": int(failed["attempt"]) + 1 if failed else 1,
        "created_at": stamp,
        "updated_at": stamp,
        "timeline": {State.CHECKING.value: stamp},
        "lease_until": format_time(now + lease),
        "lease_owner": owner,
    }
    if rerun_of:
        run["rerun_of"] = rerun_of
    try:
        _put_claimed(table, run, failed)
    except table.meta.client.exceptions.TransactionCanceledException as error:
        if is_contention(error):
            return run if _is_leased_by(table, run_id, owner) else None
        raise
    return run


def _put_claimed(table: "Table", run: Run, failed: Run | None) -> None:
    """Write a new run and claim its data set, which only the failed run may have claimed."""
    claim_item: Any = {
        "TableName": table.name,
        "Item": {**_dataset_key(run["fingerprint"]), "run_id": run["run_id"]},
        "ConditionExpression": "run_id = :failed" if failed else "attribute_not_exists(pk)",
    }
    if failed:
        claim_item["ExpressionAttributeValues"] = {":failed": failed["run_id"]}
    run_item: Any = {
        "TableName": table.name,
        "Item": run,
        "ConditionExpression": "attribute_not_exists(pk)",
    }
    table.meta.client.transact_write_items(TransactItems=[{"Put": claim_item}, {"Put": run_item}])


def take_over(table: "Table", run: Run, now: datetime, lease: timedelta) -> bool:
    """Lease a run whose launcher died; returns False if another launcher was faster."""
    owner = uuid.uuid4().hex
    condition = Attr("lease_until").eq(run["lease_until"]) & Attr("state").is_in(
        sorted(BEFORE_LAUNCH)
    )
    changes = {
        "lease_until": format_time(now + lease),
        "lease_owner": owner,
        "updated_at": format_time(now),  # so the sweep waits for this launcher, too
    }
    is_mine = _update(table, run["run_id"], changes, condition, remove=("waits_for",))
    return is_mine or _is_leased_by(table, run["run_id"], owner)


def postpone_launch(
    table: "Table", run_id: str, now: datetime, until: datetime, waits_for: str
) -> None:
    """Make a run wait for its cluster; until then no launcher may take it over.

    Args:
        table: the runs table.
        run_id: the run.
        now: the current time.
        until: when a message will resume the run.
        waits_for: one sentence, for people.
    """
    changes = {
        "lease_until": format_time(until),
        "updated_at": format_time(now),  # so the sweep waits, too
        "waits_for": waits_for,
    }
    _update(table, run_id, changes, Attr("state").is_in([*BEFORE_LAUNCH]))


def ended_lease(now: datetime) -> str:
    """Return the time of an ended lease, with a margin for clock differences."""
    return format_time(now - timedelta(minutes=1))


def _is_leased_by(table: "Table", run_id: str, owner: str) -> bool:
    """Check whether a launcher holds the lease although its write was rejected.

    If the response to a write is lost, the SDK repeats the write, and its condition then fails
    because of the first write. Without this check nobody would launch the cluster.
    """
    run = get(table, run_id)
    return run is not None and run.get("lease_owner") == owner


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
    return _update(table, run_id, changes, condition, entered, remove=("waits_for",))


def await_second_cluster(
    table: "Table", run_id: str, failed_start: FailedStart, now: datetime
) -> bool:
    """Make a run wait for its second cluster because the first one failed to start.

    Args:
        table: the runs table.
        run_id: the run.
        failed_start: the first cluster.
        now: the current time; from now on the run can be leased.

    Returns:
        Whether the run now waits, also if it did before: False if it already had a second
        cluster, has a different cluster, or its cluster had already started.
    """
    cluster = Attr("cluster_id")
    condition = (
        Attr("state").is_in([State.LAUNCHING.value, State.STARTING.value])
        & Attr(f"timeline.{State.RUNNING}").not_exists()
        & Attr("failed_start").not_exists()
        & (cluster.not_exists() | cluster.eq(failed_start["cluster_id"]))
    )
    changes = {
        "state": State.LAUNCHING.value,
        "updated_at": format_time(now),
        "lease_until": ended_lease(now),
        "failed_start": dict(failed_start),
    }
    entered = State.LAUNCHING, format_time(now)
    if _update(table, run_id, changes, condition, entered, remove=("cluster_id",)):
        return True
    # Maybe the SDK repeated the write, see `_is_leased_by`.
    run = get(table, run_id)
    return (
        run is not None
        and run["state"] == State.LAUNCHING
        and "failed_start" in run
        and run["failed_start"]["cluster_id"] == failed_start["cluster_id"]
    )


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
    return _update(table, run_id, fields, Attr("pk").exists())


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
    return _update(table, run_id, changes, condition, entered, remove=outdated)


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
        _update(table, run_id, {"in_index": False}, is_unchanged, remove=("parts_removed",))


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


def _update(
    table: "Table",
    run_id: str,
    changes: Mapping[str, object],
    condition: ConditionBase,
    entered: tuple[State, str] | None = None,
    remove: Sequence[str] = (),
) -> bool:
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
