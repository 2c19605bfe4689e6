"""Runs: one claim per data set, and only the state changes that the table allows."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

import runs
from runs import claims
from runs.claims import Launch, Resume, Skip
from runs.states import NEXT, State
from tests.builders.aws import Cloud
from tests.unit.dynalite import database  # noqa: F401

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def claim(cloud: Cloud, failed: runs.Run | None = None, at: datetime = NOW) -> runs.Run | None:
    """Claim the one data set of these tests."""
    return claims.claim(cloud.runs, "f" * 64, "ml", failed, at, MINUTE)


def test_a_data_set_is_claimed_once(cloud: Cloud) -> None:
    first = claim(cloud)
    assert first is not None
    assert claim(cloud, at=NOW + MINUTE) is None
    assert claims.for_dataset(cloud.runs, "f" * 64) == first


def test_a_failed_run_is_replaced_once(cloud: Cloud) -> None:
    first = claim(cloud)
    assert first is not None
    runs.fail(cloud.runs, first["run_id"], "why", NOW)
    second = claim(cloud, failed=first, at=NOW + MINUTE)
    assert second is not None
    assert claim(cloud, failed=first, at=NOW + 2 * MINUTE) is None


def test_a_lease_is_taken_over_once(cloud: Cloud) -> None:
    run = claim(cloud)
    assert run is not None
    assert claims.take_over(cloud.runs, run, NOW + MINUTE, MINUTE)
    assert not claims.take_over(cloud.runs, run, NOW + MINUTE, MINUTE)


@pytest.mark.parametrize("source", State)
@pytest.mark.parametrize("to", [state for state in State if state != State.CHECKING])
def test_a_run_moves_only_as_the_table_allows(cloud: Cloud, source: State, to: State) -> None:
    run = claim(cloud)
    assert run is not None
    put_in_state(cloud, run["run_id"], source)
    assert runs.advance(cloud.runs, run["run_id"], to, NOW) == (to in NEXT[source])
    stands = runs.get(cloud.runs, run["run_id"])
    assert stands is not None
    assert stands["state"] == (to if to in NEXT[source] else source)


def put_in_state(cloud: Cloud, run_id: str, state: State) -> None:
    """Write a state without any condition."""
    cloud.runs.update_item(
        Key=runs.run_key(run_id),
        UpdateExpression="SET #state = :state",
        ExpressionAttributeNames={"#state": "state"},
        ExpressionAttributeValues={":state": state.value},
    )


def test_a_run_that_does_not_exist_cannot_be_moved(cloud: Cloud) -> None:
    assert not runs.advance(cloud.runs, "20261123T120000000Z-00000000", State.FAILED, NOW)
    assert cloud.all_runs() == []


@pytest.fixture
def left(cloud: Cloud) -> str:
    """A failed run whose two parts may be in the index."""
    run = claim(cloud)
    assert run is not None
    put_in_state(cloud, run["run_id"], State.FAILED)
    runs.set_attributes(cloud.runs, run["run_id"], parts=2, in_index=True)
    return run["run_id"]


def test_a_run_has_items_in_the_index_until_its_last_part_is_removed(
    cloud: Cloud, left: str
) -> None:
    for removed in ("a", "a"):
        runs.record_removed_part(cloud.runs, left, removed)
        assert runs.get(cloud.runs, left)["in_index"]
    runs.record_indexed_part(cloud.runs, left, "a")  # by a worker that was slow
    runs.record_removed_part(cloud.runs, left, "b")
    assert runs.get(cloud.runs, left)["in_index"], "a is there again"
    runs.record_removed_part(cloud.runs, left, "a")
    assert not runs.get(cloud.runs, left)["in_index"]
    assert runs.unsettled(cloud.runs) == []


def test_a_part_that_is_loaded_while_the_last_one_is_removed_is_not_forgotten(
    cloud: Cloud, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = runs.update

    def meanwhile(*arguments: object, **named: object) -> bool:
        runs.record_indexed_part(cloud.runs, left, "a")
        return update(*arguments, **named)

    runs.record_removed_part(cloud.runs, left, "a")
    monkeypatch.setattr(runs, "update", meanwhile)
    runs.record_removed_part(cloud.runs, left, "b")
    assert runs.get(cloud.runs, left)["in_index"]


def test_parts_of_a_run_that_is_being_reindexed_do_not_count_as_removed(
    cloud: Cloud, left: str
) -> None:
    runs.record_removed_part(cloud.runs, left, "a")
    runs.set_attributes(cloud.runs, left, held_back=True)
    assert runs.reindex(cloud.runs, left, State.FAILED, NOW)
    runs.record_removed_part(cloud.runs, left, "b")  # a message that was late
    run = runs.get(cloud.runs, left)
    assert run["in_index"]
    assert "parts_removed" not in run


def test_a_run_that_is_being_reindexed_may_have_items_and_has_all_its_attempts(
    cloud: Cloud, left: str
) -> None:
    for _ in range(6):
        runs.count_index_attempt(cloud.runs, left, NOW)
    runs.set_attributes(cloud.runs, left, held_back=True, in_index=False)
    assert runs.reindex(cloud.runs, left, State.FAILED, NOW)
    run = runs.get(cloud.runs, left)
    assert run["in_index"]
    assert "index_attempts" not in run


def test_a_failed_run_can_only_be_indexed_and_only_if_it_was_held_back(cloud: Cloud) -> None:
    assert NEXT[State.FAILED] == {State.INDEXING}
    assert set(NEXT) == set(State)
    run = claim(cloud)
    assert run is not None
    run_id = run["run_id"]
    runs.fail(cloud.runs, run_id, "out of memory", NOW)
    assert not runs.reindex(cloud.runs, run_id, State.FAILED, NOW)
    runs.set_attributes(cloud.runs, run_id, held_back=True)
    assert runs.reindex(cloud.runs, run_id, State.FAILED, NOW)


RUN_IN = st.builds(
    lambda state, failed_at, lease: {
        "run_id": "r",
        "state": state.value,
        "updated_at": runs.format_time(NOW + failed_at),
        "lease_until": runs.format_time(NOW + lease),
    },
    state=st.sampled_from(State),
    failed_at=st.timedeltas(-MINUTE, MINUTE),
    lease=st.timedeltas(-MINUTE, MINUTE),
)


@given(run=RUN_IN, dropped=st.integers(-60, 60))
def test_a_new_run_of_a_data_set_needs_a_failure_and_a_new_drop(
    run: runs.Run, dropped: int
) -> None:
    dropped_at = NOW + timedelta(seconds=dropped)
    decision = claims.decide(run, dropped_at, NOW)
    ended_before = runs.parse_time(run["updated_at"]) < dropped_at + timedelta(seconds=1)
    if isinstance(decision, Launch):
        assert run["state"] == State.FAILED
        assert ended_before
    elif isinstance(decision, Resume):
        assert run["state"] in {State.CHECKING, State.LAUNCHING}
        assert runs.parse_time(run["lease_until"]) <= NOW
    else:
        assert decision == Skip(run)


@given(
    moments=st.lists(
        st.datetimes(datetime(2020, 1, 1), timezones=st.just(UTC)), min_size=2, max_size=9
    )
)
def test_run_ids_sort_by_time(moments: list[datetime]) -> None:
    ids = [claims.new_run_id(moment, "f" * 64) for moment in sorted(moments)]
    assert ids == sorted(ids)


WRITES: dict[str, Callable[[Any, str], object]] = {
    "advance": lambda table, id: runs.advance(table, id, State.INDEXING, NOW),
    "set attributes": lambda table, id: runs.set_attributes(table, id, parts=3),
    "count index attempt": lambda table, id: runs.count_index_attempt(table, id, NOW),
    "part indexed": lambda table, id: runs.record_indexed_part(table, id, "a"),
    "part removed": lambda table, id: runs.record_removed_part(table, id, "a"),
}


@pytest.fixture
def conflicts(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of further updates that conflict with a transaction."""
    to_come, update = [0], cloud.runs.update_item

    def held(**arguments: Any) -> Any:
        if to_come[0]:
            to_come[0] -= 1
            code = "TransactionConflictException"
            raise ClientError({"Error": {"Code": code, "Message": "held"}}, "UpdateItem")
        return update(**arguments)

    monkeypatch.setattr(cloud.runs, "update_item", held)
    monkeypatch.setattr(runs.time, "sleep", lambda _: None)
    return to_come


@pytest.mark.parametrize("write", WRITES)
def test_a_write_is_retried_while_the_run_is_in_a_transaction(
    cloud: Cloud, left: str, conflicts: list[int], write: str
) -> None:
    before = runs.get(cloud.runs, left)
    conflicts[0] = len(runs.CONFLICT_PAUSES)
    WRITES[write](cloud.runs, left)
    assert conflicts == [0]
    assert runs.get(cloud.runs, left) != before
    conflicts[0] = len(runs.CONFLICT_PAUSES) + 1
    with pytest.raises(ClientError, match="TransactionConflictException"):
        WRITES[write](cloud.runs, left)


def test_events_of_a_cluster_that_failed_to_start_no_longer_move_its_run(cloud: Cloud) -> None:
    run = claim(cloud)
    assert run is not None
    id = run["run_id"]
    put_in_state(cloud, id, State.STARTING)
    assert claims.await_second_cluster(cloud.runs, id, {"cluster_id": "j-1"}, NOW)
    waits = runs.get(cloud.runs, id)
    assert claims.await_second_cluster(cloud.runs, id, {"cluster_id": "j-1"}, NOW + MINUTE)
    assert runs.get(cloud.runs, id) == waits
    for to in (State.STARTING, State.RUNNING, State.FAILED):
        assert not runs.advance(cloud.runs, id, to, NOW, cluster_id="j-1")
    assert runs.advance(cloud.runs, id, State.STARTING, NOW, cluster_id="j-2")
    for cluster_id in ("j-1", "j-2"):
        assert not claims.await_second_cluster(cloud.runs, id, {"cluster_id": cluster_id}, NOW)


def test_only_a_later_run_or_an_operator_changes_a_final_state() -> None:
    by_hand_or_later = {State.INDEXING, State.LIVE, State.SUPERSEDED}
    for state in State:
        assert state.is_final == (NEXT[state] <= by_hand_or_later and state != State.INDEXING)
        assert state.label


def test_a_run_item_declares_every_attribute_that_a_run_may_have(cloud: Cloud) -> None:
    first = claim(cloud)
    assert first is not None
    runs.fail(cloud.runs, first["run_id"], "nothing works", NOW)
    again = claims.claim(
        cloud.runs, "f" * 64, "ml", first, NOW + MINUTE, MINUTE, rerun_of=first["run_id"]
    )
    assert again is not None
    for run in cloud.all_runs():
        assert set(run) <= set(runs.Run.__annotations__)
    always = runs.Run.__required_keys__
    assert always == set(runs.get(cloud.runs, again["run_id"]) or {}) - {"rerun_of"}
