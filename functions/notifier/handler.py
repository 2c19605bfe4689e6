"""Publishes notifications and metrics for runs that went live or failed.

Triggered by the stream of the runs table: every state change arrives here, whichever function made
it.
"""

import os
from typing import Any, cast

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from clients import BOUNDED
from notifications import NOTIFIED, run_message
from runs import Run
from runs.states import State

logger = Logger()
metrics = Metrics()
processor = BatchProcessor(event_type=EventType.DynamoDBStreams)
sns = boto3.client("sns", config=BOUNDED)
stack = os.environ["STACK_NAME"]
topic = os.environ["TOPIC_ARN"]


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Handle stream records; returns those to retry."""
    return process_partial_response(event, record_handler, processor, context)


def record_handler(record: DynamoDBRecord) -> None:
    """Publish one change if it is a change of a run's state."""
    change = record.dynamodb
    new = (change.new_image if change else None) or {}
    old = (change.old_image if change else None) or {}
    state = new.get("state")
    if new.get("pk") != "RUN" or state is None or state == old.get("state"):
        return
    metrics.add_metric(f"Runs{str(state).capitalize()}", MetricUnit.Count, 1)
    if state == State.LIVE and old.get("state") == State.INDEXING:
        counts = new.get("counts", {})
        metrics.add_metric("RowsRejected", MetricUnit.Count, int(counts.get("rejected", 0)))
        metrics.add_metric("TitlesIndexed", MetricUnit.Count, int(counts.get("movies", 0)))
    if state in NOTIFIED:
        subject, text = run_message(cast("Run", new), stack)
        sns.publish(TopicArn=topic, Subject=subject, Message=text)
        logger.info("notification sent", run_id=new["run_id"], state=state)
