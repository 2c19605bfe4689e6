"""The sweep's decisions: repair lost events, terminate useless clusters, leave the rest alone."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

import runs
from runs.states import FINAL, State
from sweeper.reconcile import (
    GRACE_PERIOD,
    INDEXING_LIMIT,
    MAX_INDEX_ATTEMPTS,
    Action,
    Cluster,
    Limits,
    reconcile,
)

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DEADLINE = timedelta(hours=2)
START = timedelta(minutes=40)
MINUTE = timedelta(minutes=1)
STATES = ["STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING", "TERMINATING", "TERMINATED"]


def run(
    state: State, idle: timedelta = MINUTE, run_id: str = "r", since: timedelta | None = None
) -> runs.Run:
    """A run that was last updated some time ago and has been in its state at least as long."""
    entered = runs.format_time(NOW - (since or idle))
    return {
        "run_id": run_id,
        "state": state.value,
        "updated_at": runs.format_time(NOW - idle),
        "timeline": {state.value: entered},
    }


def cluster(
    state: str = "RUNNING",
    age: timedelta = MINUTE,
    interactive: bool = False,
    code: str = "WHY",
    started_in: timedelta | None = timedelta(0),
) -> Cluster:
    """The cluster of run r."""
    ready_at = None if started_in is None else NOW - age + started_in
    created_at = NOW - age
    return Cluster(
        "j-1", "r", state, code, "because", created_at, ready_at, interactive=interactive
    )


def decisions(
    run: runs.Run | None,
    cluster: Cluster | None,
    with_result: bool = False,
    kept: frozenset[str] = frozenset(),
) -> list[tuple[str, str]]:
    """Kinds and reasons of the actions."""
    actions = reconcile(
        [run] if run else [], [cluster] if cluster else [], {"r"} if with_result else set(),
        kept, NOW, Limits(starting=START, working=DEADLINE),
    )  # fmt: skip
    assert all(isinstance(action, Action) and action.run_id == "r" for action in actions)
    return [(action.kind, action.reason) for action in actions]


def kinds(*arguments: object, **named: object) -> list[str]:
    """Kinds of the actions."""
    return [kind for kind, _ in decisions(*arguments, **named)]


@pytest.mark.parametrize("state", [State.LAUNCHING, State.STARTING, State.RUNNING])
def test_an_overdue_cluster_is_terminated_and_its_run_fails(state: State) -> None:
    decided = decisions(run(state), cluster(age=DEADLINE + MINUTE))
    assert [kind for kind, _ in decided] == ["terminate", "fail"]
    assert "has run for 121 minutes; the limit is 120 (DeadlineMinutes)" in decided[0][1]
    assert decided[0][1] == decided[1][1]


@pytest.mark.parametrize("cluster_state", ["STARTING", "BOOTSTRAPPING"])
def test_a_cluster_that_waits_too_long_for_its_nodes_is_terminated_with_advice(
    cluster_state: str,
) -> None:
    late = cluster(cluster_state, age=START + MINUTE, started_in=None)
    decided = decisions(run(State.STARTING), late)
    assert [kind for kind, _ in decided] == ["terminate", "fail"]
    assert "waited 41 minutes for its nodes; the limit is 40 (StartMinutes)" in decided[0][1]
    assert "choose another AvailabilityZone or InstanceType" in decided[1][1]
    assert kinds(run(State.STARTING), cluster(cluster_state, START, started_in=None)) == []


def test_the_deadline_counts_from_when_the_cluster_had_its_nodes() -> None:
    waited = cluster(age=DEADLINE + START, started_in=START)
    assert kinds(run(State.RUNNING), waited) == []
    assert kinds(run(State.RUNNING), cluster(age=DEADLINE + START + MINUTE, started_in=START)) == [
        "terminate", "fail",
    ]  # fmt: skip


@pytest.mark.parametrize("state", [State.LAUNCHING, State.STARTING])
def test_a_failed_start_without_an_event_gets_a_second_cluster_and_no_third(state: State) -> None:
    failed = cluster("TERMINATED_WITH_ERRORS", code="INTERNAL_ERROR", started_in=None)
    assert kinds(run(state), failed) == ["relaunch"]
    assert kinds(run(state) | {"failed_start": {"cluster_id": "j-0"}}, failed) == ["fail"]
    assert kinds(run(State.RUNNING), failed) == ["fail"]
    lasting = cluster("TERMINATED_WITH_ERRORS", code="VALIDATION_ERROR", started_in=None)
    assert kinds(run(state), lasting) == ["fail"]
    had_nodes = cluster("TERMINATED_WITH_ERRORS", code="INTERNAL_ERROR")
    assert kinds(run(state), had_nodes) == ["fail"]


def test_a_run_whose_step_was_cancelled_on_an_interactive_cluster_fails() -> None:
    waiting = cluster("WAITING", age=GRACE_PERIOD * 3, interactive=True)
    assert kinds(run(State.RUNNING, idle=GRACE_PERIOD), waiting) == []
    ((kind, reason),) = decisions(run(State.RUNNING, idle=GRACE_PERIOD + MINUTE), waiting)
    assert kind == "fail"
    assert "was the step cancelled?" in reason


@pytest.mark.parametrize("state", sorted(FINAL))
def test_a_cluster_whose_run_has_ended_is_a_stray(state: State) -> None:
    assert kinds(run(state, idle=MINUTE), cluster("WAITING", age=GRACE_PERIOD * 2)) == []
    assert kinds(run(state, idle=GRACE_PERIOD * 2), cluster("WAITING", age=GRACE_PERIOD * 3)) == [
        "terminate"
    ]


def test_a_cluster_without_a_run_is_a_stray_when_it_is_older_than_a_launch_takes() -> None:
    assert kinds(None, cluster(age=MINUTE)) == []
    assert kinds(None, cluster(age=GRACE_PERIOD + MINUTE)) == ["terminate"]


def test_an_interactive_cluster_ends_by_its_idle_time() -> None:
    kept = cluster("WAITING", age=DEADLINE * 5, interactive=True)
    assert kinds(run(State.LIVE, idle=DEADLINE * 4), kept) == []


def test_a_hanging_step_is_terminated_even_on_an_interactive_cluster() -> None:
    kept = cluster(age=DEADLINE + MINUTE, interactive=True)
    assert kinds(run(State.RUNNING), kept) == ["terminate", "fail"]


def test_a_run_whose_cluster_ended_without_an_event_fails_with_the_reason() -> None:
    (decided,) = decisions(run(State.RUNNING), cluster("TERMINATED_WITH_ERRORS"))
    assert decided == (
        "fail",
        "the cluster TERMINATED_WITH_ERRORS: WHY: because; its event was lost",
    )


@pytest.mark.parametrize("state", [State.LAUNCHING, State.RUNNING, State.INDEXING])
def test_a_complete_result_whose_indexing_stopped_is_indexed(state: State) -> None:
    ended = cluster("TERMINATED", age=DEADLINE)
    assert kinds(run(state, idle=MINUTE), ended, with_result=True) == []
    assert kinds(run(state, idle=GRACE_PERIOD * 2), ended, with_result=True) == ["index"]


def test_a_running_cluster_makes_its_run_running() -> None:
    assert kinds(run(State.STARTING), cluster("RUNNING")) == ["mark_running"]
    assert kinds(run(State.RUNNING), cluster("RUNNING")) == []


@pytest.mark.parametrize("state", [State.CHECKING, State.LAUNCHING])
def test_a_run_whose_launcher_did_not_finish_fails(state: State) -> None:
    assert kinds(run(state, idle=GRACE_PERIOD), None) == []
    ((kind, reason),) = decisions(run(state, idle=GRACE_PERIOD * 3), None)
    assert kind == "fail"
    assert "drop the folder again" in reason


@given(
    state=st.sampled_from(sorted(State)),
    idle=st.timedeltas(timedelta(0), timedelta(hours=9)),
    cluster_state=st.sampled_from(STATES),
    age=st.timedeltas(timedelta(0), timedelta(hours=9)),
    with_result=st.booleans(),
)
def test_no_cluster_outlives_its_deadline_and_no_ended_cluster_is_terminated(
    state: State, idle: timedelta, cluster_state: str, age: timedelta, with_result: bool
) -> None:
    decided = kinds(run(state, idle), cluster(cluster_state, age), with_result=with_result)
    alive = cluster_state in STATES[:4]
    if alive and age > DEADLINE:
        assert "terminate" in decided
    if not alive:
        assert "terminate" not in decided
    assert decided.count("fail") + decided.count("index") <= 1
    if state in FINAL:
        assert set(decided) <= {"terminate"}


def test_a_result_that_cannot_be_indexed_is_retried_and_finally_given_up() -> None:
    def after(idle: timedelta, since: timedelta, attempts: int = MAX_INDEX_ATTEMPTS) -> list[str]:
        waiting = run(State.INDEXING, idle, since=since) | {"index_attempts": attempts}
        return kinds(waiting, None, with_result=True)

    assert after(MINUTE, since=timedelta(hours=5)) == []
    assert after(GRACE_PERIOD + MINUTE, since=timedelta(hours=5)) == ["index"]
    assert after(MINUTE, since=INDEXING_LIMIT + MINUTE) == ["abandon"]
    # No sweep came round for hours, as where its own rights were taken away.
    assert after(INDEXING_LIMIT, since=INDEXING_LIMIT + MINUTE, attempts=0) == ["index"]
    assert after(MINUTE, since=INDEXING_LIMIT * 2, attempts=MAX_INDEX_ATTEMPTS - 1) == []


def test_a_run_in_indexing_without_its_manifest_is_still_handled() -> None:
    assert kinds(run(State.INDEXING, GRACE_PERIOD * 2), None, with_result=False) == ["index"]


@pytest.mark.parametrize("state", [State.FAILED, State.SUPERSEDED])
def test_items_of_a_finished_run_are_removed_unless_the_run_is_retained(state: State) -> None:
    left = run(state, GRACE_PERIOD + MINUTE) | {"in_index": True}
    assert kinds(left, None) == ["clear"]
    assert kinds(left, None, kept=frozenset({"r"})) == []
    assert kinds(left | {"in_index": False}, None) == []
    assert kinds(run(state, GRACE_PERIOD + MINUTE), None) == []
    assert kinds(run(state, MINUTE) | {"in_index": True}, None) == [], "it is under way"
    assert kinds(run(State.LIVE, GRACE_PERIOD + MINUTE) | {"in_index": True}, None) == []
