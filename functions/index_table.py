"""The index table: one item per run and movie with the movie's neighbours, and the live pointer.

The key of a movie contains its run. So a run can be loaded completely before the pointer moves to
it. Readers use the run that the pointer names.
"""

import json
import random
import time
import zlib
from collections.abc import Iterable, Mapping
from itertools import batched
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import ClientError

from redelivery import PostponedError
from spark.contracts.neighbour_lines import (
    neighbours_of as neighbours_of,  # reads the neighbours of an item
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

LIVE_KEY: Mapping[str, str] = {"pk": "LIVE"}
BATCH_SIZE = 25  # maximum number of requests in a BatchWriteItem
# Seconds after which writing a part gives up on unprocessed items. A new table takes about 4,000
# write units a second; a part of ml-10M100K needs 7,000, with 500 neighbours ten times as many.
WRITE_TIMEOUT = 60.0
FIRST_PAUSE = 0.05  # maximum seconds, doubled each time DynamoDB accepts nothing
LONGEST_PAUSE = 2.0
# Error codes with which DynamoDB rejects a whole batch.
THROTTLING_CODES = frozenset(
    {"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"}
)


class BusyTableError(PostponedError):
    """DynamoDB kept rejecting writes; the message must be redelivered."""

    def __init__(self, table: str):
        super().__init__(f"{table} does not accept writes", seconds=60)


def movie_key(run_id: str, movie_id: int) -> dict[str, str]:
    """Return the key of a movie in a run."""
    return {"pk": f"{run_id}#{movie_id}"}


def to_item(run_id: str, line: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a line of `neighbours/` to an item.

    The item holds the line as compressed JSON: doubles stay exact (DynamoDB numbers are decimal),
    and an item costs a fifth of the write units.

    Args:
        run_id: the run that computed it.
        line: a movie with its `neighbours`, see spark/output/neighbours.py.
    """
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
    return {**movie_key(run_id, line["movie_id"]), "movie": zlib.compress(text.encode())}


def from_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """Convert an item back to the movie with its neighbours."""
    return msgspec.json.decode(zlib.decompress(bytes(item["movie"])))  # twice as fast as json


def write(table: "Table", run_id: str, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write movies of a run to the index; idempotent.

    Raises:
        BusyTableError: DynamoDB does not accept them now.
    """
    _send(table, ({"PutRequest": {"Item": to_item(run_id, line)}} for line in lines))


def remove(table: "Table", run_id: str, lines: Iterable[Mapping[str, Any]]) -> None:
    """Remove movies of a run from the index; missing ones are ignored.

    Raises:
        BusyTableError: see `write`.
    """
    keys = (movie_key(run_id, line["movie_id"]) for line in lines)
    _send(table, ({"DeleteRequest": {"Key": key}} for key in keys))


def _send(table: "Table", requests: Iterable[Any]) -> None:
    """Send requests in batches; retry unprocessed items with increasing pauses.

    boto3's batch_writer would retry at once and forever.
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
    """Send one batch; returns the unprocessed requests."""
    try:
        response = table.meta.client.batch_write_item(RequestItems={table.name: requests})
    except ClientError as error:
        if error.response["Error"]["Code"] not in THROTTLING_CODES:
            raise
        return requests
    return response.get("UnprocessedItems", {}).get(table.name, [])
