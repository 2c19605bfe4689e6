"""Launches one EMR cluster per dropped data set.

Triggered by SQS with S3's Object Created events from EventBridge, a settle delay after the file
arrived. Events arrive at least once, in any order, one per file: the handler looks at the whole
folder and skips data sets that have a run. If a launcher fails or dies, its message is redelivered
after its lease has ended; the next launcher looks for the run's cluster before it requests one.
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
import waiting
from clients import BOUNDED, ONCE, SLOW
from datasets import (
    Folder,
    dataset_files,
    fingerprints_of,
    folder_of,
    list_folder,
    with_checksums,
)
from launcher import job_settings, launch
from launcher.cluster_request import ClusterSettings
from launcher.clusters import THROTTLE_DELAYS, ThrottledError
from launcher.job_package import JOB_FOLDER
from postponed import PostponedError, TooEarlyError
from redelivery import RedeliveryProcessor, attempts, delay_seconds
from runs import claims
from runs.states import BEFORE_LAUNCH

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
    environment=(JOB_FOLDER / "environment.sha256").read_text().strip(),
    job=job_settings.parse(os.environ["JOB_SETTINGS"]),
)
launcher = launch.Launcher(s3, emr, emr_once, runs_table, settings)


# A launch: the fingerprints of its data set, and the function that carries it out.
type Launch = tuple[tuple[str, ...], Callable[[], launch.Outcome]]


class NotSettledError(Exception):
    """The folder's newest file is too young.

    Attributes:
        seconds: until it may be settled.
    """

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class LeasedError(TooEarlyError):
    """The run has no cluster yet; another launcher may be working on it."""


class LaunchError(PostponedError):
    """A launch failed while the run was leased; see the cause."""


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Handle messages; returns those to redeliver."""
    return process_partial_response(event, record_handler, processor, context)


def record_handler(record: SQSRecord) -> None:
    """Handle one message: launch a dropped folder, rerun a run, or launch a run's cluster."""
    event = record.json_body
    try:
        handle(record, event)
    except NotSettledError as error:
        logger.info("folder not settled", reason=str(error))
        processor.send_later(event, error.seconds)
    except ThrottledError as error:
        resume_later(error, int(event.get("throttled", 0)))


def handle(record: SQSRecord, event: dict[str, Any]) -> None:
    """Do what a message asks for.

    Raises:
        NotSettledError: the folder has changed too recently.
        ThrottledError: EMR throttles the launch.
    """
    run_id = event.get("rerun") or event.get("second_cluster") or event.get("resume")
    found = launch_of_run(record, event, run_id) if run_id else launch_of_folder(event)
    if found is None:
        return
    fingerprints, start = found
    try:
        outcome = start()
    except ThrottledError:
        raise
    except Exception as error:
        if (left := lease_left(*fingerprints)) is None:
            raise
        wait = max(left, delay_seconds(attempts(record)))
        raise LaunchError(f"{type(error).__name__}: {error}", wait) from error
    logger.info("launch handled", run_id=outcome.run_id, action=outcome.action)
    came_back = attempts(record) > 1
    if (
        came_back
        and outcome.action == "skipped"
        and (left := lease_left(*fingerprints)) is not None
    ):
        # A launcher that failed on this very message may hold the lease. If the message were
        # deleted now, nobody would resume the run.
        early = delay_seconds(attempts(record) - 1)
        raise LeasedError(f"run {outcome.run_id} has no cluster yet", min(left, early))


def launch_of_run(record: SQSRecord, event: dict[str, Any], run_id: str) -> Launch | None:
    """Return how to continue or repeat a run; None if there is no such run."""
    run = runs.get(runs_table, run_id)
    if run is None:
        logger.warning("unknown run", run_id=run_id)
        return None
    start = partial(launcher.launch_second_cluster, run_id)
    if "rerun" in event:
        requested_at = datetime.fromtimestamp(int(record.attributes.sent_timestamp) / 1000, UTC)
        start = partial(launcher.rerun, run_id, requested_at)
    elif "resume" in event:
        start = partial(launcher.resume, run_id)
    return (run["fingerprint"],), start


def launch_of_folder(event: dict[str, Any]) -> Launch | None:
    """Return how to launch the folder of a dropped file; None if there is nothing to launch.

    Raises:
        NotSettledError: the folder has changed too recently.
    """
    created = S3EventBridgeNotificationEvent(event)
    key = created.detail.object["key"]  # `.key` would decode what is not encoded
    if waiting.folder_like(key) is None:
        return None
    dropped_at = runs.parse_time(created.time)
    folder = folder_to_launch(created.detail.bucket.name, key, dropped_at)
    if folder is None:
        return None
    start = partial(launcher.launch, folder, dropped_at)
    return fingerprints_of(dataset_files(folder)), start


def resume_later(error: ThrottledError, failures: int) -> None:
    """Send the message that resumes a throttled run, and then make the run wait for it."""
    seconds = delay_seconds(failures, THROTTLE_DELAYS)
    processor.send_later({"resume": error.run_id, "throttled": failures + 1}, seconds)
    now = datetime.now(UTC)
    until = now + timedelta(seconds=seconds)
    waits_for = f"{error}; next try at {until:%H:%M:%S} UTC"
    claims.postpone_launch(runs_table, error.run_id, now, until, waits_for)
    logger.info("launch throttled", run_id=error.run_id, failures=failures + 1)


def folder_to_launch(bucket: str, key: str, dropped_at: datetime) -> Folder | None:
    """Return the folder of a dropped file, or None if there is nothing to launch.

    What a folder waits for is recorded for people.

    Args:
        bucket: the datasets bucket.
        key: a data file's, or one that looks like it.
        dropped_at: when the file was complete; S3 dates multipart uploads by their start.

    Raises:
        NotSettledError: the folder has changed too recently.
    """
    now, prefix = datetime.now(UTC), waiting.folder_like(key) or ""
    folder = list_folder(s3, bucket, prefix, now)
    logger.append_keys(folder=folder.name)
    if drop := waiting.find(s3, folder, settle, now):
        waiting.record(runs_table, drop, now)
        logger.info("folder waits", waits_for=drop.waits_for)
    else:
        waiting.forget(runs_table, prefix)
    if not folder.is_complete or folder_of(key) is None:
        return None  # a missing or complete data file brings its own event
    if (age := min(folder.age(now), now - dropped_at)) < settle:
        if now - folder.age(now) > dropped_at:
            return None  # the newer file brings its own event
        raise NotSettledError(f"{folder.name} changed {age} ago", (settle - age).total_seconds())
    return with_checksums(s3, folder)


def lease_left(*fingerprints: str) -> float | None:
    """Return the seconds until the lease of a data set's run ends.

    Args:
        fingerprints: each identifies the data set.

    Returns:
        None if the run is not waiting for a cluster, or another message will resume it.
    """
    run = claims.for_dataset(runs_table, *fingerprints)
    if run is None or run["state"] not in BEFORE_LAUNCH or "waits_for" in run:
        return None
    return (runs.parse_time(run["lease_until"]) - datetime.now(UTC)).total_seconds()
