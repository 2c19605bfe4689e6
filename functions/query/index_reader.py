"""Reads what the API answers from: the live run's movies and its titles catalogue."""

import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3

import index_table
import live_pointer
from clients import PROMPT
from live_pointer import Live
from query import title_search
from query.http import problems
from query.http.problems import ProblemError
from query.title_search import Catalogue

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import DynamoDBServiceResource
    from mypy_boto3_s3 import S3Client

DEADLINE = 5  # seconds from a request's beginning; later no call to AWS is begun for it
MAX_ATTEMPTS = 3  # the pointer may move meanwhile
FIRST_BACKOFF = 0.02  # seconds at the most before what was left unread is asked for again
MAX_BACKOFF = 0.5  # where nothing comes, the wait doubles up to this
LIVE = index_table.LIVE_KEY["pk"]


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
    _deadline: float = field(default=math.inf, init=False)

    @cached_property
    def s3(self) -> "S3Client":
        """Made when the first search needs it."""
        return boto3.client("s3", config=PROMPT)

    def start_request(self) -> None:
        """Begin a request: from now on its time counts, see `DEADLINE`."""
        self._deadline = time.monotonic() + DEADLINE

    def live(self) -> Live | None:
        """The live pointer now, or None before the first run went live.

        Raises:
            ProblemError: 503, the request's time is over; the same of the other methods.
        """
        self._check_deadline()
        self._last = live_pointer.read(self.dynamodb.Table(self.table_name)) or self._last
        return self._last

    def require_live(self) -> Live:
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

        One request to DynamoDB while the live run stays the one of the last call, and its answer
        is not too large for one: the pointer and the movies under that run are read together.

        Args:
            ids: of at most 99 movies, none twice.

        Raises:
            ProblemError: 503, no run is live yet, or DynamoDB did not answer whole, or the
                pointer kept moving.
        """
        for _ in range(MAX_ATTEMPTS):
            believed = self._last or self.require_live()
            keys = {id: index_table.movie_key(believed.run_id, id)["pk"] for id in ids}
            self._last, items = self._read_together(believed.run_id, list(keys.values()))
            if self._last.run_id == believed.run_id:
                found = {id: items.get(key) for id, key in keys.items()}
                return self._last, {
                    id: index_table.from_item(item) for id, item in found.items() if item
                }
        raise self.unavailable()

    @staticmethod
    def unavailable() -> ProblemError:
        """503: what was read was not whole, or of two runs, again and again."""
        return problems.unavailable("the index did not answer; try again")

    def titles(self) -> tuple[Live, Catalogue]:
        """The live run's titles; read from S3 once per run.

        Raises:
            ProblemError: 503, no run is live yet.
        """
        pointer = self.require_live()
        if self._titles is None or self._titles[0] != pointer.run_id:
            self._check_deadline()
            blob = self.s3.get_object(Bucket=self.bucket, Key=pointer.titles)["Body"].read()
            self._titles = pointer.run_id, title_search.load(blob)
        return pointer, self._titles[1]

    def _read_together(
        self, run_id: str, keys: list[str]
    ) -> tuple[Live, dict[str, dict[str, Any]]]:
        """The live pointer, and items of a run by their `pk`, read in as few requests as may be.

        DynamoDB hands over no more than 1 MB of a partition and 16 MB in all, and less where it
        is busy. What came is kept, and what is left is asked for once more.

        An item that came is right whenever it was read, for under a run's id nothing changes.
        That one is *not* there counts only where the pointer came with that answer, and stood at
        the run: of a run that is not live any more, or not yet, items may be missing. So the
        pointer is asked for each time.

        Returns:
            The pointer and the items, without those that are not there; no items at all where
            the pointer stands at another run.
        """
        pointer: Live | None = None
        items: dict[str, dict[str, Any]] = {}
        left, in_vain = keys, 0
        while True:
            came, unread = self._read_batch([LIVE, *left])
            said = came.pop(LIVE, None)
            if said:
                pointer = live_pointer.from_item(said)
                if pointer.run_id != run_id:
                    return pointer, {}
            elif LIVE not in unread:  # the table was lost
                raise self.unavailable()
            items |= came
            still = [key for key in left if (key in unread if said else key not in items)]
            if pointer and not still:
                return pointer, items
            in_vain = 0 if len(still) < len(left) else in_vain + 1
            left = still
            time.sleep(random.uniform(0, min(FIRST_BACKOFF * 2**in_vain, MAX_BACKOFF)))  # noqa: S311

    def _read_batch(self, keys: list[str]) -> tuple[dict[str, dict[str, Any]], set[str]]:
        """Items by their `pk`, of those that are there, and the keys that were left unread."""
        self._check_deadline()
        request: Any = {
            self.table_name: {"Keys": [{"pk": key} for key in keys], "ConsistentRead": True}
        }
        answer: Any = self.dynamodb.batch_get_item(RequestItems=request)
        unread = answer.get("UnprocessedKeys", {}).get(self.table_name, {"Keys": []})["Keys"]
        items = answer["Responses"].get(self.table_name, [])
        return {item["pk"]: item for item in items}, {key["pk"] for key in unread}

    def _check_deadline(self) -> None:
        if time.monotonic() >= self._deadline:
            raise self.unavailable()
