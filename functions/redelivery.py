"""Set when SQS redelivers a message that a function could not process.

SQS hides a received message for the visibility timeout of its queue: twelve minutes, which is six
times the function's timeout, as AWS recommends. Transient faults should not cost that much. So the
function itself sets the delay of its message: seconds at first, longer each time. The queue's
timeout applies only if the function did not start, was killed, or cannot reach SQS.

Waiting is not failing. A message that waits for something that may take hours is replaced by a new
one with a delay (`send_later`), because each redelivery counts towards the dead-letter queue.
"""

import json
import math
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType
from aws_lambda_powertools.utilities.batch.base import FailureResponse
from aws_lambda_powertools.utilities.batch.exceptions import ExceptionInfo
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from botocore.exceptions import BotoCoreError, ClientError

from postponed import PostponedError, TooEarlyError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# Maximum delay in seconds after 0, 1, 2... failures of a message. Most faults pass at once; others
# last for a while. After five deliveries SQS moves the message to the dead-letter queue.
DELAYS = (0, 5, 60, 720, 1440, 0)
MAX_DELAY = 900  # seconds, SQS's limit for a new message


class RedeliveryProcessor(BatchProcessor):
    """Powertools' SQS processor, which also sets when failed messages are redelivered.

    A batch is one message. By default Powertools raises an error if a whole batch fails; then every
    failed message would be a function error, and Lambda would slow down its polling.
    """

    def __init__(self, sqs: "SQSClient", queue_url: str, log: Logger) -> None:
        """Create a processor.

        Args:
            sqs: client that may change the visibility of the queue's messages.
            queue_url: URL of the queue of the messages.
            log: receives each failure, because Lambda does not see it.
        """
        super().__init__(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
        self._sqs = sqs
        self._queue_url = queue_url
        self._log = log

    def failure_handler(self, record: SQSRecord, exception: ExceptionInfo) -> FailureResponse:
        """Log why a message failed, and set when SQS redelivers it."""
        _, error, _ = exception
        wait = delay_seconds(attempts(record))
        seconds = math.ceil(error.seconds if isinstance(error, PostponedError) else wait)
        fields = {
            "message_id": record.message_id,
            "attempts": attempts(record),
            "again_in": seconds,
            "reason": f"{type(error).__name__}: {error}",
        }
        if isinstance(error, TooEarlyError):
            self._log.info("message too early", extra=fields)
        else:
            self._log.error("message failed", extra=fields, exc_info=error)
        try:
            self._sqs.change_message_visibility(
                QueueUrl=self._queue_url,
                ReceiptHandle=record.receipt_handle,
                VisibilityTimeout=seconds,
            )
        except (BotoCoreError, ClientError) as problem:  # then the timeout of the queue applies
            self._log.warning("message keeps its visibility timeout", reason=str(problem))
        return super().failure_handler(record, exception)

    def send_later(self, body: Mapping[str, Any], seconds: float) -> None:
        """Send a message with a delay, in place of one that is then processed.

        If the function dies in between, both are delivered; the functions ignore duplicates.
        """
        wait = min(max(math.ceil(seconds), 1), MAX_DELAY)
        self._sqs.send_message(
            QueueUrl=self._queue_url, MessageBody=json.dumps(body), DelaySeconds=wait
        )
        self._log.info("message waits", again_in=wait)


def attempts(record: SQSRecord) -> int:
    """Return how often a message has been delivered."""
    return int(record.attributes.approximate_receive_count)


def delay_seconds(failures: int, delays: Sequence[int] = DELAYS) -> float:
    """Return the delay of a message after a number of failures.

    Jitter spreads messages that failed together.

    Args:
        failures: the number.
        delays: maximum delay in seconds after 0, 1, 2... failures; the last one also after more.
    """
    longest = delays[min(failures, len(delays) - 1)]
    return random.uniform(0.75 * longest, longest)  # noqa: S311
