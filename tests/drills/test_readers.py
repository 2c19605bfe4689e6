"""Requests arrive at every moment while runs go live and are rolled back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from query import handler as query
from tests.builders.aws import Cloud, movie_line
from tests.builders.indexed import finish_run
from tests.builders.requests import ask, get, post
from tests.conftest import Observed
from tests.drills.conftest import between
from tests.unit.runs.test_control import ask as operate

MOVIES = 4


def parts_of(run: int) -> list[list[dict[str, Any]]]:
    """A result in two parts, with the number of its run in all values that a response shows.

    An id elsewhere means another movie in each run.
    """
    lines = [movie_line(id, *(other for other in range(1, MOVIES + 1) if other != id))
             for id in range(1, MOVIES + 1)]  # fmt: skip
    for line in lines:
        line["year"] = 1900 + run
        line["tmdb_id"] = (line["movie_id"] + run) % MOVIES
        line["others"] = [other | {"year": 1900 + run} for other in line["others"]]
    return [lines[:2], lines[2:]]


def asks() -> list[tuple[int, dict[str, Any]]]:
    """One request of each kind that uses the index or the catalogue."""
    return [
        get("/movies/1/similar"),
        get("/movies/4"),
        get("/movies", title="movie"),
        get("/similar", title="movie 3"),
        get("/movies/tmdb:1/similar"),
        post("/similar", {"movie_ids": [1, "tmdb:2", 4]}),
        post("/recommendations", {"liked": [1, 4]}),
    ]


def run_in(body: dict[str, Any]) -> int:
    """The number of the run in a response."""
    lists = [body, *body.get("movies", [])]
    named = [each.get("movie", each) for each in lists]
    named += [row for each in lists for row in each.get("similar", [])]
    named += [*body.get("recommendations", []), *body.get("did_you_mean", [])]
    years = {each["year"] for each in named if "year" in each}
    run = int(body["run_id"][11:13])  # the minute in which it was made, see `finish_run`
    assert years == {1900 + run}, f"an answer of {body['run_id']} has movies of {years}"
    for each in named:
        if each.get("tmdb_id") is not None:
            assert each["tmdb_id"] == (each["movie_id"] + run) % MOVIES
    return run


@dataclass
class Readers:
    """Two query functions, one warm and one fresh.

    Attributes:
        runs: ids of the runs so far, oldest first.
        may_go_back: whether a rollback was requested.
        seen: the number of the last run that anybody saw.
        answers: how many there were.
    """

    runs: list[str] = field(default_factory=list)
    may_go_back: bool = False
    seen: int = 0
    answers: int = 0

    def look(self) -> None:
        """Send all requests twice: to a warm function and to a fresh one."""
        for is_new in (False, True):
            if is_new:
                reader = query.reader
                remembered = reader._last, reader._titles, reader._world_ids
                reader._last = reader._titles = reader._world_ids = None
            for status, body in asks():
                assert status == 200, body
                run = run_in(body)
                assert run >= self.seen or self.may_go_back, "a step back"
                self.seen = run
                self.answers += 1
            if is_new:
                reader._last, reader._titles, reader._world_ids = remembered

    def hand(self, _operation: str, _parameters: dict, carry_out: Callable[[], Any]) -> Any:
        """Look before and after each call to AWS."""
        self.look()
        answer = carry_out()
        self.look()
        return answer


@pytest.mark.drill(
    "Readers",
    injected="seven kinds of request, to a warm and to a fresh function, before and after each "
    "AWS call of two and ten promotions and a rollback",
    promised="no error, no response that mixes two runs, no step back to an older run except "
    "by the rollback",
)
@pytest.mark.parametrize("promotions", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_at_every_moment_of_a_promotion_readers_see_one_run_and_no_older_one(
    cloud: Cloud, observed: Observed, monkeypatch: pytest.MonkeyPatch, promotions: int
) -> None:
    monkeypatch.setattr(query.reader, "_last", None)
    monkeypatch.setattr(query.reader, "_titles", None)
    monkeypatch.setattr(query.reader, "_world_ids", None)
    finish_run(cloud, 0, parts_of(0))
    readers = Readers()
    calls = 0

    def hand(operation: str, parameters: dict, carry_out: Callable[[], Any]) -> Any:
        nonlocal calls
        calls += 1
        return readers.hand(operation, parameters, carry_out)

    with between(hand):
        for run in range(1, promotions + 1):
            finish_run(cloud, run, parts_of(run))
            readers.look()
            assert readers.seen == run
        readers.may_go_back = True
        assert "done" in operate("rollback")
        readers.look()
    assert readers.seen == promotions - 1
    observed(calls * 2, f"{readers.answers} answers, each of one run")


@pytest.mark.drill(
    "Readers",
    injected="the ETag of a response is sent back before and after each AWS call of a promotion",
    promised="304 only while the same run is live",
)
def test_a_browsers_cached_answer_is_never_taken_for_another_runs(
    cloud: Cloud, observed: Observed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query.reader, "_last", None)
    finish_run(cloud, 0, parts_of(0))
    kept = ask("GET", "/movies/1/similar")["headers"]["ETag"]
    seen: list[tuple[int, int]] = []

    def look() -> None:
        status = ask("GET", "/movies/1/similar", {"If-None-Match": kept})["statusCode"]
        seen.append((run_in(get("/movies/1/similar")[1]), status))

    def hand(_operation: str, _parameters: dict, carry_out: Callable[[], Any]) -> Any:
        look()
        answer = carry_out()
        look()
        return answer

    with between(hand):
        finish_run(cloud, 1, parts_of(1))
    assert set(seen) == {(0, 304), (1, 200)}
    observed(len(seen), "304 from the run that was known, 200 from the one after it")
