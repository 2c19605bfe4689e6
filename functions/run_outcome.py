"""What is left of a run when its cluster has ended: its result, why it failed, its cost.

A cluster that fails to start for a reason that passes is followed by a second one, never a third.
"""

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

import runs
from cost import Cost, cost
from emr_events import TRANSIENT, ClusterEvent
from run_item import FailedStart
from runs import Run, State
from s3_keys import failure_key, manifest_key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table
    from mypy_boto3_emr import EMRClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

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


def request_second_cluster(
    runs_table: "Table",
    emr: "EMRClient",
    sqs: "SQSClient",
    launch_queue_url: str,
    ended: ClusterEvent,
) -> bool:
    """Launch the second cluster of a run, if the first one failed to start and that may pass.

    Args:
        runs_table: the runs table.
        emr: client. Its events come in any order and do not tell whether the step had begun.
        sqs: client.
        launch_queue_url: where the launcher is asked.
        ended: that the cluster has ended, when and why.

    Returns:
        Whether the run waits for its second cluster.
    """
    run = runs.get(runs_table, ended.run_id)
    if ended.code not in TRANSIENT or ended.ended_at is None or run is None:
        return False
    first = run["failed_start"]["cluster_id"] if "failed_start" in run else None
    if run["state"] not in {State.LAUNCHING, State.STARTING}:
        return False
    if first not in {None, ended.cluster_id}:
        return False
    if first is None:
        found = emr.describe_cluster(ClusterId=ended.cluster_id)["Cluster"]
        if "ReadyDateTime" in found["Status"]["Timeline"]:
            return False
        spent = _spent(run, runs.parse_time(ended.ended_at))
        failed: FailedStart = {
            "cluster_id": ended.cluster_id,
            "reason": ended.reason,
            "cost": spent.to_item() if spent else None,
        }
        if not runs.await_second_cluster(runs_table, ended.run_id, failed, datetime.now(UTC)):
            return False
    elif run["state"] != State.LAUNCHING:
        return False  # it has its second cluster, and this is late news of the first
    # Asked again where somebody who moved the run died before this; the launcher is made for that.
    message = json.dumps({"second_cluster": ended.run_id})
    sqs.send_message(QueueUrl=launch_queue_url, MessageBody=message)
    return True


def note_cost(runs_table: "Table", run_id: str, cluster_id: str, ended_at: datetime) -> None:
    """Note what a run's clusters have cost, when one of them has ended.

    Args:
        runs_table: the runs table.
        run_id: the run.
        cluster_id: the cluster that has ended.
        ended_at: when.
    """
    run = runs.get(runs_table, run_id)
    first = run.get("failed_start") if run else None
    if run is None or (first and first["cluster_id"] == cluster_id):
        return  # what the first one cost is kept with it
    spent = _spent(run, ended_at)
    if spent and first and first["cost"]:
        spent += Cost.from_item(first["cost"])
    if spent:
        runs.set_attributes(runs_table, run_id, actual_cost=spent.to_item())


def _spent(run: Run, ended_at: datetime) -> Cost | None:
    """What a cluster has cost, from the run's launch of it to its end."""
    if "instance_type" not in run or State.LAUNCHING not in run["timeline"]:
        return None
    seconds = (ended_at - runs.parse_time(run["timeline"][State.LAUNCHING])).total_seconds()
    return cost(run["instance_type"], int(run["nodes"]), seconds)
