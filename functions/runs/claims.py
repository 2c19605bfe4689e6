"""Which run a dropped data set gets, and which launcher may start the run's cluster.

A claim, `DATASET / <fingerprint>` in the runs table, gives each data set one run. A lease on the
run lets one launcher at a time work on it; another one may take over when the lease has ended.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.conditions import Attr

from runs import format_time, get, is_contention, parse_time, update
from runs.item import FailedStart, Run
from runs.states import BEFORE_LAUNCH, State

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table


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


def _dataset_key(fingerprint: str) -> dict[str, str]:
    return {"pk": "DATASET", "sk": fingerprint}


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
    is_mine = update(table, run["run_id"], changes, condition, remove=("waits_for",))
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
    update(table, run_id, changes, Attr("state").is_in([*BEFORE_LAUNCH]))


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
    if update(table, run_id, changes, condition, entered, remove=("cluster_id",)):
        return True
    # Maybe the SDK repeated the write, see `_is_leased_by`.
    run = get(table, run_id)
    return (
        run is not None
        and run["state"] == State.LAUNCHING
        and "failed_start" in run
        and run["failed_start"]["cluster_id"] == failed_start["cluster_id"]
    )


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
