"""Reads what the API answers from: the live run's movies and its titles catalogue."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import catalogue
import index
import live
from catalogue import Catalogue
from live import Live

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import DynamoDBServiceResource
    from mypy_boto3_s3 import S3Client

ATTEMPTS = 3  # DynamoDB may leave keys of a batch unread, and the pointer may move meanwhile


class NotLiveError(Exception):
    """No run has gone live yet."""

    def __init__(self) -> None:
        super().__init__("no run is live yet: drop a MovieLens folder and wait for its run")


class BusyError(Exception):
    """DynamoDB did not give what was asked for."""


@dataclass
class Reader:
    """Reads under the live pointer and remembers what cannot change.

    Attributes:
        dynamodb: resource.
        s3: client.
        table_name: the index table.
        bucket: the results bucket.
    """

    dynamodb: "DynamoDBServiceResource"
    s3: "S3Client"
    table_name: str
    bucket: str
    _last: Live | None = field(default=None, init=False)
    _titles: tuple[str, Catalogue] | None = field(default=None, init=False)

    def live(self) -> Live | None:
        """The live pointer now, or None before the first run went live."""
        self._last = live.read(self.dynamodb.Table(self.table_name)) or self._last
        return self._last

    def movie(self, movie_id: int) -> tuple[Live, dict[str, Any] | None]:
        """A movie with its neighbours in the live run, or None where the run has no such movie.

        One request to DynamoDB while the live run stays the one of the last call: the pointer
        and the movie under that run are read together.

        Raises:
            NotLiveError: no run is live yet.
            BusyError: DynamoDB did not answer whole, or the pointer kept moving.
        """
        for _ in range(ATTEMPTS):
            believed = self._last or self.live()
            if believed is None:
                raise NotLiveError
            key = index.movie_key(believed.run_id, movie_id)
            items = self._read_together(dict(index.LIVE_KEY), key)
            pointer = items.get(index.LIVE_KEY["pk"])
            if pointer is None:
                continue
            self._last = live.from_item(pointer)
            if self._last.run_id == believed.run_id:
                item = items.get(key["pk"])
                return believed, index.from_item(item) if item else None
        raise BusyError("the index did not answer; try again")

    def search(self, title: str, limit: int) -> tuple[Live, list[dict[str, Any]]]:
        """The live run's movies whose titles match, see `catalogue.search`.

        Raises:
            NotLiveError: no run is live yet.
        """
        pointer = self.live()
        if pointer is None:
            raise NotLiveError
        if self._titles is None or self._titles[0] != pointer.run_id:
            blob = self.s3.get_object(Bucket=self.bucket, Key=pointer.titles)["Body"].read()
            self._titles = pointer.run_id, catalogue.load(blob)
        return pointer, catalogue.search(self._titles[1], title, limit)

    def _read_together(self, *keys: dict[str, str]) -> dict[str, dict[str, Any]]:
        """Items by their `pk`, read in one request; those that are not there are left out."""
        request: Any = {self.table_name: {"Keys": list(keys), "ConsistentRead": True}}
        answer = self.dynamodb.batch_get_item(RequestItems=request)
        if answer.get("UnprocessedKeys"):
            return {}
        return {item["pk"]: item for item in answer["Responses"].get(self.table_name, [])}
