"""Reads what the API answers from: the live run's movies and its titles catalogue."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3

import catalogue
import index
import live
import problems
from catalogue import Catalogue
from live import Live
from problems import ProblemError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import DynamoDBServiceResource
    from mypy_boto3_s3 import S3Client

ATTEMPTS = 3  # DynamoDB may leave keys of a batch unread, and the pointer may move meanwhile


@dataclass
class Reader:
    """Reads under the live pointer and remembers what cannot change.

    Attributes:
        dynamodb: resource.
        table_name: the index table.
        bucket: the results bucket.
    """

    dynamodb: "DynamoDBServiceResource"
    table_name: str
    bucket: str
    _last: Live | None = field(default=None, init=False)
    _titles: tuple[str, Catalogue] | None = field(default=None, init=False)

    @cached_property
    def s3(self) -> "S3Client":
        """Made when the first search needs it."""
        return boto3.client("s3")

    def live(self) -> Live | None:
        """The live pointer now, or None before the first run went live."""
        self._last = live.read(self.dynamodb.Table(self.table_name)) or self._last
        return self._last

    def live_run(self) -> Live:
        """The live pointer now.

        Raises:
            ProblemError: 503, no run is live yet.
        """
        pointer = self.live()
        if pointer is None:
            said = "no run is live yet: drop a MovieLens folder and wait for its run"
            raise problems.unavailable(said)
        return pointer

    def movies(self, ids: Sequence[int]) -> tuple[Live, dict[int, dict[str, Any]]]:
        """Movies with their neighbours in the live run, by id; without those that it lacks.

        One request to DynamoDB while the live run stays the one of the last call: the pointer
        and the movies under that run are read together.

        Args:
            ids: of at most 99 movies, none twice.

        Raises:
            ProblemError: 503, no run is live yet, or DynamoDB did not answer whole, or the
                pointer kept moving.
        """
        for _ in range(ATTEMPTS):
            believed = self._last or self.live_run()
            keys = {id: index.movie_key(believed.run_id, id) for id in ids}
            items = self._read_together([dict(index.LIVE_KEY), *keys.values()])
            pointer = items.get(index.LIVE_KEY["pk"])
            if pointer is None:
                continue
            self._last = live.from_item(pointer)
            if self._last.run_id == believed.run_id:
                found = {id: items.get(key["pk"]) for id, key in keys.items()}
                return self._last, {id: index.from_item(item) for id, item in found.items() if item}
        raise self.busy()

    @staticmethod
    def busy() -> ProblemError:
        """503: what was read was not whole, or of two runs, again and again."""
        return problems.unavailable("the index did not answer; try again")

    def titles(self) -> tuple[Live, Catalogue]:
        """The live run's titles; read from S3 once per run.

        Raises:
            ProblemError: 503, no run is live yet.
        """
        pointer = self.live_run()
        if self._titles is None or self._titles[0] != pointer.run_id:
            blob = self.s3.get_object(Bucket=self.bucket, Key=pointer.titles)["Body"].read()
            self._titles = pointer.run_id, catalogue.load(blob)
        return pointer, self._titles[1]

    def _read_together(self, keys: list[dict[str, str]]) -> dict[str, dict[str, Any]]:
        """Items by their `pk`, read in one request; those that are not there are left out."""
        request: Any = {self.table_name: {"Keys": keys, "ConsistentRead": True}}
        answer = self.dynamodb.batch_get_item(RequestItems=request)
        if answer.get("UnprocessedKeys"):
            return {}
        return {str(item["pk"]): item for item in answer["Responses"].get(self.table_name, [])}
