"""The index table: one item per run and movie with the movie's neighbours, and the live pointer.

The key of a movie contains its run. So a run can be loaded completely before the pointer moves to
it. Readers use the run that the pointer names.
"""

import random
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import batched
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import deflate
import msgspec
from botocore.exceptions import ClientError

from postponed import PostponedError
from spark.contracts.index_items import COMPRESSION

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


class _Line(TypedDict):
    """A line of `neighbours/`, in which others and lists are JSON.

    A field that is missing here would be skipped.
    """

    movie_id: int
    title: str | None
    year: int | None
    genres: list[str]
    ratings: int
    series: NotRequired[str]
    imdb_id: NotRequired[str]
    tmdb_id: NotRequired[int]
    tags: NotRequired[list[str]]
    others: list[msgspec.Raw]
    neighbours: dict[str, msgspec.Raw]


class _Movie(msgspec.Struct):
    """A line's movie; the rest is only checked to be JSON."""

    movie_id: int


_decode = msgspec.json.Decoder().decode
_decode_movie = msgspec.json.Decoder(_Movie).decode
_decode_line = msgspec.json.Decoder(_Line).decode


class _Others:
    """The movies that are neighbours in a line."""

    def __init__(self, others: list[msgspec.Raw]) -> None:
        self._others = others

    def __getitem__(self, place: int) -> dict[str, Any]:
        """The movie at a place, as its rows name it."""
        return _decode(self._others[place])


class _Lists:
    """The rows of a line by measure."""

    def __init__(self, lists: Mapping[str, msgspec.Raw]) -> None:
        self._lists = lists

    def get(self, measure: str, default: Sequence[Any]) -> Sequence[Any]:
        """The rows of a measure, or the default if the run does not have it."""
        return _decode(self._lists[measure]) if measure in self._lists else default


class BusyTableError(PostponedError):
    """DynamoDB kept rejecting writes; the message must be redelivered."""

    def __init__(self, table: str):
        super().__init__(f"{table} does not accept writes", seconds=60)


def movie_key(run_id: str, movie_id: int) -> dict[str, str]:
    """Return the key of a movie in a run."""
    return {"pk": f"{run_id}#{movie_id}"}


def movie_of(line: bytes) -> int:
    """Return the id of the movie of a line of `neighbours/`.

    Raises:
        msgspec.DecodeError: the line is not JSON, or names no movie.
    """
    return _decode_movie(line).movie_id


def to_item(run_id: str, line: bytes) -> dict[str, Any]:
    """Convert a line of `neighbours/` to an item.

    The item holds the line compressed, as the job wrote it: doubles stay exact (DynamoDB numbers
    are decimal), and an item costs a fifth of the write units.

    Args:
        run_id: the run that computed it.
        line: a movie with its `neighbours` as JSON, see spark/output/neighbours.py.

    Raises:
        msgspec.DecodeError: see `movie_of`.
    """
    key = movie_key(run_id, movie_of(line))
    return {**key, "movie": bytes(deflate.zlib_compress(line, COMPRESSION))}


def from_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """Convert an item back to the movie with its neighbours.

    An answer needs one measure's rows and often few of their movies, so each of these is decoded
    when `neighbours_of` asks for it.
    """
    line = _decode_line(zlib.decompress(bytes(item["movie"])))
    return line | {"others": _Others(line["others"]), "neighbours": _Lists(line["neighbours"])}


def write(table: "Table", run_id: str, lines: Iterable[bytes]) -> None:
    """Write movies of a run to the index; idempotent.

    Args:
        table: the index table.
        run_id: the run.
        lines: of `neighbours/`.

    Raises:
        BusyTableError: DynamoDB does not accept them now.
    """
    _send(table, ({"PutRequest": {"Item": to_item(run_id, line)}} for line in lines))


def remove(table: "Table", run_id: str, lines: Iterable[bytes]) -> None:
    """Remove movies of a run from the index; missing ones are ignored.

    Args:
        table: the index table.
        run_id: the run.
        lines: of `neighbours/`.

    Raises:
        BusyTableError: see `write`.
    """
    keys = (movie_key(run_id, movie_of(line)) for line in lines)
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
