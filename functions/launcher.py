"""Launches one EMR cluster for each data set that is dropped.

Triggered by SQS with the EventBridge events of S3's Object Created, a settle delay after the file
arrived. Events come at least once, in any order, one per file: the folder is looked at as a whole,
and a data set that has its run is left alone. A launcher that died is followed by its redelivery,
which looks for the run's cluster before it asks for one.
"""

import json
import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

import launch
import runs
from cluster import ClusterSettings
from datasets import folder_of, list_folder

logger = Logger()
processor = BatchProcessor(event_type=EventType.SQS)
s3 = boto3.client("s3")
sqs = boto3.client("sqs")
# RunJobFlow has no idempotency token: asking again on a lost answer could buy a second cluster.
emr = boto3.client("emr", config=Config(retries={"total_max_attempts": 1}))
runs_table = boto3.resource("dynamodb").Table(os.environ["RUNS_TABLE"])
queue_url = os.environ["LAUNCH_QUEUE_URL"]
settle = timedelta(seconds=int(os.environ["SETTLE_SECONDS"]))
settings = ClusterSettings(
    stack=os.environ["STACK_NAME"],
    region=emr.meta.region_name,
    release_label=os.environ["RELEASE_LABEL"],
    instance_type=os.environ["INSTANCE_TYPE"],
    core_nodes=int(os.environ["CORE_NODES"]),
    service_role=os.environ["EMR_SERVICE_ROLE"],
    instance_profile=os.environ["EMR_INSTANCE_PROFILE"],
    core_market="SPOT" if os.environ["CORE_MARKET"] == "SPOT" else "ON_DEMAND",
    subnet=os.environ["SUBNET_ID"],
    primary_group=os.environ["PRIMARY_GROUP"],
    core_group=os.environ["CORE_GROUP"],
    access_group=os.environ["ACCESS_GROUP"],
    disk_key=os.environ["DISK_KEY_ARN"],
    idle_minutes=int(os.environ["IDLE_MINUTES"]),
    interactive=os.environ["INTERACTIVE"] == "true",
    cost_tag=os.environ["COST_TAG"],
    max_run_cost=Decimal(os.environ["MAX_RUN_COST"]) or None,
    results_bucket=os.environ["RESULTS_BUCKET"],
    environment=(launch.JOB_FOLDER / "environment.sha256").read_text().strip(),
    min_co_raters=int(os.environ["MIN_CO_RATERS"]),
    min_score=float(os.environ["MIN_SCORE"]),
    neighbours=int(os.environ["NEIGHBOURS"]),
    max_ratings_per_user=int(os.environ["MAX_RATINGS_PER_USER"]) or None,
    similar_users=int(os.environ["SIMILAR_USERS"]),
    default_measure=os.environ["DEFAULT_MEASURE"],
)
launcher = launch.Launcher(s3, emr, runs_table, settings)


class NotSettledError(Exception):
    """A folder whose newest file is too young; its message comes back."""


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """See the module; returns the messages that are to come back."""
    return process_partial_response(event, record_handler, processor, context)


def record_handler(record: SQSRecord) -> None:
    """Look at the folder that one file was dropped into, and launch what it asks for."""
    event = json.loads(record.body)
    if "rerun" in event:
        asked_at = datetime.fromtimestamp(int(record.attributes.sent_timestamp) / 1000, UTC)
        outcome = launcher.rerun(event["rerun"], asked_at)
        logger.info("rerun handled", run_id=outcome.run_id, action=outcome.action)
        return
    bucket, key = event["detail"]["bucket"]["name"], event["detail"]["object"]["key"]
    prefix = folder_of(key)
    if prefix is None:
        return
    now = datetime.now(UTC)
    folder = list_folder(s3, bucket, prefix, now)
    logger.append_keys(folder=folder.name)
    if not folder.is_complete:
        # The file that is missing brings an event of its own.
        logger.info("folder incomplete", there=folder.names, uploading=folder.uploading)
        return
    if (age := folder.age(now)) < settle:
        wait = int((settle - age).total_seconds()) + 1
        sqs.change_message_visibility(
            QueueUrl=queue_url, ReceiptHandle=record.receipt_handle, VisibilityTimeout=wait
        )
        raise NotSettledError(f"{folder.name} changed {age} ago; looking again in {wait} s")
    outcome = launcher.launch(folder, dropped_at=runs.parse_time(event["time"]))
    logger.info("folder handled", run_id=outcome.run_id, action=outcome.action)
