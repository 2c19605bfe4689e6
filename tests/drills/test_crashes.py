"""Functions are killed at every AWS call, then their messages are redelivered."""

import json
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import live_pointer
import runs
from control import handler as control
from indexer import handler as indexer
from launcher import handler as launcher
from launcher import launch
from runs.states import State
from tests.builders.aws import CONTEXT, Cloud, account, movie_line
from tests.builders.indexed import drain, finish_run, movies_of, start_run, state_of
from tests.conftest import Observed
from tests.drills.conftest import Calls, KilledError, watched
from tests.drills.polling import polling
from tools.sample_events import event, manifest_written, messages

PARTS = [[movie_line(1, 2)], [movie_line(2, 1)]]


def fate_of_a_launch(calls: Calls, trigger_name: str) -> timedelta:
    """Launch with a kill or a fault in the first delivery: one cluster, one run, nothing locked.

    Returns:
        How long after the first delivery the cluster was there.
    """
    with account() as there:
        trigger = there.drop("ml")
        expected = 1
        if trigger_name == "rerun":
            launcher.lambda_handler(trigger, CONTEXT)
            (first,) = there.all_runs()
            runs.fail(there.runs, first["run_id"], "why", datetime.now(UTC))
            trigger = event("launcher-rerun")
            trigger["Records"][0]["body"] = json.dumps({"rerun": first["run_id"]})
            expected = 2
        with polling(there) as poller:
            poller.put("LaunchQueue", trigger)
            worked = poller.work_off(
                "LaunchQueue", lambda delivery: watched(calls) if delivery == 1 else nullcontext()
            )
            assert poller.left("LaunchQueue-dead") == 0
        assert len(there.clusters()) == expected
        assert len(there.all_runs()) == expected
        newest = max(there.all_runs(), key=lambda run: run["run_id"])
        assert newest["state"] == State.STARTING
        assert newest["cluster_id"] in {each["Id"] for each in there.clusters()}
    return worked.took


@pytest.mark.drill(
    "Crashes",
    injected="the launcher is killed before and after each of its AWS calls, for a drop and "
    "for a rerun; the queue redelivers its message",
    promised="one cluster, one run, and the run continues",
)
@pytest.mark.parametrize("answered", [True, False], ids=["after", "before"])
@pytest.mark.parametrize("trigger", ["drop", "rerun"])
def test_a_launcher_killed_at_any_call_launches_one_cluster(
    observed: Observed, trigger: str, answered: bool
) -> None:
    undisturbed = Calls()
    assert fate_of_a_launch(undisturbed, trigger) == timedelta(0)
    assert {"TransactWriteItems", "RunJobFlow"} <= set(undisturbed.made)
    for number, operation in enumerate(undisturbed.made, start=1):
        calls = Calls(kill_after=number, answered=answered)
        fate_of_a_launch(calls, trigger)
        assert calls.made == undisturbed.made[:number], operation
    observed(len(undisturbed.made), "1 cluster of each run, STARTING")


@pytest.mark.drill(
    "Crashes",
    injected="the response to each of the launcher's AWS calls is lost, or the call and all "
    "later ones except SQS fail, for a drop and for a rerun; the message is redelivered after "
    "the delay that the launcher sets, while its lease is still valid",
    promised="one cluster, one run, and the run continues: within seconds if no lease was "
    "taken, otherwise when the lease has ended",
)
@pytest.mark.parametrize("answered", [True, False], ids=["answer lost", "fails"])
@pytest.mark.parametrize("trigger", ["drop", "rerun"])
def test_a_launcher_that_fails_at_any_call_recovers_and_launches_one_cluster(
    observed: Observed, trigger: str, answered: bool
) -> None:
    undisturbed = Calls()
    fate_of_a_launch(undisturbed, trigger)
    claimed = undisturbed.made.index("TransactWriteItems") + 1
    waited = []
    for number, operation in enumerate(undisturbed.made, start=1):
        calls = Calls(kill_after=number, answered=answered, survives=True)
        took = fate_of_a_launch(calls, trigger)
        assert calls.made[:number] == undisturbed.made[:number], operation
        assert calls.made[-1] == "ChangeMessageVisibility", operation
        leased = range(claimed, len(undisturbed.made)) if answered else range(claimed + 1, 99)
        assert (took > timedelta(seconds=10)) == (number in leased), operation
        waited.append(took)
    assert max(waited) < launch.LEASE + timedelta(seconds=30)
    minutes = round(max(waited).total_seconds() / 60)
    observed(len(waited), f"1 cluster of each run, STARTING after {minutes} minutes at the most")


def deliver_until_done(there: Cloud, calls: Calls, first: dict[str, Any]) -> None:
    """Process the indexer's queue; after a kill the current message is redelivered last."""
    waiting = list(first["Records"])
    while waiting:
        record = waiting.pop(0)
        with watched(calls):
            try:
                indexer.lambda_handler({"Records": [record]}, CONTEXT)
            except KilledError:
                waiting.append(record)
        if sent := there.messages("IndexQueue"):
            waiting += messages(*sent)["Records"]


def fate_of_an_index(there: Cloud, calls: Calls, first: str, second: str, third: str) -> None:
    """Index a third run with a kill: it is live and complete, and the first run is removed."""
    with there.tables_restored():
        deliver_until_done(there, calls, manifest_written(third))
        pointer = live_pointer.read(there.index)
        assert pointer is not None
        assert (pointer.run_id, pointer.previous) == (third, second)
        assert state_of(there, third) == State.LIVE
        assert movies_of(there, third) == movies_of(there, second) == [1, 2]
        assert movies_of(there, first) == []


@pytest.mark.drill(
    "Crashes",
    injected="the indexer is killed before and after each of its AWS calls; its message is "
    "redelivered last",
    promised="the run is live and complete, the previous run is kept, and no items of older "
    "runs remain",
)
@pytest.mark.parametrize("answered", [True, False], ids=["after", "before"])
def test_an_indexer_killed_at_any_call_leaves_a_whole_index_and_no_orphans(
    cloud: Cloud, observed: Observed, answered: bool
) -> None:
    run_ids = finish_run(cloud, 0, PARTS), finish_run(cloud, 1, PARTS), start_run(cloud, 2)
    cloud.write_result(run_ids[-1], PARTS)
    undisturbed = Calls()
    fate_of_an_index(cloud, undisturbed, *run_ids)
    assert {"TransactWriteItems", "SendMessageBatch", "BatchWriteItem"} <= set(undisturbed.made)
    for number, operation in enumerate(undisturbed.made, start=1):
        calls = Calls(kill_after=number, answered=answered)
        fate_of_an_index(cloud, calls, *run_ids)
        assert calls.made[number - 1] == operation
        assert len(calls.made) > len(undisturbed.made)
    observed(len(undisturbed.made), "LIVE, every movie there, 0 orphans")


def fate_of_a_command(
    there: Cloud, calls: Calls, command: str, first: str, second: str, third: str
) -> None:
    """Run a command with a kill, and repeat it if it had no effect: it takes effect once."""
    with there.tables_restored():
        wanted = {"rollback": second, "promote": first, "rebuild": third}[command]
        asked = {"command": command, "run_id": first}
        with watched(calls):
            try:
                control.lambda_handler(asked, CONTEXT)
            except KilledError:
                drain(there)
                pointer = live_pointer.read(there.index)
                assert pointer is not None
                # What a person would do: look, and ask again for what has not come about.
                if pointer.run_id != wanted or command == "rebuild":
                    control.lambda_handler(asked, CONTEXT)
        drain(there)
        pointer = live_pointer.read(there.index)
        assert pointer is not None
        assert pointer.run_id == wanted
        assert state_of(there, wanted) == State.LIVE
        assert movies_of(there, wanted) == [1, 2]


@pytest.mark.drill(
    "Crashes",
    injected="rollback, promote and rebuild are killed before and after each AWS call, and "
    "repeated if they had no effect",
    promised="the command takes effect exactly once",
)
@pytest.mark.parametrize("answered", [True, False], ids=["after", "before"])
@pytest.mark.parametrize("command", ["rollback", "promote", "rebuild"])
def test_a_command_killed_at_any_call_is_completed_by_repeating_it(
    cloud: Cloud, observed: Observed, command: str, answered: bool
) -> None:
    run_ids = [finish_run(cloud, minute, PARTS) for minute in range(3)]
    before, undisturbed = live_pointer.read(cloud.index), Calls()
    fate_of_a_command(cloud, undisturbed, command, *run_ids)
    assert undisturbed.made
    for number, operation in enumerate(undisturbed.made, start=1):
        calls = Calls(kill_after=number, answered=answered)
        fate_of_a_command(cloud, calls, command, *run_ids)
        assert calls.made[:number] == undisturbed.made[:number], operation
        assert live_pointer.read(cloud.index) == before, "each kill finds what the first one found"
    observed(len(undisturbed.made), "the wanted run is LIVE and whole")
