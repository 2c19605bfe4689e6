"""The index table's items: one per run and movie with the movie's neighbours, and the live pointer.

A movie's item stands under its run, so that a run is complete before anybody reads it; the pointer
says which run readers are answered from.
"""

import json
import random
import time
import zlib
from collections.abc import Iterable, Mapping
from itertools import batched
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from redelivery import PostponedError
from spark.contracts.neighbour_lines import (
    neighbours_of as neighbours_of,  # part of what an item is read by
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

LIVE_KEY: Mapping[str, str] = {"pk": "LIVE"}
BATCH_SIZE = 25  # requests that one BatchWriteItem takes
# Seconds for which DynamoDB may hand back what a part is to write. A new table takes some 4,000
# write units a second; a part of ml-10M100K has 7,000, with 500 neighbours ten times as many.
WRITE_TIMEOUT = 60.0
FIRST_PAUSE = 0.05  # seconds at the most, doubled each time that nothing is taken
LONGEST_PAUSE = 2.0
# What DynamoDB says where it takes nothing of a batch at all.
THROTTLING_CODES = frozenset(
    {"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"}
)


class BusyTableError(PostponedError):
    """DynamoDB went on handing back what it was to write; the message shall come back."""

    def __init__(self, table: str):
        super().__init__(f"{table} does not take what is written to it", seconds=60)


def movie_key(run_id: str, movie_id: int) -> dict[str, str]:
    """The key of a movie in a run."""
    return {"pk": f"{run_id}#{movie_id}"}


def to_item(run_id: str, line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of `neighbours/` as an item.

    The line is kept whole as compressed JSON: its doubles stay exact (DynamoDB's numbers are
    decimals) and an item costs a fifth of the write units.

    Args:
        run_id: the run that computed it.
        line: a movie with its `neighbours`, see spark/output/neighbours.py.
    """
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
    return {**movie_key(run_id, line["movie_id"]), "movie": zlib.compress(text.encode())}


def from_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """The movie with its neighbours that an item holds; the inverse of `to_item`."""
    return json.loads(zlib.decompress(bytes(item["movie"])))


def write(table: "Table", run_id: str, lines: Iterable[Mapping[str, Any]]) -> None:
    """Put movies of a run into the index; putting them again changes nothing.

    Raises:
        BusyTableError: DynamoDB does not take them now; the same of `remove`.
    """
    _send(table, ({"PutRequest": {"Item": to_item(run_id, line)}} for line in lines))


def remove(table: "Table", run_id: str, lines: Iterable[Mapping[str, Any]]) -> None:
    """Take movies of a run out of the index; those that are not there are no error."""
    keys = (movie_key(run_id, line["movie_id"]) for line in lines)
    _send(table, ({"DeleteRequest": {"Key": key}} for key in keys))


def _send(table: "Table", requests: Iterable[Any]) -> None:
    """Send requests in batches; what DynamoDB hands back is sent again, later and later.

    boto3's batch_writer would send it again at once and without end.
    """
    end = time.monotonic() + WRITE_TIMEOUT
    for batch in batched(requests, BATCH_SIZE, strict=False):
        left, failures = list(batch), 0
        while rest := _write_batch(table, left):
            failures = failures + 1 if len(rest) == len(left) else 0
            left = rest
            pause = random.uniform(0.5, 1) * min(FIRST_PAUSE * 2**failures, LONGEST_PAUSE)  # noqa: S311
            if time.monotonic() + pause > end:
                raise BusyTableError(table.name)
            time.sleep(pause)


def _write_batch(table: "Table", requests: list[Any]) -> list[Any]:
    """Send one batch; returns what DynamoDB did not take."""
    try:
        answer = table.meta.client.batch_write_item(RequestItems={table.name: requests})
    except ClientError as error:
        if error.response["Error"]["Code"] not in THROTTLING_CODES:
            raise
        return requests
    return answer.get("UnprocessedItems", {}).get(table.name, [])
