"""Pollers at full speed while runs go live: no error, no mix of runs, no step back."""

import heapq
import json
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import runs
from runs import State
from tests.drills.conftest import Observed, builders
from tests.e2e.conftest import World
from tests.e2e.test_operations import operate
from tests.unit.conftest import Cloud, movie_line

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

POLLERS = 4
PROMOTIONS = 10
MOVIES = range(1, 61)
PATHS = [f"/movies/{movie}/similar?limit=50" for movie in MOVIES] + ["/movies?title=movie&limit=50"]
GENERATION = re.compile(r" of run (\d+) ")


def make_live(world: World, cloud: Cloud, number: int) -> None:
    """Write a run's result into the bucket, as the job does, and wait until it is live."""
    now = datetime.now(UTC)
    run = runs.claim(cloud.runs, f"{number:064d}", f"reads {number}", None, now, timedelta(0))
    assert run is not None
    for state in (State.LAUNCHING, State.STARTING, State.RUNNING):
        runs.advance(cloud.runs, run["run_id"], state, now)
    lines = [movie_line(movie, *(other for other in MOVIES if other != movie)) for movie in MOVIES]
    named = json.loads(json.dumps(lines).replace(" (1995)", f" of run {number} (1995)"))
    cloud.write_result(run["run_id"], [named[start : start + 20] for start in (0, 20, 40)])
    world.wait_for_run(f"reads {number}", "LIVE")


@dataclass
class Reading:
    """What pollers have seen.

    Attributes:
        answers: begin, end and generation of each answer.
        faults: what should not have been.
        throttled: how often the API said that it is asked too much.
    """

    answers: list[tuple[float, float, int]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    throttled: int = 0

    def ask(self, get: Callable[[str], tuple[int, Any]], path: str) -> None:
        """Ask once and look at the answer."""
        begin = time.monotonic()
        status, body = get(path)
        end = time.monotonic()
        if status == 429:
            self.throttled += 1
            return
        found = set(map(int, GENERATION.findall(json.dumps(body))))
        if status != 200 or len(found) != 1:
            self.faults.append(f"{status} of {path}: runs {found}: {str(body)[:200]}")
        else:
            self.answers.append((begin, end, *found))

    def steps_back(self, order: list[int]) -> list[tuple[float, float, int]]:
        """The answers that are older than one that had been given before they were asked for.

        Args:
            order: the generations, as they went live.
        """
        place = {generation: number for number, generation in enumerate(order)}
        ended: list[tuple[float, int]] = []
        newest, back = 0, []
        for answer in sorted(self.answers):
            begin, end, generation = answer
            while ended and ended[0][0] < begin:
                newest = max(newest, heapq.heappop(ended)[1])
            if place[generation] < newest:
                back.append(answer)
            heapq.heappush(ended, (end, place[generation]))
        return back


@contextmanager
def polling(world: World, reading: Reading) -> Iterator[None]:
    """Poll at full speed while the block lasts."""
    ends = threading.Event()

    def poll(seed: int) -> None:
        chance = random.Random(seed)
        while not ends.is_set():
            try:
                reading.ask(world.cloud.get, chance.choice(PATHS))
            except Exception as error:
                reading.faults.append(repr(error))

    threads = [threading.Thread(target=poll, args=[seed]) for seed in range(POLLERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ends.set()
        for thread in threads:
            thread.join()


def test_a_mix_an_error_and_a_step_back_are_seen() -> None:
    reading = Reading()
    titles = {"a": "A of run 1 (1995)", "b": "B of run 2 (1995)"}
    reading.ask(lambda _: (200, titles), "/mixed")
    reading.ask(lambda _: (503, {"a": titles["a"]}), "/error")
    assert [fault[:3] for fault in reading.faults] == ["200", "503"]
    reading.answers = [(0.0, 1.0, 2), (0.5, 3.0, 1), (2.0, 3.0, 1)]
    assert reading.steps_back([1, 2]) == [(2.0, 3.0, 1)]
    assert reading.steps_back([2, 1]) == []


@pytest.mark.drill(
    "Readers",
    injected=f"{POLLERS} pollers at full speed, of neighbours and of searches, across "
    f"{PROMOTIONS} promotions, then across a rollback",
    promised="no error, no answer that mixes two runs, none that is older than one before it",
)
def test_readers_see_no_error_no_mix_and_no_step_back(world: World, observed: Observed) -> None:
    cloud = builders(world.cloud)
    make_live(world, cloud, 1)
    reading = Reading()
    with polling(world, reading):
        for number in range(2, PROMOTIONS + 2):
            make_live(world, cloud, number)
    assert reading.faults == []
    assert reading.steps_back([*range(1, PROMOTIONS + 2)]) == []
    seen = {generation for _, _, generation in reading.answers}
    assert len(seen) >= PROMOTIONS, "the pollers were there all the time"
    back = Reading()
    with polling(world, back):
        assert "live again" in operate(world, "rollback")
        world.wait_until(lambda: bool(back.answers) and back.answers[-1][2] == PROMOTIONS, "it")
    assert back.faults == []
    assert back.steps_back([PROMOTIONS + 1, PROMOTIONS]) == []
    answers = len(reading.answers) + len(back.answers)
    observed(answers, f"{answers} answers of {len(seen)} runs: 0 errors, 0 mixed, 0 older")
