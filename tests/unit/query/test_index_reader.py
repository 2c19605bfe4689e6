"""The index reader and a table that answers in parts, late or never: one run, and in time."""

import json
import math
import random
import socket
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from socketserver import BaseRequestHandler, ThreadingTCPServer
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.endpoint
import pytest
from botocore.client import BaseClient
from botocore.config import Config
from botocore.retries.standard import ExponentialBackoff
from hypothesis import given, settings
from hypothesis import strategies as st

import index_table
import runs
from clients import PROMPT
from live_pointer import LivePointer
from query import handler as query
from query import index_reader
from query.http.problems import ProblemError
from query.index_reader import DEADLINE, LIVE, Reader
from tests.builders.aws import Cloud, movie_line
from tests.builders.indexed import finish_run, line_in, start_run
from tests.builders.lines import as_text
from tests.builders.requests import ask, post
from tests.conftest import Observed
from tests.unit.query.test_handler import cold  # noqa: F401
from tools.template import template

GATEWAY_WAITS = 29  # seconds, for a function behind a REST API
MEGABYTE = 1 << 20
RUNS = [f"2026112{number}T120000000Z-{number:08x}" for number in range(4)]
# The movies of each run; one movie is in all of them, one in none.
MOVIES = [{1, 2, 3, 4}, {1, 3, 4, 5}, {1, 2, 5}, {1, 4, 6}]
IDS = range(1, 8)


@dataclass
class Clock:
    """A clock that moves only during sleeps.

    Attributes:
        now: seconds.
        naps: the length of each sleep in seconds.
    """

    now: float = 0
    naps: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.naps.append(seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The reader's clock."""
    made = Clock()
    monkeypatch.setattr(index_reader, "time", made)
    return made


def pointer_at(run: int, moved: int = 0) -> dict[str, Any]:
    """The live pointer's item."""
    pointer = LivePointer(
        RUNS[run], "cosine", ["cosine"], 10, "0.95", "titles", None, None, str(moved)
    )
    return {**index_table.LIVE_KEY, **asdict(pointer)}


@dataclass
class Table:
    """The index table with a BatchGetItem that answers in parts.

    Attributes:
        answered: for each call, the positions of the keys that it answers; later calls answer all.
        promoted: for each call, the run that goes live before it, or None.
    """

    answered: list[set[int]]
    promoted: list[int | None] = field(default_factory=list)
    live: int = 0
    previous: int = 0
    were_live: list[int] = field(default_factory=lambda: [0])
    calls: list[list[str]] = field(default_factory=list)

    def items(self) -> dict[str, dict[str, Any]]:
        """The stored items: those of the live run and of the one before it, and the pointer."""
        kept = {
            key["pk"]: index_table.to_item(RUNS[run], as_text(movie_line(movie) | {"year": run}))
            for run in (self.live, self.previous)
            for movie in MOVIES[run]
            for key in [index_table.movie_key(RUNS[run], movie)]
        }
        return {LIVE: pointer_at(self.live, len(self.were_live)), **kept}

    def batch_get_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        ((name, request),) = RequestItems.items()
        assert request["ConsistentRead"]
        keys = [key["pk"] for key in request["Keys"]]
        assert len(keys) == len(set(keys)) <= 100
        self.calls.append(keys)
        run = self.promoted.pop(0) if self.promoted else None
        if run not in (None, self.live):
            self.previous, self.live = self.live, run
            self.were_live.append(run)
        positions = self.answered.pop(0) if self.answered else set(range(len(keys)))
        stored = self.items()
        read = [key for position, key in enumerate(keys) if position in positions]
        left = [{"pk": key} for key in keys if key not in read]
        return {
            "Responses": {name: [stored[key] for key in read if key in stored]},
            "UnprocessedKeys": {name: request | {"Keys": left}} if left else {},
        }


def reader_of(table: Any, run: int = 0) -> Reader:
    """A reader that last saw this run live."""
    made = Reader(table, "IndexTable", "results")
    pointer = pointer_at(run)
    del pointer["pk"]
    made._last = LivePointer(**pointer)
    return made


POSITIONS = st.sets(st.integers(0, len(IDS)))  # the pointer is read, too
SOME_IDS = st.sets(st.sampled_from(IDS), min_size=1).map(sorted)


def lines_of(run: int, ids: Collection[int]) -> dict[int, dict[str, Any]]:
    """A run's lines of those of the movies that it has."""
    return {id: movie_line(id) | {"year": run} for id in MOVIES[run] & set(ids)}


def lines_in(items: dict[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """The lines that items hold."""
    return {id: line_in(item) for id, item in items.items()}


@settings(max_examples=300)
@given(ids=SOME_IDS, answered=st.lists(POSITIONS, max_size=12))
def test_parts_of_an_answer_are_put_together_whatever_the_parts(
    ids: list[int], answered: list[set[int]]
) -> None:
    table = Table(answered)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_reader, "time", Clock())
        pointer, items = reader_of(table).items(ids)
    assert (pointer.run_id, lines_in(items)) == (RUNS[0], lines_of(0, ids))
    for before, after in zip(table.calls, table.calls[1:], strict=False):
        assert set(after) <= set(before), "keys that were read are not read again"


@settings(max_examples=1000)
@given(
    ids=SOME_IDS,
    last=st.sampled_from(range(len(RUNS))),
    answered=st.lists(POSITIONS, max_size=8),
    promoted=st.lists(st.sampled_from([None, *range(len(RUNS))]), max_size=8),
)
def test_parts_of_an_answer_come_from_one_run_that_was_live_meanwhile(
    ids: list[int], last: int, answered: list[set[int]], promoted: list[int | None]
) -> None:
    moves = [call for call, run in enumerate(promoted) if run is not None]
    for call in moves[1:]:  # a pointer that moves more often may end in a 503
        promoted[call] = None
    table = Table(answered, promoted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_reader, "time", Clock())
        pointer, items = reader_of(table, last).items(ids)
    run = RUNS.index(pointer.run_id)
    assert run in table.were_live
    assert lines_in(items) == lines_of(run, ids)


def test_only_unprocessed_keys_are_read_again(clock: Clock) -> None:
    table = Table([{0, 1, 2, 3}, {0, 2}])
    reader_of(table).movies(IDS)
    keys = [f"{RUNS[0]}#{movie}" for movie in IDS]
    assert table.calls == [[LIVE, *keys], [LIVE, *keys[3:]], [LIVE, keys[3], *keys[5:]]]
    assert max(clock.naps) <= index_reader.FIRST_BACKOFF


def test_more_keys_than_one_request_may_have_are_read_in_the_next_without_a_wait(
    clock: Clock,
) -> None:
    for count, sizes in ((99, [100]), (100, [100, 2]), (250, [100, 100, 53])):
        items = (
            index_table.to_item(RUNS[0], as_text(movie_line(id))) for id in range(1, count + 1)
        )
        table = Partition({item["pk"]: item for item in [pointer_at(0), *items]}, math.inf)
        _, lines = reader_of(table).movies(range(1, count + 1))
        assert [line["movie_id"] for line in lines.values()] == list(range(1, count + 1))
        assert table.calls == sizes
    assert clock.naps == []


def test_unprocessed_keys_of_a_long_list_are_read_again_with_the_rest(clock: Clock) -> None:
    table = Table([{0, *range(50)}, set()])
    ids = range(1, 131)  # of which the run has 1 to 4
    _, lines = reader_of(table).movies(ids)
    keys = [f"{RUNS[0]}#{id}" for id in ids]
    assert set(lines) == MOVIES[0]
    assert table.calls == [
        [LIVE, *keys[:99]], [LIVE, *keys[49:]], [LIVE, *keys[49:]]
    ]  # fmt: skip
    assert len(clock.naps) == 2


def test_a_missing_movie_counts_only_in_an_answer_with_the_pointer(clock: Clock) -> None:  # noqa: ARG001
    # Two other runs go live and the first one is removed before all of it is read.
    table = Table([{0, 1}, set(), set(range(1, 9))], promoted=[None, 2, 3])
    pointer, lines = reader_of(table).movies(IDS)
    assert (pointer.run_id, set(lines)) == (RUNS[3], MOVIES[3])


class BusyTable:
    """A table that leaves every key unprocessed."""

    def __init__(self) -> None:
        self.calls = 0

    def batch_get_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        self.calls += 1
        return {"Responses": {}, "UnprocessedKeys": RequestItems}


@pytest.mark.drill(
    "Dependencies",
    injected="DynamoDB leaves every key of every BatchGetItem unprocessed",
    promised="the reads back off and stop in time, with a 503 that says to try again",
)
def test_reads_of_a_table_that_never_answers_back_off_and_stop_in_time(
    clock: Clock, observed: Observed
) -> None:
    table = BusyTable()
    reader = reader_of(table)
    reader.start_request()
    with pytest.raises(ProblemError) as raised:
        reader.movies(IDS)
    assert raised.value.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert raised.value.headers["Retry-After"]
    assert DEADLINE <= clock.now <= DEADLINE + index_reader.MAX_BACKOFF
    longest = [
        min(index_reader.FIRST_BACKOFF * 2**number, index_reader.MAX_BACKOFF)
        for number in range(1, 99)
    ]
    assert all(nap <= most for nap, most in zip(clock.naps, longest, strict=False))
    assert len(set(clock.naps)) > len(clock.naps) / 2, "the waits are random"
    assert table.calls == len(clock.naps) < 60
    observed(table.calls, f"503 after {clock.now:.1f} s")


def test_a_lost_pointer_is_reported_at_once(clock: Clock) -> None:
    table = SimpleNamespace(batch_get_item=lambda **_: {"Responses": {}, "UnprocessedKeys": {}})
    with pytest.raises(ProblemError, match="the index did not answer"):
        reader_of(table).movies(IDS)
    assert clock.naps == []


def heavy_line(movie_id: int, others: int) -> dict[str, Any]:
    """A movie with many neighbours by six measures, which compress badly."""
    dice = random.Random(movie_id)
    line = movie_line(movie_id, *range(1000, 1000 + others))
    for other in line["others"]:
        other["title"] = dice.randbytes(20).hex()
    measures = ("cosine", "damped", "full-cosine", "jaccard", "ease", "hybrid")
    line["neighbours"] = {
        measure: [
            [position, dice.random(), dice.randrange(9999), dice.random()]
            for position in range(others)
        ]
        for measure in measures
    }
    return line


def size_of(item: dict[str, Any]) -> int:
    """An item's size in bytes as DynamoDB counts it, without its overhead."""
    return sum(len(name) + len(bytes(value) if name == "movie" else str(value))
               for name, value in item.items())  # fmt: skip


@dataclass
class Partition:
    """An index table of one partition, which limits the size of an answer.

    Attributes:
        items: by their `pk`.
        most: bytes of an answer.
        calls: the number of keys in each.
    """

    items: dict[str, dict[str, Any]]
    most: float
    calls: list[int] = field(default_factory=list)

    def batch_get_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        ((name, request),) = RequestItems.items()
        self.calls.append(len(request["Keys"]))
        size, read, left = 0, [], []
        for key in request["Keys"]:
            item = self.items[key["pk"]]
            size += size_of(item)
            (read if size <= self.most else left).append(item)
        keys = [{"pk": item["pk"]} for item in left]
        return {
            "Responses": {name: read},
            "UnprocessedKeys": {name: request | {"Keys": keys}} if left else {},
        }


@pytest.mark.drill(
    "Dependencies",
    injected="BatchGetItem returns one megabyte at a time, of 90 movies with 500 neighbours "
    "by each of six measures",
    promised="the largest recommendation gets the same response as from one complete answer",
)
def test_the_largest_recommendation_works_with_a_megabyte_at_a_time(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, observed: Observed
) -> None:
    ids = list(range(1, 91))
    lines = (index_table.to_item(RUNS[0], as_text(heavy_line(id, others=500))) for id in ids)
    items = {item["pk"]: item for item in [pointer_at(0), *lines]}
    assert sum(map(size_of, items.values())) > 6 * MEGABYTE
    body = {"liked": ids[:50], "disliked": ids[50:], "limit": 50}

    def recommend(table: Partition) -> tuple[int, dict[str, Any]]:
        monkeypatch.setattr(query, "reader", reader_of(table))
        return post("/recommendations", body)

    whole = recommend(Partition(items, math.inf))
    in_parts = Partition(items, MEGABYTE)
    assert recommend(in_parts) == whole
    assert (whole[0], len(whole[1]["recommendations"])) == (HTTPStatus.OK, 50)
    assert len(in_parts.calls) > 6
    assert clock.now < 1, "almost no wait while every call brings items"
    megabytes = sum(map(size_of, items.values())) / MEGABYTE
    observed(len(in_parts.calls) - 1, f"200, {megabytes:.0f} MB in {len(in_parts.calls)} parts")


# ---- Time ----------------------------------------------------------------------------------------


def call_seconds() -> float:
    """The longest time of one call to AWS: attempts, waits between them, and a body.

    This assumes one address to connect to; S3 has several, which would be tried in turn.
    """
    resources = template()["Resources"]
    shared = template()["Globals"]["Function"]["Environment"]["Variables"]
    own = resources["QueryFunction"]["Properties"]["Environment"]["Variables"]
    environment = shared | own
    assert environment["AWS_RETRY_MODE"] == "standard"
    attempts = int(environment["AWS_MAX_ATTEMPTS"])
    backoff = ExponentialBackoff(random=lambda: 1.0)
    waits = (backoff.delay_amount(SimpleNamespace(attempt_number=number, http_response=None))
             for number in range(1, attempts))  # fmt: skip
    connect, read = PROMPT.connect_timeout, PROMPT.read_timeout
    return attempts * (connect + read) + sum(waits) + read


def function_seconds() -> int:
    """The time until the query function is stopped or API Gateway gives up."""
    own = template()["Resources"]["QueryFunction"]["Properties"]
    allowed = own.get("Timeout", template()["Globals"]["Function"]["Timeout"])
    return min(allowed, GATEWAY_WAITS)


type Route = tuple[str, dict[str, str], dict[str, Any] | None]
ROUTES: dict[str, Route] = {
    "similar": ("/movies/1/similar", {}, None),
    "movie": ("/movies/1", {}, None),
    "search": ("/movies", {"title": "movie"}, None),
    "similar to a title": ("/similar", {"title": "movie 1"}, None),
    "recommendations": ("/recommendations", {}, {"liked": [1, 2]}),
    "similar to many": ("/similar", {}, {"movie_ids": [1, 2]}),
    "runs": ("/runs", {}, None),
    "run": ("/runs/20261123T120000000Z-00000000", {}, None),
    "health": ("/health", {}, None),
}


def answer_of(route: str) -> dict[str, Any]:
    """The API's response at a route."""
    path, parameters, body = ROUTES[route]
    if body is None:
        return ask("GET", path, **parameters)
    return ask("POST", path, {"Content-Type": "application/json"}, json.dumps(body))


def test_every_client_of_the_query_function_gives_up_in_time() -> None:
    for client in (query.dynamodb.meta.client, query.runs_table.meta.client, query.reader.s3):
        config = client.meta.config
        assert (config.connect_timeout, config.read_timeout) == (1, 3)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("calls_before", [0, 1, 2, 3], ids=lambda calls: f"{calls} calls before")
def test_the_slowest_request_gets_a_response_before_api_gateway_gives_up(
    cloud: Cloud, clock: Clock, monkeypatch: pytest.MonkeyPatch, route: str, calls_before: int
) -> None:
    """A few calls take the time up to the deadline; the next ones are as slow as possible."""
    finish_run(cloud, parts=[[movie_line(1, 2), movie_line(2, 1)]])
    seconds = [(DEADLINE - 0.01) / calls_before] * calls_before if calls_before else []
    call = BaseClient._make_api_call

    def slowly(client: Any, operation: str, parameters: dict) -> Any:
        clock.now += seconds.pop(0) if seconds else call_seconds()
        return call(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", slowly)
    query.reader._last = query.reader._titles = None
    assert answer_of(route)["statusCode"] in {
        HTTPStatus.OK,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.SERVICE_UNAVAILABLE,
    }
    own_work = 5  # seconds, far more than any response takes to compute
    assert clock.now + own_work <= function_seconds()


def test_a_list_of_runs_in_several_pages_starts_no_call_after_the_deadline(
    cloud: Cloud, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for minute in range(4):
        run_id = start_run(cloud, minute)
        runs.set_attributes(cloud.runs, run_id, request="x" * 300_000)
    call = BaseClient._make_api_call

    def slowly(client: Any, operation: str, parameters: dict) -> Any:
        clock.now += call_seconds()
        return call(client, operation, parameters)

    assert len(json.loads(answer_of("runs")["body"])["runs"]) == 4
    monkeypatch.setattr(BaseClient, "_make_api_call", slowly)
    assert answer_of("runs")["statusCode"] == HTTPStatus.SERVICE_UNAVAILABLE
    assert clock.now == call_seconds()


@contextmanager
def silent() -> Iterator[str]:
    """The address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def unreachable() -> Iterator[str]:
    """An address without a server."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
    yield address


class BreaksOff(BaseRequestHandler):
    """Sends a fifth of the body that it announces."""

    def handle(self) -> None:
        self.request.settimeout(1)  # a client that sends nothing must not hold up the end
        with suppress(OSError):
            self.request.recv(65_536)
            self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n0123456789")


@contextmanager
def breaking_off() -> Iterator[str]:
    """The address of a server that breaks off its answers."""
    with ThreadingTCPServer(("127.0.0.1", 0), BreaksOff) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_a_server_ends_with_its_test_even_if_that_fails() -> None:
    before = set(threading.enumerate())

    def fail(address: str) -> None:
        port = int(address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)):  # and sends nothing
            raise AssertionError

    with pytest.raises(AssertionError), breaking_off() as address:
        fail(address)
    assert set(threading.enumerate()) <= before


FAST = PROMPT.merge(Config(connect_timeout=0.05, read_timeout=0.05))


@pytest.mark.drill(
    "Dependencies",
    injected="DynamoDB accepts connections and never answers, is unreachable, or breaks off its "
    "answers, at each route of the API",
    promised="a 503 that says to try again, well before API Gateway gives up",
)
@pytest.mark.parametrize("fault", [silent, unreachable, breaking_off])
@pytest.mark.parametrize("route", ROUTES)
def test_a_stalled_dynamodb_gives_a_503_in_time(
    monkeypatch: pytest.MonkeyPatch, observed: Observed, fault: Any, route: str
) -> None:
    monkeypatch.setattr(botocore.endpoint, "time", Clock())  # it sleeps between its attempts
    with fault() as address:
        dynamodb = boto3.resource("dynamodb", endpoint_url=address, config=FAST)
        monkeypatch.setattr(query, "reader", Reader(dynamodb, "IndexTable", "results"))
        monkeypatch.setattr(query, "runs_table", dynamodb.Table("RunsTable"))
        assert_unavailable(route)
    observed(1, "503")


@pytest.mark.drill(
    "Dependencies",
    injected="S3 accepts connections and never answers, is unreachable, or breaks off its answers, "
    "in a search by title",
    promised="a 503 that says to try again, well before API Gateway gives up",
)
@pytest.mark.parametrize("fault", [silent, unreachable, breaking_off])
@pytest.mark.parametrize("route", ["search", "similar to a title"])
def test_a_stalled_s3_gives_a_503_in_time(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, observed: Observed, fault: Any, route: str
) -> None:
    finish_run(cloud, parts=[[movie_line(1, 2), movie_line(2, 1)]])
    monkeypatch.setattr(botocore.endpoint, "time", Clock())
    with fault() as address:
        s3 = boto3.client("s3", endpoint_url=address, config=FAST)
        monkeypatch.setitem(query.reader.__dict__, "s3", s3)
        assert_unavailable(route)
    observed(1, "503")


def assert_unavailable(route: str) -> None:
    """Fail unless a route soon returns a 503 that says when to try again."""
    began = time.monotonic()
    answer = answer_of(route)
    assert time.monotonic() - began < DEADLINE
    assert answer["statusCode"] == HTTPStatus.SERVICE_UNAVAILABLE
    assert answer["headers"]["Content-Type"] == "application/problem+json"
    assert answer["headers"]["Retry-After"]
