"""AWS in process: moto with the template's own tables, drops, events and results."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from moto import mock_aws

from spark.contracts.manifest import Manifest, Part
from spark.contracts.quality import Figures, Quality
from tests.unit.dynalite import Dynalite
from tools.aws_account import Account, client
from tools.sample_events import dropped

CONTEXT = SimpleNamespace(
    function_name="function",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:eu-central-1:123456789012:function:function",
    aws_request_id="3f1c2b5e-0000-4000-8000-000000000000",
)
RATINGS = "".join(f"{user}::{movie}::4.5::978300760\n" for user in range(1, 21) for movie in (1, 2))
MOVIES = "1::Toy Story (1995)::Animation|Comedy\n2::Heat (1995)::Crime\n"


class Cloud(Account):
    """Moto with what the functions use."""

    def drop(self, folder: str, ratings: str = RATINGS, movies: str = MOVIES) -> dict[str, Any]:
        """Drop a folder; returns the SQS event of its ratings file."""
        self.put(f"{folder}/ratings.dat", ratings)
        self.put(f"{folder}/movies.dat", movies)
        return dropped(f"{folder}/ratings.dat")

    def write_result(
        self,
        run_id: str,
        parts: list[list[dict[str, Any]]],
        quality: Quality | str | None = None,
        **changes: Any,
    ) -> None:
        """Write what the job leaves behind: parts, titles, quality and manifest."""
        lines = [line for part in parts for line in part]
        titles = [
            {k: v for k, v in line.items() if k not in ("others", "neighbours")} for line in lines
        ]
        written = [
            self._part(run_id, f"neighbours/part-{number:05d}.json.gz", part)
            for number, part in enumerate(parts)
        ]
        told = quality.to_json() if isinstance(quality, Quality) else quality
        manifest = Manifest(
            measure="cosine",
            measures={"cosine": {}},
            coverage={"cosine": 1.0},
            dataset={"format": "dat"},
            parameters={
                "min_co_raters": 10,
                "min_score": 0.95,
                "neighbours": 50,
                "max_ratings_per_user": None,
            },
            counts={"ratings": 40, "users": 20, "movies": len(lines)},
            rejects={},
            neighbours=written,
            titles=self._part(run_id, "titles/part-00000.json.gz", titles),
            similar_users=[],
            quality=None if told is None else self._written(run_id, "quality.json", told.encode()),
            timings={"read": 1.5},
            created_at="2026-11-23T12:00:00.000Z",
        )
        document = json.loads(manifest.to_json()) | changes
        self.put(f"runs/{run_id}/manifest.json", json.dumps(document), self.results)

    @contextmanager
    def tables_restored(self) -> Iterator[None]:
        """Take back what a block does to the tables: sooner done than a new account is filled."""
        before = {table: _by_key(table) for table in (self.runs, self.index)}
        yield
        for table, items in before.items():
            found = _by_key(table)
            with table.batch_writer() as batch:
                for key in found.keys() - items.keys():
                    batch.delete_item(Key=dict(key))
                for key, item in items.items():
                    if found.get(key) != item:
                        batch.put_item(Item=item)

    def _part(self, run_id: str, name: str, lines: list[dict[str, Any]]) -> Part:
        blob = gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode())
        return self._written(run_id, name, blob, len(lines))

    def _written(self, run_id: str, name: str, blob: bytes, records: int = 1) -> Part:
        self.put(f"runs/{run_id}/{name}", blob, self.results)
        return Part(name, records, len(blob), hashlib.sha256(blob).hexdigest())


@contextmanager
def account(second: Dynalite | None = None) -> Iterator[Cloud]:
    """An empty account with the template's tables, and buckets and queues of known names.

    Args:
        second: a second DynamoDB; without it, moto's.
    """
    with mock_aws(), second.behind_moto() if second else nullcontext():
        made = Cloud()
        made.create()
        try:
            yield made
        finally:
            if second:  # which outlives the account
                for name in ("RunsTable", "IndexTable"):
                    client("dynamodb").delete_table(TableName=name)


def _by_key(table: Any) -> dict[frozenset[tuple[str, Any]], dict[str, Any]]:
    """The items of a table by their keys."""
    names = [each["AttributeName"] for each in table.key_schema]
    items = table.scan()["Items"]
    return {frozenset((name, item[name]) for name in names): item for item in items}


def movie_line(movie_id: int, *neighbours: int, ratings: int = 20) -> dict[str, Any]:
    """A line of `neighbours/`; scores fall from 0.99 in steps of a hundredth."""
    return {
        "movie_id": movie_id,
        "title": f"Movie {movie_id} (1995)",
        "year": 1995,
        "genres": ["Drama"],
        "ratings": ratings,
        "others": [
            {
                "movie_id": other,
                "title": f"Movie {other} (1995)",
                "year": 1995,
                "genres": ["Drama"],
                "ratings": 30,
            }
            for other in neighbours
        ],
        "neighbours": {
            "cosine": [
                [rank, 0.99 - rank / 100, 12, 0.99 - rank / 100] for rank in range(len(neighbours))
            ]
        },
    }


def quality(lift: float, error: float = 0.01, **changes: Any) -> Quality:
    """What a run says of itself: by damped, a fifth of the hidden movies by popularity."""
    figures = Figures(0.2 * lift, lift, error, 0.3)
    told: dict[str, Any] = {
        "measure": "damped",
        "users": 500,
        "hidden": 4000,
        "popularity_recall": 0.2,
        "measures": {"damped": figures},
    }
    return Quality(**told | changes)


def long_ago() -> datetime:
    """A time before anything in a test happened."""
    return datetime.now(UTC) - timedelta(days=1)
