"""The index table's items: one per run and movie with the movie's neighbours, and the live pointer.

A movie's item stands under its run, so that a run is complete before anybody reads it; the pointer
says which run readers are answered from.
"""

import json
import zlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from spark.lists import neighbours_of as neighbours_of  # part of what an item is read by

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

LIVE_KEY: Mapping[str, str] = {"pk": "LIVE"}


def movie_key(run_id: str, movie_id: int) -> dict[str, str]:
    """The key of a movie in a run."""
    return {"pk": f"{run_id}#{movie_id}"}


def to_item(run_id: str, line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of `neighbours/` as an item.

    The line is kept whole as compressed JSON: its doubles stay exact (DynamoDB's numbers are
    decimals) and an item costs a fifth of the write units.

    Args:
        run_id: the run that computed it.
        line: a movie with its `neighbours`, see spark/neighbours.py.
    """
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
    return {**movie_key(run_id, line["movie_id"]), "movie": zlib.compress(text.encode())}


def from_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """The movie with its neighbours that an item holds; the inverse of `to_item`."""
    return json.loads(zlib.decompress(bytes(item["movie"])))


def write(table: "Table", run_id: str, lines: Iterable[Mapping[str, Any]]) -> None:
    """Put movies of a run into the index; putting them again changes nothing."""
    with table.batch_writer() as batch:
        for line in lines:
            batch.put_item(Item=to_item(run_id, line))


def remove(table: "Table", run_id: str, lines: Iterable[Mapping[str, Any]]) -> None:
    """Take movies of a run out of the index; those that are not there are no error."""
    with table.batch_writer() as batch:
        for line in lines:
            batch.delete_item(Key=movie_key(run_id, line["movie_id"]))
