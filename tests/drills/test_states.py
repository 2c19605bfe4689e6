"""Random histories of runs: drops, deliveries, kills, EMR events, sweeps, commands."""

import json
import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from freezegun import freeze_time
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import index_table
import live_pointer
import runs
from control import handler as control
from indexer import handler as indexer
from launcher import handler as launcher
from monitor import handler as monitor
from runs.states import FINAL, NEXT, ON_CLUSTER, State
from sweeper import handler as sweeper
from tests.builders.aws import CONTEXT, MOVIES, RATINGS, account, movie_line
from tests.conftest import Observed
from tests.drills.conftest import Calls, KilledError, watched
from tools.sample_events import dropped, event, manifest_written, messages

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
FOLDERS = ("a", "b")
CONTENTS = tuple(RATINGS + f"77::1::3::{time}\n" for time in range(3))
HANDLERS = {"LaunchQueue": launcher, "IndexQueue": indexer}
RESULTS = ("good", "good", "good, then the cluster dies", "bad part", "none")
ATTEMPTS = 5  # of a message, before it comes to nothing
BY_HAND = ("rollback", "promote", "rebuild", "rerun")

type Message = tuple[str, dict[str, Any]]  # queue and event


def reachable(state: State) -> set[State]:
    """All states that NEXT reaches from a state."""
    found, waiting = {state}, [state]
    while waiting:
        new = NEXT[waiting.pop()] - found
        found |= new
        waiting += new
    return found


class Life(RuleBasedStateMachine):
    """AWS and the functions, step by step, with the invariants after each step and at the end."""

    steps: ClassVar[int] = 0
    lived: ClassVar[dict[str, int]] = defaultdict(int)

    def __init__(self) -> None:
        super().__init__()
        self.account = account()
        self.clock = freeze_time(START)
        self.now = self.clock.start()
        self.cloud = self.account.__enter__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(sweeper.sns, "publish", lambda **_: None)
        for folder in FOLDERS:  # the first file of each; one more completes the drop
            self.cloud.put(f"{folder}/movies.dat", MOVIES)
        self.waiting: list[Message] = []
        self.news: list[dict[str, Any]] = []
        self.seen: dict[str, State] = {}
        self.pointers: list[str] = []
        self.computed: set[str] = set()
        self.was_by_hand = False

    def teardown(self) -> None:
        """Deliver everything, sweep for hours, and check the final state."""
        try:
            self.settle()
            self.check_end()
        finally:
            self.patch.undo()
            self.account.__exit__(None, None, None)
            self.clock.stop()

    # ---- what happens ---------------------------------------------------------------------------

    @precondition(lambda self: len(self.seen) < 6)
    @rule(folder=st.sampled_from(FOLDERS), content=st.sampled_from(CONTENTS))
    def drop(self, folder: str, content: str) -> None:
        """A file arrives; its event is sent twice."""
        self.cloud.put(f"{folder}/ratings.dat", content)
        self.waiting += [("LaunchQueue", dropped(f"{folder}/ratings.dat")) for _ in range(2)]

    @precondition(lambda self: self.waiting)
    @rule(place=st.integers(0, 50), kill=st.none() | st.integers(1, 12), answered=st.booleans())
    def deliver(self, place: int, kill: int | None, answered: bool) -> None:
        """Deliver a message; redeliver it if the function is killed or fails."""
        message = self.waiting.pop(place % len(self.waiting))
        self.hand_over(message, Calls(kill_after=kill, answered=answered))

    @precondition(lambda self: self.waiting)
    @rule(chance=st.randoms(use_true_random=False))
    def deliver_all(self, chance: random.Random) -> None:
        """Deliver all pending messages in any order, after the leases have ended."""
        self.now.tick(timedelta(minutes=13))
        chance.shuffle(self.waiting)
        for message in [self.waiting.pop() for _ in range(len(self.waiting))]:
            self.hand_over(message, Calls())

    @precondition(lambda self: len(self.seen) < 6)
    @rule(folder=st.sampled_from(FOLDERS), content=st.sampled_from(CONTENTS), end=st.booleans())
    def go_well(self, folder: str, content: str, end: bool) -> None:
        """A drop is computed at once, and perhaps indexed."""
        self.drop(folder, content)
        self.deliver_all(random.Random(1))
        for _ in self.alive():
            self.compute(0, "good")
        for attempt in range(ATTEMPTS if end else 0):  # what fails so often a sweep makes good
            if self.waiting:
                self.deliver_all(random.Random(attempt))

    @precondition(lambda self: self.alive())
    @rule(place=st.integers(0, 50), result=st.sampled_from(RESULTS))
    def compute(self, place: int, result: str) -> None:
        """A cluster runs its step and ends; the events of EMR and S3 are sent."""
        alive = self.alive()
        cluster = alive[place % len(alive)]
        run_id = cluster["Name"].removeprefix("similar-titles-")
        is_well = result in ("good", "bad part")
        said = ["RUNNING", "COMPLETED" if is_well else "FAILED"]
        if result != "none":
            self.write_result(run_id)
            self.waiting += [("IndexQueue", manifest_written(run_id)) for _ in range(2)]
            run = runs.get(self.cloud.runs, run_id)
            if "good" in result and run and run["state"] in ON_CLUSTER:
                self.computed.add(run_id)
        if result == "bad part":
            self.cloud.put(f"runs/{run_id}/neighbours/part-00001.json.gz", b"cut", "results")
        self.cloud.emr.terminate_job_flows(JobFlowIds=[cluster["Id"]])
        for state in said:
            step = event("monitor-step-running" if state != "FAILED" else "monitor-step-failed")
            step["detail"] |= {"name": cluster["Name"], "clusterId": cluster["Id"], "state": state}
            self.news.append(step)
        ended = event("monitor-cluster-ended" if is_well else "monitor-cluster-failed")
        ended["detail"] |= {"name": cluster["Name"], "clusterId": cluster["Id"]}
        ended["time"] = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        self.news.append(ended)

    @precondition(lambda self: self.news)
    @rule(place=st.integers(0, 50), fate=st.sampled_from(["once", "doubled", "lost"]))
    def tell(self, place: int, fate: str) -> None:
        """Deliver EMR events in any order, once, twice or never."""
        news = self.news.pop(place % len(self.news))
        for _ in range({"once": 1, "doubled": 2, "lost": 0}[fate]):
            monitor.lambda_handler(news, CONTEXT)

    @rule(minutes=st.sampled_from([1, 13, 45, 200]))
    def wait(self, minutes: int) -> None:
        """Advance the clock."""
        self.now.tick(timedelta(minutes=minutes))

    @rule()
    def sweep(self) -> None:
        """Run the scheduled sweep."""
        sweeper.lambda_handler(event("sweeper-schedule"), CONTEXT)
        self.collect()

    @precondition(lambda self: self.pointers)
    @rule(command=st.sampled_from(BY_HAND), place=st.integers(0, 50))
    def ask(self, command: str, place: int) -> None:
        """An operator runs a command, sensible or not."""
        known = sorted(run["run_id"] for run in self.cloud.all_runs())
        asked = {"command": command, "run_id": known[place % len(known)]}
        done = "done" in control.lambda_handler(asked, CONTEXT)
        self.was_by_hand |= done and command in {"rollback", "promote"}
        Life.lived["commands"] += done
        self.collect()

    @rule(place=st.integers(0, 50))
    def lose(self, place: int) -> None:
        """A message for the indexer is lost, as after its last delivery."""
        mine = [each for each in self.waiting if each[0] == "IndexQueue"]
        if mine:
            self.waiting.remove(mine[place % len(mine)])

    # ---- what always holds ----------------------------------------------------------------------

    @invariant()
    def every_run_has_one_cluster_at_most(self) -> None:
        """RunJobFlow is never called twice for a run."""
        names = [each["Name"] for each in self.cloud.clusters()]
        assert len(names) == len(set(names))
        assert {name.removeprefix("similar-titles-") for name in names} <= {
            run["run_id"] for run in self.cloud.all_runs()
        }

    @invariant()
    def runs_move_as_the_table_says(self) -> None:
        """Between two steps the state of a run changes only as NEXT allows."""
        Life.steps += 1
        for run in self.cloud.all_runs():
            state = State(run["state"])
            if run["run_id"] in self.seen:
                assert state in reachable(self.seen[run["run_id"]]), run
            assert state != State.FAILED or run["reason"], "a failed run says why"
            self.seen[run["run_id"]] = state

    @invariant()
    def readers_see_one_whole_run_and_never_step_back(self) -> None:
        """Only the run of the pointer is LIVE, and it has all its movies."""
        pointer = live_pointer.read(self.cloud.index)
        alive = [run["run_id"] for run in self.cloud.all_runs() if run["state"] == State.LIVE]
        if pointer is None:
            assert alive == []
            return
        assert alive in ([pointer.run_id], [])  # none: it is being reloaded
        run = runs.get(self.cloud.runs, pointer.run_id)
        assert run is not None
        assert run["state"] in {State.LIVE, State.INDEXING}
        assert self.indexed(pointer.run_id) == [1, 2, 3]
        if not self.pointers or self.pointers[-1] != pointer.run_id:
            Life.lived["promotions"] += 1
            if self.pointers and not self.was_by_hand:
                assert pointer.run_id > self.pointers[-1]
            self.pointers.append(pointer.run_id)

    # ---- how it is done -------------------------------------------------------------------------

    def hand_over(self, message: Message, calls: Calls) -> None:
        """Deliver one message; requeue it if the function did not finish."""
        queue, trigger = message
        try:
            with watched(calls):
                answer = HANDLERS[queue].lambda_handler(trigger, CONTEXT)
            comes_back = bool(answer["batchItemFailures"])
        except KilledError:
            Life.lived["kills"] += 1
            comes_back = True
        if comes_back:
            attributes = trigger["Records"][0]["attributes"]
            attributes["ApproximateReceiveCount"] = str(
                int(attributes["ApproximateReceiveCount"]) + 1
            )
            self.waiting.append(message)
        self.collect()

    def collect(self) -> None:
        """Take the messages from the queues."""
        for queue in HANDLERS:
            for body in self.cloud.messages(queue):
                trigger = messages(body)
                if queue == "LaunchQueue":
                    stamp = str(int(datetime.now(UTC).timestamp() * 1000))
                    trigger["Records"][0]["attributes"]["SentTimestamp"] = stamp
                self.waiting.append((queue, trigger))

    def write_result(self, run_id: str) -> None:
        """Write the job's result: three movies in two parts."""
        parts = [[movie_line(1, 2), movie_line(2, 1)], [movie_line(3)]]
        self.cloud.write_result(run_id, parts)

    def indexed(self, run_id: str) -> list[int]:
        """The movies of a run in the index."""
        keys = {number: index_table.movie_key(run_id, number) for number in (1, 2, 3)}
        return [
            number for number, key in keys.items() if "Item" in self.cloud.index.get_item(Key=key)
        ]

    def alive(self) -> list[dict[str, Any]]:
        """The clusters that have not ended."""
        states = {"STARTING", "RUNNING", "WAITING"}
        return [each for each in self.cloud.clusters() if each["Status"]["State"] in states]

    def settle(self) -> None:
        """Deliver all messages and sweep for a day."""
        for hour in range(24):
            self.now.tick(timedelta(hours=1))
            self.sweep()
            random.Random(hour).shuffle(self.waiting)
            while self.waiting:
                waiting, self.waiting = self.waiting, []
                for message in waiting:
                    self.hand_over(message, Calls())

    def check_end(self) -> None:
        """Check that nothing is pending, left behind or lost."""
        found = {run["run_id"]: run for run in self.cloud.all_runs()}
        Life.lived["runs"] += len(found)
        assert all(run["state"] in FINAL for run in found.values()), found
        assert self.alive() == []
        self.readers_see_one_whole_run_and_never_step_back()
        pointer = live_pointer.read(self.cloud.index)
        kept = {pointer.run_id, pointer.previous} if pointer else set()
        there = {item["pk"].split("#")[0] for item in self.cloud.index.scan()["Items"]} - {"LIVE"}
        assert there <= kept, "items of runs that nobody can be answered from"
        lost = [id for id in self.computed if found[id]["state"] == State.FAILED]
        assert lost == [], "a whole result was thrown away"
        good = [run for run in found.values() if run["state"] in {State.LIVE, State.SUPERSEDED}]
        if good and not self.was_by_hand:
            assert pointer is not None
            assert pointer.run_id == max(run["run_id"] for run in good)


@pytest.mark.drill(
    "Crashes",
    injected="random histories of up to six runs, generated by hypothesis: drops, deliveries "
    "in any order with kills at any call, good and bad results, EMR events once, twice or lost, "
    "lost messages, waiting, sweeps, operator's commands",
    promised="after each step: at most one cluster per run, only allowed state changes, at "
    "most one LIVE run, complete, and never an older run after a newer one. In the end: every "
    "run has ended with a reason, no cluster is alive, no orphans in the index, the newest good "
    "run is live",
)
@pytest.mark.parametrize(
    ("lives", "steps"), [(4, 20), pytest.param(40, 30, marks=pytest.mark.slow)]
)
def test_any_life_of_runs_comes_to_a_good_end(observed: Observed, lives: int, steps: int) -> None:
    Life.steps, Life.lived = 0, defaultdict(int)
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=lives,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Life.lived["promotions"] or lives < 20, "some runs went live"
    said = json.dumps(dict(Life.lived))[1:-1].replace('"', "")
    observed(Life.steps, f"{lives} lives; {said}; every promise kept")
