"""Reconciles runs with the clusters there really are: what to end, to fail, to follow up.

Imports nothing of AWS: facts in, actions out.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from emr_events import TRANSIENT
from runs import BEFORE_LAUNCH, ON_CLUSTER, Run, State, parse_time

# Longer than any message of ours is on its way: what is older than this was lost.
GRACE_PERIOD = timedelta(minutes=30)
# What could not be indexed in so long, handed over anew so often, never will be: sweeps, too, may
# have been away for hours.
INDEXING_LIMIT = timedelta(hours=6)
MAX_INDEX_ATTEMPTS = 6
ALIVE: frozenset[Literal["STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING"]] = frozenset(
    {"STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING"}
)


@dataclass(frozen=True)
class Cluster:
    """A cluster of ours, as EMR describes it.

    Attributes:
        cluster_id: given by EMR.
        run_id: that its name carries.
        state: EMR's.
        code: why it ended, as EMR classes it.
        message: why it ended, in EMR's words.
        created_at: when it was asked for.
        ready_at: when it had its nodes, or None where it never did.
        ended_at: when it ended, or None where it is alive.
        interactive: whether it is kept for people; its idle time ends it.
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
    """How long a cluster may live.

    Attributes:
        starting: until it has its nodes.
        working: from then on.
    """

    starting: timedelta
    working: timedelta


@dataclass(frozen=True)
class Action:
    """What the sweep does, and why.

    Attributes:
        kind: `end` a cluster, `fail` a run, `start` the second cluster of a run, `follow` a run
            whose cluster runs, `index` a run whose result nobody goes on with, `abandon` one that
            cannot be indexed, or `clear` one that has ended from the index.
        run_id: the run.
        reason: for a person.
        cluster_id: the cluster, where it is about one.
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
    """Compare what the runs table says with what EMR says.

    Args:
        runs: those that have not ended, those whose cluster is alive, and those of which items may
            be in the index.
        clusters: of this stack: all that are alive, and those of runs that have not ended.
        with_result: the runs among them whose manifest is written.
        retained: the runs that readers are, or after a rollback would be, answered from.
        now: the current time.
        limits: of a cluster's life.
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
    """Why a cluster is to be ended, or None where it is not."""
    if cluster.state not in ALIVE:
        return None
    # Where people work the idle time is the limit, but a step that hangs is no work of theirs.
    is_computing = run is not None and run["state"] in ON_CLUSTER
    if (is_computing or not cluster.interactive) and (
        late := _overdue_reason(cluster, now, limits)
    ):
        return late
    age = now - cluster.created_at
    if age < GRACE_PERIOD:  # its run may just be about to be noted, or it is about to end itself
        return None
    if run is None:
        return f"cluster {cluster.cluster_id} belongs to no run"
    if (
        run["state"] not in ON_CLUSTER
        and not cluster.interactive
        and _idle(run, now) > GRACE_PERIOD
    ):
        return f"cluster {cluster.cluster_id} still lives though its run is {run['state']}"
    return None


def _overdue_reason(cluster: Cluster, now: datetime, limits: Limits) -> str | None:
    """Why a cluster is past what it is allowed, or None where it is not."""
    if cluster.ready_at is None:
        minutes, limit = _minutes(now - cluster.created_at), _minutes(limits.starting)
        if now - cluster.created_at <= limits.starting:
            return None
        return (
            f"cluster {cluster.cluster_id} has waited {minutes} minutes for its nodes; {limit} are "
            "allowed (StartMinutes). EC2 may lack the instance type in the zone: try again later, "
            "or another AvailabilityZone or InstanceType"
        )
    if now - cluster.ready_at <= limits.working:
        return None
    return (
        f"cluster {cluster.cluster_id} has worked for {_minutes(now - cluster.ready_at)} minutes; "
        f"{_minutes(limits.working)} are allowed (DeadlineMinutes)"
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
    """What is to be done about a run; `terminated` has why clusters are to be ended, by run."""
    run_id, state = run["run_id"], run["state"]
    cluster = of_run.get(run_id)
    if state == State.INDEXING and _cannot_be_indexed(run, now):
        hours = int(INDEXING_LIMIT.total_seconds() // 3600)
        reason = f"its result could not be indexed in {hours} hours: docs/runbook.md says why"
        return Action("abandon", run_id, reason)
    if state == State.INDEXING or (state in ON_CLUSTER and run_id in with_result):
        if _idle(run, now) > GRACE_PERIOD:
            return Action("index", run_id, "the result is there and nobody went on with it")
        return None
    if state in BEFORE_LAUNCH and cluster is None:
        if _idle(run, now) > 2 * GRACE_PERIOD:
            return Action("fail", run_id, "the launcher did not come back: drop the folder again")
        return None
    if state not in ON_CLUSTER or cluster is None:
        return None
    if run_id in terminated:
        return Action("fail", run_id, terminated[run_id])
    if cluster.state not in ALIVE and cluster.state != "TERMINATING":
        why = f"the cluster {cluster.state}: {cluster.code}: {cluster.message}"
        reason = f"{why}; its event never came"
        may_pass = cluster.code in TRANSIENT and cluster.ready_at is None
        is_first = "failed_start" not in run and state != State.RUNNING
        kind: Literal["relaunch", "fail"] = "relaunch" if may_pass and is_first else "fail"
        return Action(kind, run_id, reason, cluster.cluster_id)
    if cluster.state == "RUNNING" and state != State.RUNNING:
        return Action("mark_running", run_id, "the cluster runs; its event never came")
    if cluster.state == "WAITING" and cluster.interactive and _idle(run, now) > GRACE_PERIOD:
        reason = "the step has ended without a result, and the cluster waits: was it cancelled?"
        return Action("fail", run_id, reason)
    return None


def _cannot_be_indexed(run: Run, now: datetime) -> bool:
    """Whether a run in INDEXING had its time and its attempts."""
    is_late = now - _entered(run, State.INDEXING) > INDEXING_LIMIT
    return is_late and run.get("index_attempts", 0) >= MAX_INDEX_ATTEMPTS


def _item_action(run: Run, retained: Collection[str], now: datetime) -> Action | None:
    """What is to be done about a run's items in the index."""
    has_ended = run["state"] in {State.FAILED, State.SUPERSEDED}
    if not has_ended or not run.get("in_index") or run["run_id"] in retained:
        return None
    if _idle(run, now) <= GRACE_PERIOD:
        return None
    return Action("clear", run["run_id"], "items of it are still in the index")


def _entered(run: Run, state: State) -> datetime:
    return parse_time(run["timeline"][state])


def _idle(run: Run, now: datetime) -> timedelta:
    return now - parse_time(run["updated_at"])
