"""The live pointer, which names the run that serves readers, and the one write that moves it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import runs
from index_table import LIVE_KEY
from runs import Run
from runs.states import State

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

MAX_ATTEMPTS = 5  # concurrent moves of the pointer may conflict


@dataclass(frozen=True)
class LivePointer:
    """The live pointer.

    Attributes:
        run_id: the live run.
        measure: its default similarity measure.
        measures: all its measures.
        min_co_raters: minimum number of co-raters of a pair of movies.
        min_score: minimum score of a pair of movies, as text.
        titles: S3 key of its titles catalogue.
        previous: the run that was live before, kept for a rollback.
        retired: the run before that, whose items are removed.
        promoted_at: when the pointer moved.
        users: how many have rated; None if the run's item does not say.
        strength: what scores mean, by measure, see `spark.contracts.strength.to_text`; None if the
            run's item does not say. As text, because every request reads the pointer.
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
    users: int | None = None
    strength: str | None = None


def from_item(item: Mapping[str, Any]) -> LivePointer:
    """Convert an item of the index table to a pointer."""
    values = {name: item[name] for name in LivePointer.__dataclass_fields__ if name in item}
    users = values.get("users")  # an earlier version wrote pointers without it
    numbers = {"min_co_raters": int(values["min_co_raters"]), "users": users and int(users)}
    return LivePointer(**values | numbers)


def read(index_table: "Table") -> LivePointer | None:
    """Return the live pointer, or None before the first run has gone live."""
    item = index_table.get_item(Key=dict(LIVE_KEY), ConsistentRead=True).get("Item")
    return from_item(item) if item else None


def next_pointer(current: LivePointer | None, run: Run, now: datetime) -> LivePointer:
    """Return the pointer to a new live run: keeps the current run and retires the previous one."""
    users = run.get("counts", {}).get("users")
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
        users=None if users is None else int(users),
        strength=run.get("strength"),
    )


def promote(
    runs_table: "Table",
    index_table: "Table",
    run: Run,
    now: datetime,
    check: Callable[[LivePointer | None], None],
) -> LivePointer:
    """Make an indexed run live, in one transaction; idempotent.

    The pointer never moves back to an older run (run ids sort by time) unless an operator promotes
    it: a run that is older than the live one is superseded at once.

    Args:
        runs_table: the run becomes LIVE and the previous one SUPERSEDED.
        index_table: holds the pointer.
        run: a run in state INDEXING with all its parts in the index.
        now: the current time.
        check: raises an error if the run must not replace the run of that pointer.

    Returns:
        The resulting pointer: to this run, or to a later run that is already live.

    Raises:
        RunError: the pointer kept moving, or the state of the run does not allow it.
    """
    for _ in range(MAX_ATTEMPTS):
        current = read(index_table)
        if current is not None and current.run_id == run["run_id"]:
            # It is live already, or was reindexed while live.
            runs.advance(
                runs_table, run["run_id"], State.LIVE, now, only_from=frozenset({State.INDEXING})
            )
            return current
        is_by_hand = run.get("promoted_by_hand")
        if current is not None and run["run_id"] < current.run_id and not is_by_hand:
            _supersede(runs_table, run["run_id"], current.run_id, now)
            return current
        check(current)
        target = next_pointer(current, run, now)
        if _move(runs_table, index_table, current, target, State.INDEXING):
            return target
    raise runs.RunError(
        f"the live pointer kept moving; it could not be moved to run {run['run_id']}"
    )


def roll_back(runs_table: "Table", index_table: "Table", now: datetime) -> LivePointer:
    """Make the previous run live again, at once: its items are still in the index.

    The current run is kept as the previous one, so rolling back twice changes nothing.

    Returns:
        The resulting pointer.

    Raises:
        RunError: there is no previous run, or the pointer kept moving.
    """
    for _ in range(MAX_ATTEMPTS):
        current = read(index_table)
        before = runs.get(runs_table, current.previous) if current and current.previous else None
        if current is None or before is None:
            raise runs.RunError("there is no previous run to roll back to")
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
