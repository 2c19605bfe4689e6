"""The tables at DynamoDB's limits, as moto plays it and as dynalite does.

Where the two differ:

| what | moto | dynalite, as AWS describes it |
|---|---|---|
| a batch of 26 writes | takes it | refuses it |
| more than about 1 MB of a partition in one BatchGetItem | gives up to 16 MB | gives a part |
| the size of binary attributes | counts them in base64, a third more | counts their bytes |
| transactions | has them | has none, see dynalite.py |

The emulator of the local cloud refuses the batch, and BatchGetItem always returns everything.
None of the three hands writes back (UnprocessedItems), throttles or is slow: the drills do that.
"""

import random
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

import index_table
import live_pointer
import runs
from query import handler as query
from query.index_reader import Reader
from runs.states import State
from spark.contracts.neighbour_lines import neighbours_of
from tests.builders.aws import Cloud, movie_line
from tests.builders.indexed import finish_run, line_in, start_run
from tests.builders.lines import as_text
from tests.unit.dynalite import database  # noqa: F401
from tests.unit.query.test_index_reader import heavy_line, size_of

LARGEST = 400 * 1024  # bytes of an item
RUN = "20261123T120000000Z-5f2a9c01"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def padded(movie_id: int, size: int) -> dict[str, Any]:
    """A movie whose item has about this many bytes."""
    return movie_line(movie_id) | {"title": random.Random(movie_id).randbytes(size).hex()}


def test_movies_are_written_in_batches_that_dynamodb_accepts(cloud: Cloud) -> None:
    lines = [as_text(movie_line(id)) for id in range(1, 2 * index_table.BATCH_SIZE + 2)]
    index_table.write(cloud.index, RUN, lines)
    assert len(cloud.index.scan()["Items"]) == len(lines)
    index_table.remove(cloud.index, RUN, lines)
    assert cloud.index.scan()["Items"] == []


def test_a_batch_of_one_more_is_refused_by_dynalite_alone(cloud: Cloud, database: str) -> None:  # noqa: F811
    writes: Any = [{"PutRequest": {"Item": index_table.to_item(RUN, as_text(movie_line(id)))}}
                   for id in range(index_table.BATCH_SIZE + 1)]  # fmt: skip
    if database == "moto":
        cloud.index.meta.client.batch_write_item(RequestItems={"IndexTable": writes})
        assert len(cloud.index.scan()["Items"]) == len(writes)
        return
    with pytest.raises(ClientError, match="less than or equal to 25"):
        cloud.index.meta.client.batch_write_item(RequestItems={"IndexTable": writes})


def test_a_movie_with_the_maximum_number_of_neighbours_fits_an_item(cloud: Cloud) -> None:
    line = heavy_line(1, others=500)
    index_table.write(cloud.index, RUN, [as_text(line)])
    item = cloud.index.get_item(Key=index_table.movie_key(RUN, 1))["Item"]
    assert line_in(item) == line
    assert neighbours_of(index_table.from_item(item), "cosine") == neighbours_of(line, "cosine")
    assert size_of(item) < LARGEST / 3


def test_an_item_of_the_maximum_size_is_refused_by_moto_alone(
    cloud: Cloud,
    database: str,  # noqa: F811
) -> None:
    item: dict[str, Any] = {**index_table.movie_key(RUN, 1), "movie": b""}
    item["movie"] = bytes(LARGEST - size_of(item))
    if database == "dynalite":
        cloud.index.put_item(Item=item)
        with pytest.raises(ClientError, match="exceeded the maximum allowed size"):
            cloud.index.put_item(Item=item | {"movie": item["movie"] + b"0"})
        return
    with pytest.raises(ClientError, match="exceeded the maximum allowed size"):
        cloud.index.put_item(Item=item)


def test_a_movie_that_is_too_large_for_an_item_is_refused(cloud: Cloud) -> None:
    line = padded(1, LARGEST)
    assert size_of(index_table.to_item(RUN, as_text(line))) > LARGEST
    with pytest.raises(ClientError, match="exceeded the maximum allowed size"):
        index_table.write(cloud.index, RUN, [as_text(line)])


def test_movies_of_several_megabytes_are_read_completely_although_dynalite_returns_parts(
    cloud: Cloud,
    database: str,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = [padded(id, 300_000) for id in range(1, 11)]
    run_id = finish_run(cloud, parts=[lines])
    real, calls = query.dynamodb.batch_get_item, []

    def counted(**request: Any) -> Any:
        answer = real(**request)
        calls.append(bool(answer["UnprocessedKeys"]))
        return answer

    monkeypatch.setattr(query.dynamodb, "batch_get_item", counted)
    reader = Reader(query.dynamodb, "IndexTable", "results")
    pointer, found = reader.items([line["movie_id"] for line in lines] + [99])
    assert pointer.run_id == run_id
    assert [line_in(item) for item in found.values()] == lines
    assert any(calls) == (database == "dynalite")
    assert not calls[-1]


def test_runs_beyond_a_page_of_a_megabyte_are_found(cloud: Cloud) -> None:
    run_ids = [start_run(cloud, minute) for minute in range(5)]
    for run_id in run_ids:
        runs.set_attributes(cloud.runs, run_id, request="x" * 300_000)
    assert [run["run_id"] for run in runs.unsettled(cloud.runs)] == run_ids[::-1]
    for limit in (1, 3, 4, 5, 6):
        latest = [run["run_id"] for run in runs.latest(cloud.runs, limit)]
        assert latest == run_ids[::-1][:limit]
    runs.advance(cloud.runs, run_ids[0], State.INDEXING, NOW)
    runs.advance(cloud.runs, run_ids[0], State.LIVE, NOW)
    oldest = runs.newest_live(cloud.runs)
    assert oldest is not None
    assert oldest["run_id"] == run_ids[0]


def test_every_attribute_of_a_run_can_be_set_whatever_its_name(cloud: Cloud) -> None:
    run_id = start_run(cloud)
    reserved = {"status": "a", "ttl": 1, "size": 2, "count": 3, "name": "b", "timestamp": "c"}
    assert runs.set_attributes(cloud.runs, run_id, **reserved)
    run = runs.get(cloud.runs, run_id)
    assert run is not None
    assert run.items() >= reserved.items()


def test_a_concurrent_move_of_the_pointer_prevents_the_move(cloud: Cloud) -> None:
    first = finish_run(cloud, 0)
    second = runs.get(cloud.runs, start_run(cloud, 1))
    assert second is not None
    held = live_pointer.read(cloud.index)
    assert held is not None
    finish_run(cloud, 2)
    there = live_pointer.read(cloud.index)
    told = {"measure": "cosine", "measures": ["cosine"], "min_score": "0.95", "titles": "t"}
    target = live_pointer.next_pointer(held, second | told | {"min_co_raters": 10}, NOW)
    moved = live_pointer._move(cloud.runs, cloud.index, held, target, State.RUNNING)
    assert (moved, live_pointer.read(cloud.index), held.run_id) == (False, there, first)
