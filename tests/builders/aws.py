"""AWS in process: moto with the template's own tables, drops, events and results."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from types import SimpleNamespace
from typing import Any

import boto3
import yaml
from moto import mock_aws

from spark.contracts.manifest import Manifest, Part
from spark.contracts.quality import Figures, Quality
from tests.conftest import ROOT, event
from tests.unit.dynalite import Dynalite

CONTEXT = SimpleNamespace(
    function_name="function",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:eu-central-1:123456789012:function:function",
    aws_request_id="3f1c2b5e-0000-4000-8000-000000000000",
)
RATINGS = "".join(f"{user}::{movie}::4.5::978300760\n" for user in range(1, 21) for movie in (1, 2))
MOVIES = "1::Toy Story (1995)::Animation|Comedy\n2::Heat (1995)::Crime\n"
DATASETS = "datasets"


class TemplateLoader(yaml.SafeLoader):
    """Reads template.yaml; intrinsic functions become their argument."""


TemplateLoader.add_multi_constructor(
    "!", lambda loader, _, node: loader.construct_scalar(node) if node.id == "scalar" else None
)


@cache
def template() -> dict[str, Any]:
    """template.yaml as a dictionary."""
    return yaml.load((ROOT / "template.yaml").read_text(), TemplateLoader)  # noqa: S506


client = cache(boto3.client)  # making one takes longer than a test's calls


@cache
def table(name: str) -> Any:
    """A table of DynamoDB."""
    return boto3.resource("dynamodb").Table(name)


@dataclass
class Cloud:
    """Moto with what the functions use.

    Attributes:
        s3: client.
        sqs: client.
        emr: client.
        runs: the runs table.
        index: the index table.
        results: name of the results bucket.
    """

    s3: Any = field(default_factory=lambda: client("s3"))
    sqs: Any = field(default_factory=lambda: client("sqs"))
    emr: Any = field(default_factory=lambda: client("emr"))
    runs: Any = field(default_factory=lambda: table("RunsTable"))
    index: Any = field(default_factory=lambda: table("IndexTable"))
    results: str = "results"

    def put(self, key: str, content: str | bytes, bucket: str = DATASETS) -> None:
        """Put one object."""
        body = content.encode() if isinstance(content, str) else content
        self.s3.put_object(Bucket=bucket, Key=key, Body=body)

    def drop(self, folder: str, ratings: str = RATINGS, movies: str = MOVIES) -> dict[str, Any]:
        """Drop a folder; returns the SQS event of its ratings file."""
        self.put(f"{folder}/ratings.dat", ratings)
        self.put(f"{folder}/movies.dat", movies)
        return dropped(f"{folder}/ratings.dat")

    def clusters(self) -> list[dict[str, Any]]:
        """All clusters that were ever launched."""
        return self.emr.list_clusters()["Clusters"]

    def all_runs(self) -> list[dict[str, Any]]:
        """All runs, oldest first."""
        return [item for item in self.runs.scan()["Items"] if item["pk"] == "RUN"]

    def messages(self, queue: str) -> list[dict[str, Any]]:
        """Take the messages that wait in a queue; returns their bodies."""
        url = self.sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        bodies = []
        while received := self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in received:
                bodies.append(json.loads(message["Body"]))
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return bodies

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
    resources = template()["Resources"]
    with mock_aws(), second.behind_moto() if second else nullcontext():
        made = Cloud()
        for bucket in (DATASETS, "results"):
            made.s3.create_bucket(
                Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
            )
        for name in ("RunsTable", "IndexTable"):
            wanted = ("BillingMode", "AttributeDefinitions", "KeySchema")
            properties = {key: resources[name]["Properties"][key] for key in wanted}
            client("dynamodb").create_table(TableName=name, **properties)
        environment = (ROOT / "spark" / "environment.sha256").read_text().strip()
        made.put(f"environments/{environment}.tar.gz", b"an archive", "results")
        for name in ("LaunchQueue", "IndexQueue"):
            made.sqs.create_queue(QueueName=name)
        try:
            yield made
        finally:
            if second:  # which outlives the account
                for name in ("RunsTable", "IndexTable"):
                    client("dynamodb").delete_table(TableName=name)


def dropped(key: str, at: datetime | None = None) -> dict[str, Any]:
    """The launcher's event for a file that was dropped (by default: now)."""
    trigger = event("launcher-dataset-dropped")
    body = json.loads(trigger["Records"][0]["body"])
    body["detail"]["bucket"]["name"] = DATASETS
    body["detail"]["object"]["key"] = key
    body["time"] = f"{at or datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    trigger["Records"][0]["body"] = json.dumps(body)
    return trigger


def manifest_written(run_id: str) -> dict[str, Any]:
    """The indexer's event for a run's manifest."""
    trigger = event("indexer-manifest-written")
    body = json.loads(trigger["Records"][0]["body"])
    body["detail"]["object"]["key"] = f"runs/{run_id}/manifest.json"
    trigger["Records"][0]["body"] = json.dumps(body)
    return trigger


def messages(*bodies: dict[str, Any]) -> dict[str, Any]:
    """The indexer's event for messages of its queue."""
    trigger = event("indexer-part")
    record = trigger["Records"][0]
    trigger["Records"] = [
        record | {"messageId": str(number), "body": json.dumps(body)}
        for number, body in enumerate(bodies)
    ]
    return trigger


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
