"""Redelivery: failed messages return with growing delays; early ones do not count as failed."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from botocore.exceptions import ClientError
from freezegun import freeze_time
from freezegun.api import FrozenDateTimeFactory

from launcher import launch
from postponed import TooEarlyError
from redelivery import RedeliveryProcessor, delay_seconds
from tests.builders.aws import CONTEXT, Cloud
from tools.template import template

QUEUES = {"LaunchQueue": "LauncherFunction", "IndexQueue": "IndexerFunction"}


@pytest.fixture
def clock() -> Iterator[FrozenDateTimeFactory]:
    """A clock that moves only when a test moves it."""
    with freeze_time(datetime.now(UTC)) as clock:
        yield clock


def handler(record: SQSRecord) -> None:
    """Fail as the message says."""
    match record.body:
        case "broken":
            raise ValueError("it is broken")
        case "early":
            raise TooEarlyError("it is not ready", 42)


class Queue:
    """A queue with a visibility timeout of twelve minutes."""

    def __init__(self, cloud: Cloud, log: Logger | None = None) -> None:
        self.sqs = cloud.sqs
        self.url = self.sqs.get_queue_url(QueueName="IndexQueue")["QueueUrl"]
        self.sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"VisibilityTimeout": "720"})
        self.processor = RedeliveryProcessor(self.sqs, self.url, log or Logger())

    def deliver(self, *bodies: str) -> list[str]:
        """Send messages and deliver the visible ones in one batch; returns the failed ones."""
        for body in bodies:
            self.sqs.send_message(QueueUrl=self.url, MessageBody=body)
        received = self.sqs.receive_message(
            QueueUrl=self.url, AttributeNames=["All"], MaxNumberOfMessages=10
        ).get("Messages", [])
        if not received:
            return []  # Lambda calls nobody then
        records = [
            {
                "messageId": each["MessageId"],
                "receiptHandle": each["ReceiptHandle"],
                "body": each["Body"],
                "attributes": each["Attributes"],
            }
            for each in received
        ]
        answer = process_partial_response({"Records": records}, handler, self.processor, CONTEXT)
        failed = {each["itemIdentifier"] for each in answer["batchItemFailures"]}
        return [each["body"] for each in records if each["messageId"] in failed]


def test_a_failed_message_is_redelivered_within_seconds_and_then_with_longer_delays(
    cloud: Cloud, clock: FrozenDateTimeFactory
) -> None:
    queue = Queue(cloud)
    assert queue.deliver("broken") == ["broken"]
    for longest in (5, 60, 720, 1440):
        clock.tick(0.75 * longest - 1)
        assert queue.deliver() == [], f"less than {longest} seconds are over"
        clock.tick(0.25 * longest + 2)
        assert queue.deliver() == ["broken"]


def test_a_message_that_came_too_early_is_redelivered_after_its_delay(
    cloud: Cloud, clock: FrozenDateTimeFactory
) -> None:
    queue = Queue(cloud)
    assert queue.deliver("early") == ["early"]
    clock.tick(41)
    assert queue.deliver() == []
    clock.tick(2)
    assert queue.deliver() == ["early"]


def test_only_the_failed_messages_of_a_batch_are_redelivered(cloud: Cloud) -> None:
    assert Queue(cloud).deliver("good", "broken", "good") == ["broken"]


@pytest.mark.parametrize(("body", "level"), [("broken", "ERROR"), ("early", "INFO")])
def test_the_log_says_what_failed_and_when_it_is_redelivered(
    cloud: Cloud, capsys: pytest.CaptureFixture[str], body: str, level: str
) -> None:
    Queue(cloud, Logger(service=f"test-{body}")).deliver(body)
    (told,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert told["level"] == level
    assert told["attempts"] == 1
    assert 0 < told["again_in"] <= 42
    if body == "broken":
        assert told["reason"] == "ValueError: it is broken"
        assert "in handler" in told["exception"]


def test_without_a_response_of_sqs_the_queues_timeout_applies(
    cloud: Cloud, clock: FrozenDateTimeFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "Throttling"}}, "ChangeMessageVisibility")

    queue = Queue(cloud)
    with monkeypatch.context() as patch:
        patch.setattr(queue.sqs, "change_message_visibility", refuse)
        assert queue.deliver("broken") == ["broken"]
    clock.tick(719)
    assert queue.deliver() == []
    clock.tick(2)
    assert queue.deliver() == ["broken"]


def test_messages_that_failed_together_are_not_redelivered_together() -> None:
    waits = {round(delay_seconds(2), 3) for _ in range(100)}
    assert len(waits) > 50
    assert 45 <= min(waits) <= max(waits) <= 60


def properties(name: str) -> dict[str, Any]:
    """The properties of a resource of the template."""
    return template()["Resources"][name]["Properties"]


@pytest.mark.parametrize(("queue", "function"), QUEUES.items())
def test_delays_and_leases_fit_the_template(queue: str, function: str) -> None:
    timeout = properties(function)["Timeout"]
    kept = properties(queue)["VisibilityTimeout"]
    assert kept >= 6 * timeout, "as AWS asks"
    assert timedelta(seconds=timeout) < launch.LEASE < timedelta(seconds=kept)
    deliveries = properties(queue)["RedrivePolicy"]["maxReceiveCount"]
    waits = [delay_seconds(number) for number in range(1, deliveries + 1)]
    assert waits[:-1] == sorted(waits[:-1])
    assert waits[-1] == 0, "after the last one SQS sets the message aside at once"
    assert timedelta(minutes=20) < timedelta(seconds=sum(waits)) < timedelta(hours=1)
