"""Loads a finished run into the index and then makes it live.

Triggered by SQS: first by the EventBridge event of a run's manifest.json, which is checked and
split into one message per part on the same queue; then by those messages. Messages arrive at least
once and in any order: writing a part is idempotent, parts are counted by name, and the call
that records the last one moves the live pointer.
"""

import json
import os
from datetime import UTC, datetime
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes import S3EventBridgeNotificationEvent
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from clients import BOUNDED
from indexer.indexing import Indexer, PartTask
from quality_gate import Limits
from redelivery import RedeliveryProcessor
from s3_keys import run_id_of_manifest

logger = Logger()
sqs = boto3.client("sqs", config=BOUNDED)
queue_url = os.environ["INDEX_QUEUE_URL"]
processor = RedeliveryProcessor(sqs, queue_url, logger)
dynamodb = boto3.resource("dynamodb", config=BOUNDED)
indexer = Indexer(
    s3=boto3.client("s3", config=BOUNDED),
    sqs=sqs,
    runs_table=dynamodb.Table(os.environ["RUNS_TABLE"]),
    index_table=dynamodb.Table(os.environ["INDEX_TABLE"]),
    bucket=os.environ["RESULTS_BUCKET"],
    queue_url=queue_url,
    limits=Limits(**json.loads(os.environ["GATE_LIMITS"])),
)


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Handle messages; returns those to redeliver."""
    return process_partial_response(event, record_handler, processor, context)


def record_handler(record: SQSRecord) -> None:
    """Start indexing a run, or process one part."""
    message = record.json_body
    now = datetime.now(UTC)
    if "detail" in message:
        key = S3EventBridgeNotificationEvent(message).detail.object.key
        run_id = run_id_of_manifest(key)
        if run_id is None:
            logger.warning("not a run's manifest", key=key)
            return
        logger.append_keys(run_id=run_id)
        logger.info("manifest handled", outcome=indexer.start(run_id, now))
    else:
        task = PartTask(**message)
        logger.append_keys(run_id=task.run_id, part=task.part["name"])
        logger.info("part handled", outcome=indexer.process_part(task, now))
