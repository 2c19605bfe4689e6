"""What is left of a run when its cluster has ended: its result, why the job failed, its cost."""

import json
import re
from datetime import datetime
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

import runs
from cost import cost
from layout import failure_key, manifest_key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table
    from mypy_boto3_emr import EMRClient
    from mypy_boto3_s3 import S3Client

# All that spark-submit's exception says of an application that ran: YARN's reason is in its log.
APPLICATION_FAILED = re.compile(r"Application \w+ finished with (failed|killed) status")


def has_result(s3: "S3Client", bucket: str, run_id: str) -> bool:
    """Whether a run's manifest is written, with which its result is complete."""
    try:
        s3.head_object(Bucket=bucket, Key=manifest_key(run_id))
    except ClientError as error:
        if error.response["Error"]["Code"] != "404":
            raise
        return False
    return True


def job_failure(s3: "S3Client", bucket: str, run_id: str) -> str | None:
    """Why the job could not compute, in its own words, where it left any.

    Args:
        s3: client.
        bucket: the results bucket.
        run_id: the run.
    """
    try:
        answer = s3.get_object(Bucket=bucket, Key=failure_key(run_id))
    except s3.exceptions.NoSuchKey:
        return None
    return json.loads(answer["Body"].read())["message"]


def step_failure(emr: "EMRClient", cluster_id: str, step_id: str) -> str | None:
    """Why a step failed, as EMR found it in what spark-submit said, or None where it cannot tell.

    Args:
        emr: client.
        cluster_id: the step's cluster.
        step_id: the step.
    """
    try:
        answer = emr.describe_step(ClusterId=cluster_id, StepId=step_id)
    except (BotoCoreError, ClientError):
        return None  # the event alone says less, but that much it does say
    details = answer.get("Step", {}).get("Status", {}).get("FailureDetails", {})
    message, log = details.get("Message"), details.get("LogFile")
    if not message:
        return None
    if APPLICATION_FAILED.search(message):
        message = f"{message}: the driver was killed, or ended without a word"
    return f"the step FAILED: {message}" + (f"; spark-submit's log: {log}" if log else "")


def note_cost(runs_table: "Table", run_id: str, ended_at: datetime) -> None:
    """Note what a run's cluster has cost, from its launch to its end."""
    run = runs.get(runs_table, run_id)
    if run is None or "instance_type" not in run or "LAUNCHING" not in run["timeline"]:
        return
    seconds = (ended_at - runs.parse_time(run["timeline"]["LAUNCHING"])).total_seconds()
    actual = cost(run["instance_type"], int(run["nodes"]), seconds)
    runs.note(runs_table, run_id, actual_cost=actual.told())
