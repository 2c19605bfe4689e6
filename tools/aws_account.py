"""An AWS account on moto with what the functions use, for tests and benchmarks."""

import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import boto3

from tools.function_environment import DATASETS, RESULTS
from tools.paths import ROOT
from tools.template import template

client = cache(boto3.client)  # making one takes longer than a test's calls


@cache
def table(name: str) -> Any:
    """A table of DynamoDB."""
    return boto3.resource("dynamodb").Table(name)


@dataclass
class Account:
    """An account with what the functions use.

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
    results: str = RESULTS

    def create(self) -> None:
        """Create the template's tables, the buckets, the queues, and an archive of the job."""
        resources = template()["Resources"]
        for bucket in (DATASETS, RESULTS):
            self.s3.create_bucket(
                Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
            )
        for name in ("RunsTable", "IndexTable"):
            wanted = ("BillingMode", "AttributeDefinitions", "KeySchema")
            properties = {key: resources[name]["Properties"][key] for key in wanted}
            client("dynamodb").create_table(TableName=name, **properties)
        environment = (ROOT / "spark" / "environment.sha256").read_text().strip()
        self.put(f"environments/{environment}.tar.gz", b"an archive", RESULTS)
        for name in ("LaunchQueue", "IndexQueue"):
            self.sqs.create_queue(QueueName=name)

    def put(self, key: str, content: str | bytes, bucket: str = DATASETS) -> None:
        """Put one object."""
        body = content.encode() if isinstance(content, str) else content
        self.s3.put_object(Bucket=bucket, Key=key, Body=body)

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
