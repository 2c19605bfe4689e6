"""Reads the live run: its movies from DynamoDB and its titles catalogue from S3."""

import gc
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
from live_pointer import LivePointer
from query import world_ids
from query.http import problems
from query.http.problems import ProblemError
from query.search import title_catalogue
from query.search.title_catalogue import Catalogue
from query.world_ids import WorldIds

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import DynamoDBServiceResource
    from mypy_boto3_s3 import S3Client

DEADLINE = 5  # seconds after a request starts; no call to AWS starts later
MAX_KEYS = 100  # of one BatchGetItem
MAX_ATTEMPTS = 3  # to read movies without the live pointer moving
FIRST_BACKOFF = 0.02  # seconds; the longest wait before unprocessed keys are read again
MAX_BACKOFF = 0.5  # seconds; up to this, the longest wait doubles while no item comes
LIVE = index_table.LIVE_KEY["pk"]


@dataclass
class Reader:
    """Reads the live run and caches immutable data.

    Attributes:
        dynamodb: the resource.
        table_name: the index table.
        bucket: the results bucket.
    """

    dynamodb: "DynamoDBServiceResource"
    table_name: str
    bucket: str
    _last: LivePointer | None = field(default=None, init=False)
    _titles: tuple[str, Catalogue] | None = field(default=None, init=False)
    _world_ids: tuple[str, WorldIds] | None = field(default=None, init=False)
    _deadline: float = field(default=math.inf, init=False)

    @cached_property
    def s3(self) -> "S3Client":
        """Created by the first search."""
        return boto3.client("s3", config=PROMPT)

    def start_request(self) -> None:
        """Start the time of a request, see `DEADLINE`."""
        self._deadline = time.monotonic() + DEADLINE

    def live(self) -> LivePointer | None:
        """The current live pointer; None before the first run went live.

        Raises:
            ProblemError: 503, the deadline has passed; all methods below raise this, too.
        """
        self.check_deadline()
        self._last = live_pointer.read(self.dynamodb.Table(self.table_name)) or self._last
        return self._last

    def require_live(self) -> LivePointer:
        """The current live pointer.

        Raises:
            ProblemError: 503, no run is live yet.
        """
        pointer = self.live()
        if pointer is None:
            raise problems.unavailable(
                "no run is live yet: drop a MovieLens folder and wait for its run"
            )
        return pointer

    def movies[T: int | str](self, ids: Sequence[T]) -> tuple[LivePointer, dict[T, dict[str, Any]]]:
        """The live run and its movies with their neighbours, by id; see `items`."""
        live, items = self.items(ids)
        return live, {id: index_table.from_item(item) for id, item in items.items()}

    def items[T: int | str](self, ids: Sequence[T]) -> tuple[LivePointer, dict[T, dict[str, Any]]]:
        """The live run and the items of its movies, by id; unknown ids are left out.

        Makes a single request to DynamoDB if the live run is still that of the last call and the
        answer fits into one: it reads the pointer and that run's movies together. The first ids
        elsewhere of a run need another one, and its titles from S3.

        Args:
            ids: without duplicates, also ids elsewhere such as `tmdb:862`; one request reads 99.

        Raises:
            ProblemError: 503, no run is live yet, DynamoDB's answer stayed incomplete, or the
                pointer kept moving.
        """
        for _ in range(MAX_ATTEMPTS):
            expected, own = self._own_ids(self._last or self.require_live(), ids)
            keys = {id: index_table.movie_key(expected.run_id, own[id])["pk"] for id in own}
            distinct = list(dict.fromkeys(keys.values()))  # two ids may mean one movie
            self._last, items = self._read_together(expected.run_id, distinct)
            if self._last.run_id == expected.run_id:
                return self._last, {id: items[key] for id, key in keys.items() if key in items}
        raise self.unavailable()

    def _own_ids[T: int | str](
        self, expected: LivePointer, ids: Sequence[T]
    ) -> tuple[LivePointer, dict[T, int]]:
        """A run and the movies' ids in it, by the requested ids; without those it does not know.

        Args:
            expected: the run that is probably live. If its ids elsewhere are needed and not known
                yet, the live run is looked up.
            ids: the requested ids.
        """
        own: dict[T, int] = {}
        known = None
        if any(isinstance(id, str) for id in ids):
            if self._world_ids is None or self._world_ids[0] != expected.run_id:
                expected = self.require_live()
                self._world_ids = expected.run_id, world_ids.load(self._titles_of(expected))
                gc.freeze()  # as above: they stay
            known = self._world_ids[1]
        for id in ids:
            movie = known.movie_id(id) if known and isinstance(id, str) else id
            if isinstance(movie, int):
                own[id] = movie
        return expected, own

    @staticmethod
    def unavailable() -> ProblemError:
        """503: after several attempts, the data was incomplete or from two runs."""
        return problems.unavailable("the index did not answer; try again")

    def titles(self) -> tuple[LivePointer, Catalogue]:
        """The live run and its titles, which are read from S3 once per run.

        Raises:
            ProblemError: 503, no run is live yet.
        """
        pointer = self.require_live()
        if self._titles is None or self._titles[0] != pointer.run_id:
            self._titles = pointer.run_id, title_catalogue.load(self._titles_of(pointer))
            gc.freeze()  # they stay until the next run: no need to search them for garbage
        return pointer, self._titles[1]

    def _titles_of(self, pointer: LivePointer) -> bytes:
        """The titles catalogue of a run as the job wrote it."""
        self.check_deadline()
        return self.s3.get_object(Bucket=self.bucket, Key=pointer.titles)["Body"].read()

    def _read_together(
        self, run_id: str, keys: list[str]
    ) -> tuple[LivePointer, dict[str, dict[str, Any]]]:
        """The live pointer, and a run's items by their `pk`, in as few requests as possible.

        One answer of DynamoDB holds at most 1 MB from a partition and 16 MB in total, and less if
        DynamoDB is busy; one request has at most 100 keys. Items that came are kept; the other keys
        are read again, or in the next request.

        An item is valid whenever it was read, because a run's items never change. A *missing* item
        counts only if the same answer holds the pointer, and the pointer is still at this run:
        items of a run may be missing before it goes live and after another one has. So every
        request reads the pointer, too.

        Returns:
            The pointer and the items that exist; no items if the pointer is at another run.
        """
        pointer: LivePointer | None = None
        items: dict[str, dict[str, Any]] = {}
        left, empty_reads = keys, 0
        while True:
            asked, rest = left[: MAX_KEYS - 1], left[MAX_KEYS - 1 :]
            found, unprocessed = self._read_batch([LIVE, *asked])
            pointer_item = found.pop(LIVE, None)
            if pointer_item:
                pointer = live_pointer.from_item(pointer_item)
                if pointer.run_id != run_id:
                    return pointer, {}
            elif LIVE not in unprocessed:  # the table was lost
                raise self.unavailable()
            items |= found
            # Without the pointer, a key that is neither read nor unprocessed may still exist.
            still_left = [
                key for key in asked if (key in unprocessed if pointer_item else key not in items)
            ]
            left = still_left + rest
            if pointer and not left:
                return pointer, items
            if pointer and not still_left:
                continue
            empty_reads = 0 if len(still_left) < len(asked) else empty_reads + 1
            longest = min(FIRST_BACKOFF * 2**empty_reads, MAX_BACKOFF)
            time.sleep(random.uniform(0, longest))  # noqa: S311

    def _read_batch(self, keys: list[str]) -> tuple[dict[str, dict[str, Any]], set[str]]:
        """The items that exist, by their `pk`, and the unprocessed keys."""
        self.check_deadline()
        request: Any = {
            self.table_name: {"Keys": [{"pk": key} for key in keys], "ConsistentRead": True}
        }
        answer: Any = self.dynamodb.batch_get_item(RequestItems=request)
        unprocessed = answer.get("UnprocessedKeys", {}).get(self.table_name, {"Keys": []})["Keys"]
        items = answer["Responses"].get(self.table_name, [])
        return {item["pk"]: item for item in items}, {key["pk"] for key in unprocessed}

    def check_deadline(self) -> None:
        """Start no call to AWS that could end too late.

        Raises:
            ProblemError: 503, the deadline has passed.
        """
        if time.monotonic() >= self._deadline:
            raise self.unavailable()
