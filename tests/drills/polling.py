"""Lambda polling the queues for the functions, with the queues' attributes from the template.

The time is the drill's own: a message comes back when its queue or its function said that it does.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from freezegun import freeze_time
from freezegun.api import FrozenDateTimeFactory
from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT_ID

import redelivery
from indexer import handler as indexer
from launcher import handler as launcher
from tests.builders.aws import CONTEXT, Cloud
from tests.drills.conftest import KilledError
from tools.template import template

FUNCTIONS = {"LaunchQueue": launcher, "IndexQueue": indexer}
LIMIT = timedelta(hours=3)

type During = Callable[[int], AbstractContextManager[object]]


@dataclass(frozen=True)
class Worked:
    """The deliveries of a queue.

    Attributes:
        delivered: how often a message was handed to the function.
        back: how often one came back.
        took: from the first delivery to the last.
    """

    delivered: int
    back: int
    took: timedelta


@dataclass(frozen=True)
class Poller:
    """Lambda's polling of queues.

    Attributes:
        cloud: where the queues are.
        clock: the drill's time.
        urls: of the queues, by name.
    """

    cloud: Cloud
    clock: FrozenDateTimeFactory
    urls: dict[str, str]

    def put(self, queue: str, trigger: dict[str, Any]) -> None:
        """Send the messages of a function's event to its queue."""
        for record in trigger["Records"]:
            self.cloud.sqs.send_message(QueueUrl=self.urls[queue], MessageBody=record["body"])
        self.clock.tick(timedelta(seconds=1))  # no message is received when it is sent

    def work_off(self, queue: str, during: During = lambda _: nullcontext()) -> Worked:
        """Deliver a queue's messages, one at a time, until none is left.

        Args:
            queue: `LaunchQueue` or `IndexQueue`.
            during: what a delivery takes place in, by its number from 1.
        """
        start = last = datetime.now(UTC)
        delivered = back = 0
        sqs, url = self.cloud.sqs, self.urls[queue]
        while True:
            received = sqs.receive_message(QueueUrl=url, AttributeNames=["All"])
            for message in received.get("Messages", []):
                delivered += 1
                last = datetime.now(UTC)
                with during(delivered):
                    is_done = self._invoke(queue, message)
                if is_done:
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                else:
                    back += 1
            if not received.get("Messages"):
                if not (back_at := self._back_at(queue)):
                    return Worked(delivered, back, last - start)
                assert datetime.now(UTC) < back_at, "a message is there and is not received"
                assert back_at - last < LIMIT, "a message never comes back"
                self.clock.move_to(back_at)

    def _back_at(self, queue: str) -> datetime | None:
        """When the next of a queue's messages can be received; None without any.

        Moto knows: to ask again and again until one is received took most of a drill's time.
        """
        region = self.cloud.sqs.meta.region_name
        known = get_backend("sqs")[ACCOUNT_ID][region].queues[queue]._messages
        times = [max(each.visible_at, each.delayed_until) for each in known]
        after = timedelta(milliseconds=1)
        return datetime.fromtimestamp(min(times) / 1000, UTC) + after if times else None

    def _invoke(self, queue: str, message: dict[str, Any]) -> bool:
        """Deliver a message to its function; returns whether it was processed."""
        record = {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "eventSource": "aws:sqs",
        }
        try:
            answer = FUNCTIONS[queue].lambda_handler({"Records": [record]}, CONTEXT)
        except KilledError:
            return False
        return not answer["batchItemFailures"]

    def left(self, queue: str) -> int:
        """The number of messages in a queue, visible or not."""
        count = "ApproximateNumberOfMessages"
        names = [count, f"{count}NotVisible", f"{count}Delayed"]
        url = self.urls[queue]
        answer = self.cloud.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)


@contextmanager
def polling(cloud: Cloud) -> Iterator[Poller]:
    """Set the queues' attributes and dead-letter queues as in the template, and stop the clock."""
    resources, urls = template()["Resources"], {}
    for name in FUNCTIONS:
        wanted = resources[name]["Properties"]
        urls[name] = cloud.sqs.get_queue_url(QueueName=name)["QueueUrl"]
        urls[f"{name}-dead"] = url = cloud.sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
        answer = cloud.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        most = wanted["RedrivePolicy"]["maxReceiveCount"]
        arn = answer["Attributes"]["QueueArn"]
        cloud.sqs.set_queue_attributes(
            QueueUrl=urls[name],
            Attributes={
                "VisibilityTimeout": str(wanted["VisibilityTimeout"]),
                "RedrivePolicy": f'{{"deadLetterTargetArn": "{arn}", "maxReceiveCount": {most}}}',
            },
        )
    with pytest.MonkeyPatch.context() as patch, freeze_time(datetime.now(UTC)) as clock:
        patch.setattr(redelivery, "random", random.Random(1))  # waits that are spread alike
        yield Poller(cloud, clock, urls)
