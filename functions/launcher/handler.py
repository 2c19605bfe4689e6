"""Launches one EMR cluster for each data set that is dropped.

Triggered by SQS with the EventBridge events of S3's Object Created, a settle delay after the file
arrived. Events come at least once, in any order, one per file: the folder is looked at as a whole,
and a data set that has its run is left alone. A launcher that failed or died is followed by its
redelivery, which waits until its lease has ended and looks for the run's cluster before it asks
for one.
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes import S3EventBridgeNotificationEvent
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

import runs
from clients import BOUNDED, ONCE, SLOW
from datasets import Folder, dataset_files, fingerprint_of, folder_of, list_folder
from launcher import job_settings, launch
from launcher.cluster_request import ClusterSettings
from redelivery import PostponedError, RedeliveryProcessor, TooEarlyError, attempts, delay_seconds

logger = Logger()
s3 = boto3.client("s3", config=SLOW)
sqs = boto3.client("sqs", config=BOUNDED)
emr = boto3.client("emr", config=SLOW)
emr_once = boto3.client("emr", config=ONCE)
runs_table = boto3.resource("dynamodb", config=BOUNDED).Table(os.environ["RUNS_TABLE"])
processor = RedeliveryProcessor(sqs, os.environ["LAUNCH_QUEUE_URL"], logger)
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
    job=job_settings.parse(os.environ["JOB_SETTINGS"]),
)
launcher = launch.Launcher(s3, emr, emr_once, runs_table, settings)


class NotSettledError(TooEarlyError):
    """The folder's newest file is too young."""


class LeasedError(TooEarlyError):
    """The run has no cluster yet; a launcher may be working on it."""


class LaunchError(PostponedError):
    """A launch failed while the run was leased; the cause says why."""


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """See the module; returns the messages that are to come back."""
    return process_partial_response(event, record_handler, processor, context)


def record_handler(record: SQSRecord) -> None:
    """Do what one message asks for: launch what was dropped, rerun a run, start one again."""
    event = record.json_body
    early = delay_seconds(attempts(record) - 1)  # this delivery has not failed if it is too early
    start: Callable[[], launch.Outcome]
    if run_id := event.get("rerun") or event.get("second_cluster"):
        run = runs.get(runs_table, run_id)
        if run is None:
            logger.warning("no such run", run_id=run_id)
            return
        fingerprint = run["fingerprint"]
        if "rerun" in event:
            requested_at = datetime.fromtimestamp(int(record.attributes.sent_timestamp) / 1000, UTC)
            start = partial(launcher.rerun, run_id, requested_at)
        else:
            start = partial(launcher.launch_second_cluster, run_id)
    else:
        created = S3EventBridgeNotificationEvent(event)
        prefix = folder_of(created.detail.object["key"])  # `.key` would decode what is not encoded
        if prefix is None:
            return
        dropped_at = runs.parse_time(created.time)
        folder = folder_to_launch(created.detail.bucket.name, prefix, dropped_at, early)
        if folder is None:
            return
        fingerprint = fingerprint_of(dataset_files(folder))
        start = partial(launcher.launch, folder, dropped_at)
    try:
        outcome = start()
    except Exception as error:
        if (left := lease_left(fingerprint)) is None:
            raise
        wait = max(left, delay_seconds(attempts(record)))
        raise LaunchError(f"{type(error).__name__}: {error}", wait) from error
    logger.info("launch handled", run_id=outcome.run_id, action=outcome.action)
    came_back = attempts(record) > 1
    if came_back and outcome.action == "skipped" and (left := lease_left(fingerprint)) is not None:
        # The lease may belong to a launcher that failed on this very message. If the message were
        # deleted now, nobody would resume the run.
        raise LeasedError(f"run {outcome.run_id} has no cluster yet", min(left, early))


def folder_to_launch(bucket: str, prefix: str, dropped_at: datetime, early: float) -> Folder | None:
    """The folder that a file was dropped into; None where there is nothing to launch.

    Args:
        bucket: the datasets bucket.
        prefix: the folder's.
        dropped_at: when the file was there. S3 dates what came in parts by when its upload began.
        early: least seconds to wait where the folder has changed too recently.

    Raises:
        NotSettledError: the folder changed too recently.
    """
    now = datetime.now(UTC)
    folder = list_folder(s3, bucket, prefix, now)
    logger.append_keys(folder=folder.name)
    if not folder.is_complete:
        # The file that is missing brings an event of its own.
        logger.info("folder incomplete", there=folder.names, uploading=folder.uploading)
        return None
    if (age := min(folder.age(now), now - dropped_at)) < settle:
        wait = max((settle - age).total_seconds(), early)
        raise NotSettledError(f"{folder.name} changed {age} ago", wait)
    return folder


def lease_left(fingerprint: str) -> float | None:
    """Seconds until the lease on a data set's run ends.

    Args:
        fingerprint: the data set's fingerprint.

    Returns:
        None where no run of it is waiting for a cluster.
    """
    run = runs.for_dataset(runs_table, fingerprint)
    if run is None or run["state"] not in runs.BEFORE_LAUNCH:
        return None
    return (runs.parse_time(run["lease_until"]) - datetime.now(UTC)).total_seconds()
