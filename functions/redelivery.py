"""When a message that a function could not finish comes back to it.

SQS hides a received message for the queue's visibility timeout: twelve minutes, six times as long
as the function may run, as AWS asks. A fault that passes need not cost that much. So the function
itself sets when its message comes back: within seconds at first, later each time. The queue's
timeout holds only where the function cannot: it did not start, was killed, or cannot reach SQS.
"""

import math
import random
from typing import TYPE_CHECKING

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType
from aws_lambda_powertools.utilities.batch.base import FailureResponse
from aws_lambda_powertools.utilities.batch.exceptions import ExceptionInfo
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# Seconds at the most, after no failure of a message, one, two, and so on. Most faults pass at once;
# others last for a while. After five deliveries SQS sets the message aside (maxReceiveCount).
DELAYS = (0, 5, 60, 720, 1440, 0)


class PostponedError(Exception):
    """A message failed, and it is known when to try it again.

    Attributes:
        seconds: from now until then.
    """

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = max(seconds, 0)


class TooEarlyError(PostponedError):
    """A message came too early, which is not a failure; it has to come back."""


class RedeliveryProcessor(BatchProcessor):
    """Powertools' processor of SQS messages, which also sets when those that failed come back.

    A batch here is one message. Were a batch that failed as a whole an error of the function, as
    Powertools has it by default, every failure would be one, and Lambda would slow its polling.
    """

    def __init__(self, sqs: "SQSClient", queue_url: str, log: Logger) -> None:
        """Make one for a function.

        Args:
            sqs: client, with the right to change the visibility of the queue's messages.
            queue_url: of the queue that the messages come from.
            log: gets each failure, since Lambda does not see it.
        """
        super().__init__(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
        self._sqs = sqs
        self._queue_url = queue_url
        self._log = log

    def failure_handler(self, record: SQSRecord, exception: ExceptionInfo) -> FailureResponse:
        """Log why a message failed, and set when it comes back."""
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
        except (BotoCoreError, ClientError) as problem:  # then the queue's own timeout holds
            self._log.warning("message keeps its visibility timeout", reason=str(problem))
        return super().failure_handler(record, exception)


def attempts(record: SQSRecord) -> int:
    """How often a message has been delivered."""
    return int(record.attributes.approximate_receive_count)


def delay_seconds(failures: int) -> float:
    """How long a message waits after so many failures.

    With jitter, so that messages that failed together do not come back together.
    """
    longest = DELAYS[min(failures, len(DELAYS) - 1)]
    return random.uniform(0.75 * longest, longest)  # noqa: S311
