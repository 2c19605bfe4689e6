"""Compares runs with clusters and decides what to do; pure functions without AWS."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from emr_events import TRANSIENT
from runs import Run, parse_time
from runs.states import BEFORE_LAUNCH, ON_CLUSTER, State

# Messages arrive faster than this: after it, a missing event counts as lost.
GRACE_PERIOD = timedelta(minutes=30)
# A run that was not indexed in this time and after MAX_INDEX_ATTEMPTS is given up. Both count,
# because the sweep itself may have been down for hours.
INDEXING_LIMIT = timedelta(hours=6)
MAX_INDEX_ATTEMPTS = 6
ALIVE: frozenset[Literal["STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING"]] = frozenset(
    {"STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING"}
)


@dataclass(frozen=True)
class Cluster:
    """A cluster of this stack, as EMR describes it.

    Attributes:
        cluster_id: its id.
        run_id: the run in its name.
        state: EMR's state.
        code: EMR's code of the reason why it ended.
        message: EMR's message why it ended.
        created_at: when it was requested.
        ready_at: when it had its nodes, or None.
        ended_at: when it ended, or None while it is alive.
        interactive: whether it is kept after its step until it is idle.
    """

    cluster_id: str
    run_id: str
    state: str
    code: str
    message: str
    created_at: datetime
    ready_at: datetime | None = None
    ended_at: datetime | None = None
    interactive: bool = False


@dataclass(frozen=True)
class Limits:
    """Time limits of a cluster.

    Attributes:
        starting: until it has its nodes.
        working: after that.
    """

    starting: timedelta
    working: timedelta


@dataclass(frozen=True)
class Action:
    """An action of the sweep.

    Attributes:
        kind: `terminate` a cluster, `fail` a run, `relaunch` its cluster, `mark_running` a run
            whose cluster runs, `index` a run whose indexing has stopped, `abandon` a run that
            cannot be indexed, or `clear` the items of a finished run from the index.
        run_id: the run.
        reason: the reason, for people.
        cluster_id: the cluster, if the action concerns one.
    """

    kind: Literal["terminate", "fail", "relaunch", "mark_running", "index", "abandon", "clear"]
    run_id: str
    reason: str
    cluster_id: str | None = None


def reconcile(
    runs: Sequence[Run],
    clusters: Sequence[Cluster],
    with_result: Collection[str],
    retained: Collection[str],
    now: datetime,
    limits: Limits,
) -> list[Action]:
    """Compare the runs table with EMR.

    Args:
        runs: all runs that have not ended, have a living cluster, or may have items in the index.
        clusters: all living clusters of this stack, and those of runs that have not ended.
        with_result: ids of the runs with a manifest.
        retained: ids of the live run and the previous one.
        now: the current time.
        limits: time limits of clusters.
    """
    by_run = {run["run_id"]: run for run in runs}
    of_run = {cluster.run_id: cluster for cluster in clusters}
    actions = []
    for cluster in clusters:
        why = _termination_reason(cluster, by_run.get(cluster.run_id), now, limits)
        if why:
            actions.append(Action("terminate", cluster.run_id, why, cluster.cluster_id))
    terminated = {action.run_id: action.reason for action in actions}
    for run in runs:
        action = _run_action(run, of_run, with_result, now, terminated) or _item_action(
            run, retained, now
        )
        if action:
            actions.append(action)
    return actions


def _termination_reason(
    cluster: Cluster, run: Run | None, now: datetime, limits: Limits
) -> str | None:
    """Return why a cluster must be terminated, or None."""
    if cluster.state not in ALIVE:
        return None
    # Only its idle time limits an interactive cluster, but not while the step is running.
    is_computing = run is not None and run["state"] in ON_CLUSTER
    if (is_computing or not cluster.interactive) and (
        late := _overdue_reason(cluster, now, limits)
    ):
        return late
    age = now - cluster.created_at
    if age < GRACE_PERIOD:  # its run may not be recorded yet, or it is about to end
        return None
    if run is None:
        return f"cluster {cluster.cluster_id} does not belong to a run"
    if (
        run["state"] not in ON_CLUSTER
        and not cluster.interactive
        and _idle(run, now) > GRACE_PERIOD
    ):
        return f"cluster {cluster.cluster_id} is still running although its run is {run['state']}"
    return None


def _overdue_reason(cluster: Cluster, now: datetime, limits: Limits) -> str | None:
    """Return why a cluster exceeds its time limit, or None."""
    if cluster.ready_at is None:
        minutes, limit = _minutes(now - cluster.created_at), _minutes(limits.starting)
        if now - cluster.created_at <= limits.starting:
            return None
        return (
            f"cluster {cluster.cluster_id} has waited {minutes} minutes for its nodes; "
            f"the limit is {limit} (StartMinutes). EC2 may lack the instance type in the zone: try "
            "later, or choose another AvailabilityZone or InstanceType"
        )
    if now - cluster.ready_at <= limits.working:
        return None
    return (
        f"cluster {cluster.cluster_id} has run for {_minutes(now - cluster.ready_at)} minutes; "
        f"the limit is {_minutes(limits.working)} (DeadlineMinutes)"
    )


def _minutes(span: timedelta) -> int:
    return int(span.total_seconds() // 60)


def _run_action(
    run: Run,
    of_run: Mapping[str, Cluster],
    with_result: Collection[str],
    now: datetime,
    terminated: Mapping[str, str],
) -> Action | None:
    """Decide about a run; `terminated` has the reasons of terminated clusters, by run."""
    run_id, state = run["run_id"], run["state"]
    cluster = of_run.get(run_id)
    if state == State.INDEXING and _cannot_be_indexed(run, now):
        hours = int(INDEXING_LIMIT.total_seconds() // 3600)
        reason = f"its result could not be indexed within {hours} hours: see docs/runbook.md"
        return Action("abandon", run_id, reason)
    if state == State.INDEXING or (state in ON_CLUSTER and run_id in with_result):
        if _idle(run, now) > GRACE_PERIOD:
            return Action("index", run_id, "the result is complete but indexing has stopped")
        return None
    if state in BEFORE_LAUNCH and cluster is None:
        if _idle(run, now) > 2 * GRACE_PERIOD:
            return Action("fail", run_id, "the launcher did not finish: drop the folder again")
        return None
    if state not in ON_CLUSTER or cluster is None:
        return None
    if run_id in terminated:
        return Action("fail", run_id, terminated[run_id])
    if cluster.state not in ALIVE and cluster.state != "TERMINATING":
        why = f"the cluster {cluster.state}: {cluster.code}: {cluster.message}"
        reason = f"{why}; its event was lost"
        may_pass = cluster.code in TRANSIENT and cluster.ready_at is None
        is_first = "failed_start" not in run and state != State.RUNNING
        kind: Literal["relaunch", "fail"] = "relaunch" if may_pass and is_first else "fail"
        return Action(kind, run_id, reason, cluster.cluster_id)
    if cluster.state == "RUNNING" and state != State.RUNNING:
        return Action("mark_running", run_id, "the cluster is running; its event was lost")
    if cluster.state == "WAITING" and cluster.interactive and _idle(run, now) > GRACE_PERIOD:
        reason = (
            "the step ended without a result and the cluster is waiting: was the step cancelled?"
        )
        return Action("fail", run_id, reason)
    return None


def _cannot_be_indexed(run: Run, now: datetime) -> bool:
    """Check whether a run in INDEXING has used up its time and its attempts."""
    is_late = now - _entered(run, State.INDEXING) > INDEXING_LIMIT
    return is_late and run.get("index_attempts", 0) >= MAX_INDEX_ATTEMPTS


def _item_action(run: Run, retained: Collection[str], now: datetime) -> Action | None:
    """Decide about a run's items in the index."""
    has_ended = run["state"] in {State.FAILED, State.SUPERSEDED}
    if not has_ended or not run.get("in_index") or run["run_id"] in retained:
        return None
    if _idle(run, now) <= GRACE_PERIOD:
        return None
    return Action("clear", run["run_id"], "its items are still in the index")


def _entered(run: Run, state: State) -> datetime:
    return parse_time(run["timeline"][state])


def _idle(run: Run, now: datetime) -> timedelta:
    return now - parse_time(run["updated_at"])
