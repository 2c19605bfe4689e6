"""Control: roll back at once, make any finished run live again, repeat any run."""

from typing import Any

import pytest

import index_table
import live_pointer
import runs
from control import handler as control
from launcher import handler as launcher
from runs.states import State
from tests.builders.aws import CONTEXT, Cloud, movie_line
from tests.builders.indexed import deliver, drain, finish_run, movies_of, start_run, state_of
from tests.unit.dynalite import database  # noqa: F401
from tests.unit.runs.test_indexer import manifest_written
from tools.sample_events import event, messages


def ask(name: str, run_id: str | None = None) -> dict[str, str]:
    """Invoke the function with one of the sample events."""
    asked: dict[str, Any] = event(f"control-{name}")
    if run_id:
        asked["run_id"] = run_id
    return control.lambda_handler(asked, CONTEXT)


def live_run(cloud: Cloud) -> str:
    """The live run."""
    pointer = live_pointer.read(cloud.index)
    assert pointer is not None
    assert state_of(cloud, pointer.run_id) == State.LIVE
    return pointer.run_id


def test_a_rollback_makes_the_previous_run_live_at_once_and_a_second_one_undoes_it(
    cloud: Cloud,
) -> None:
    first, second = finish_run(cloud, 0), finish_run(cloud, 1)
    assert ask("rollback")["done"].startswith(f"{first} is live again")
    assert (live_run(cloud), state_of(cloud, second)) == (first, State.SUPERSEDED)
    assert movies_of(cloud, first) == movies_of(cloud, second) == [1, 2, 3]

    ask("rollback")
    assert (live_run(cloud), state_of(cloud, first)) == (second, State.SUPERSEDED)


def test_a_later_run_goes_live_after_a_rollback_and_unretained_runs_are_removed(
    cloud: Cloud,
) -> None:
    first, second = finish_run(cloud, 0), finish_run(cloud, 1)
    ask("rollback")
    third = finish_run(cloud, 2)
    assert live_run(cloud) == third
    assert movies_of(cloud, first) == [1, 2, 3]
    assert movies_of(cloud, second) == []


def test_a_rollback_without_a_previous_run_is_refused(cloud: Cloud) -> None:
    assert "no previous run" in ask("rollback")["refused"]
    only = finish_run(cloud)
    assert "no previous run" in ask("rollback")["refused"]
    assert live_run(cloud) == only


def test_a_long_superseded_run_is_reindexed_and_goes_live(cloud: Cloud) -> None:
    first = finish_run(cloud, 0, parts=[[movie_line(1, 2)], [movie_line(2, 1)], [movie_line(7)]])
    second, third = finish_run(cloud, 1), finish_run(cloud, 2)
    assert movies_of(cloud, first) == []

    assert "is being indexed" in ask("promote", first)["done"]
    assert (state_of(cloud, first), live_run(cloud)) == (State.INDEXING, third)
    drain(cloud)
    assert (live_run(cloud), movies_of(cloud, first)) == (first, [1, 2, 7])
    assert state_of(cloud, third) == State.SUPERSEDED
    assert (movies_of(cloud, third), movies_of(cloud, second)) == ([1, 2, 3], [])


def test_late_removals_do_not_touch_a_run_that_is_being_reindexed(cloud: Cloud) -> None:
    first = finish_run(cloud, 0)
    finish_run(cloud, 1)
    run_id = start_run(cloud, 2)
    cloud.write_result(run_id, [[movie_line(1, 2), movie_line(2, 1)]])
    deliver(manifest_written(run_id))
    (part,) = cloud.messages("IndexQueue")
    deliver_one(part)
    late = cloud.messages("IndexQueue")
    assert {(task["action"], task["run_id"]) for task in late} == {("remove", first)}
    ask("promote", first)
    for task in late:
        deliver_one(task)
    drain(cloud)
    for task in late:
        deliver_one(task)
    assert (live_run(cloud), movies_of(cloud, first)) == (first, [1, 2, 3])


def deliver_one(body: dict[str, Any]) -> None:
    """Deliver one message of the index queue."""
    deliver(messages(body))


def test_promoting_the_previous_run_needs_no_indexing_and_promoting_the_live_one_changes_nothing(
    cloud: Cloud,
) -> None:
    first, second = finish_run(cloud, 0), finish_run(cloud, 1)
    assert ask("promote", second)["done"] == f"{second} is already live"
    assert "live again" in ask("promote", first)["done"]
    assert live_run(cloud) == first
    assert cloud.messages("IndexQueue") == []


def test_a_lost_index_is_rebuilt_from_the_result_with_the_same_responses(cloud: Cloud) -> None:
    finish_run(cloud, 0)
    run_id = finish_run(cloud, 1)
    before = {item["pk"]: item for item in cloud.index.scan()["Items"] if run_id in item["pk"]}
    for item in cloud.index.scan()["Items"]:
        cloud.index.delete_item(Key={"pk": item["pk"]})

    assert ask("rebuild")["done"] == f"{run_id} is being indexed again from its result"
    assert state_of(cloud, run_id) == State.INDEXING
    drain(cloud)
    assert live_run(cloud) == run_id
    after = {item["pk"]: item for item in cloud.index.scan()["Items"] if run_id in item["pk"]}
    assert after == before


def test_a_rebuilt_run_under_the_pointer_is_live_again_and_a_later_run_goes_live_after_it(
    cloud: Cloud,
) -> None:
    run_id = finish_run(cloud, 0)
    cloud.index.delete_item(Key=index_table.movie_key(run_id, 1))
    ask("rebuild")
    later = start_run(cloud, 1)
    cloud.write_result(later, [[movie_line(1, 2), movie_line(2, 1)]])
    deliver(manifest_written(later))
    drain(cloud)
    assert movies_of(cloud, run_id) == [1, 2, 3]
    assert live_run(cloud) in {run_id, later}
    assert {state_of(cloud, run_id), state_of(cloud, later)} <= {
        State.LIVE, State.SUPERSEDED, State.INDEXING
    }  # fmt: skip
    assert state_of(cloud, run_id) != State.INDEXING


def test_a_rebuild_without_a_live_run_is_refused(cloud: Cloud) -> None:
    start_run(cloud)
    assert "no LIVE run" in ask("rebuild")["refused"]


@pytest.mark.parametrize(
    ("lost", "why"),
    [("manifest.json", "no longer exists"), ("neighbours/part-00001.json.gz", "part-00001")],
)
def test_a_run_whose_result_was_deleted_keeps_its_state_and_the_reason_is_given(
    cloud: Cloud, lost: str, why: str
) -> None:
    first, _, third = (finish_run(cloud, minute) for minute in range(3))
    for run_id in (first, third):
        cloud.s3.delete_object(Bucket="results", Key=f"runs/{run_id}/{lost}")
    assert why in ask("promote", first)["refused"]
    assert why in ask("rebuild")["refused"]
    assert (state_of(cloud, first), live_run(cloud)) == (State.SUPERSEDED, third)


@pytest.mark.parametrize("command", ["promote", "rerun"])
def test_an_impossible_command_is_refused_with_the_reason(cloud: Cloud, command: str) -> None:
    assert "does not exist" in ask(command, "20261123T120500000Z-5f2a9c01")["refused"]
    assert "is not a run id" in ask(command, "../etc")["refused"]
    running = start_run(cloud)
    assert f"{running} is RUNNING" in ask(command, running)["refused"]
    unknown = control.lambda_handler({"command": "explode"}, CONTEXT)
    assert "rollback, promote, rebuild or rerun" in unknown["refused"]


def test_a_rerun_of_a_run_that_never_requested_a_cluster_is_refused(cloud: Cloud) -> None:
    launcher.lambda_handler(cloud.drop("ml", ratings="no rating\n" * 9), CONTEXT)
    (run,) = cloud.all_runs()
    assert run["state"] == "FAILED"
    assert ask("rerun", run["run_id"])["refused"].endswith("drop its folder again")
    assert cloud.messages("LaunchQueue") == []


def rerun(cloud: Cloud, run_id: str) -> list[dict[str, Any]]:
    """Request a rerun and deliver it twice, as SQS may; returns all runs by id."""
    assert "has been requested" in ask("rerun", run_id)["done"]
    (body,) = cloud.messages("LaunchQueue")
    trigger = event("launcher-rerun")
    assert set(body) == {"rerun"}
    trigger["Records"][0]["body"] = trigger["Records"][0]["body"].replace(
        "20261123T120500000Z-5f2a9c01", body["rerun"]
    )
    for _ in range(2):
        launcher.lambda_handler(trigger, CONTEXT)
    return sorted(cloud.all_runs(), key=lambda run: run["run_id"])


def test_a_rerun_clones_the_cluster_on_the_same_input_and_code(cloud: Cloud) -> None:
    launcher.lambda_handler(cloud.drop("ml"), CONTEXT)
    (first,) = cloud.all_runs()
    runs.fail(cloud.runs, first["run_id"], "Spot nodes were taken away", runs.parse_time(
        first["updated_at"]))  # fmt: skip
    cloud.put("ml/ratings.dat", "something else by now")
    cloud.put(f"runs/{first['run_id']}/code/similarity_job.py", "# as it was", "results")

    first, second = rerun(cloud, first["run_id"])
    assert (second["state"], second["rerun_of"]) == ("STARTING", first["run_id"])
    assert (second["attempt"], len(cloud.clusters())) == (2, 2)
    assert second["request"] == first["request"].replace(first["run_id"], second["run_id"])

    def content(key: str) -> bytes:
        run = f"runs/{second['run_id']}/{key}"
        return cloud.s3.get_object(Bucket="results", Key=run)["Body"].read()

    assert content("code/similarity_job.py") == b"# as it was"
    assert content("input/ratings.dat").startswith(b"1::1::4.5")


def test_a_rerun_without_its_input_fails_with_the_reason(cloud: Cloud) -> None:
    launcher.lambda_handler(cloud.drop("ml"), CONTEXT)
    (first,) = cloud.all_runs()
    runs.fail(cloud.runs, first["run_id"], "why", runs.parse_time(first["updated_at"]))
    for name in ("ratings.dat", "movies.dat"):
        cloud.s3.delete_object(Bucket="results", Key=f"runs/{first['run_id']}/input/{name}")
    _, second = rerun(cloud, first["run_id"])
    assert second["state"] == "FAILED"
    assert "drop the folder again" in second["reason"]
    assert len(cloud.clusters()) == 1
