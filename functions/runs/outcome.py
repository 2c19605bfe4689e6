"""The outcome of a run after its cluster has ended: result, reason of a failure, cost.

If a cluster fails to start for a transient reason, the run gets a second cluster, never a third.
"""

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

import runs
from cost import Cost, cost
from emr_events import TRANSIENT, ClusterEvent
from runs import Run, claims
from runs.item import FailedStart
from runs.states import State
from s3_keys import failure_key, manifest_key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table
    from mypy_boto3_emr import EMRClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

# spark-submit's exception says no more about a failed application: YARN's reason is in its log.
APPLICATION_FAILED = re.compile(r"Application \w+ finished with (failed|killed) status")


def has_result(s3: "S3Client", bucket: str, run_id: str) -> bool:
    """Check whether the manifest of a run exists, which means that the result is complete."""
    try:
        s3.head_object(Bucket=bucket, Key=manifest_key(run_id))
    except ClientError as error:
        if error.response["Error"]["Code"] != "404":
            raise
        return False
    return True


def job_failure(s3: "S3Client", bucket: str, run_id: str) -> str | None:
    """Return the job's own failure message, or None if it left none.

    Args:
        s3: client.
        bucket: the results bucket.
        run_id: the run.
    """
    try:
        response = s3.get_object(Bucket=bucket, Key=failure_key(run_id))
    except s3.exceptions.NoSuchKey:
        return None
    return json.loads(response["Body"].read())["message"]


def step_failure(emr: "EMRClient", cluster_id: str, step_id: str) -> str | None:
    """Return the reason that EMR found in spark-submit's output, or None if it found none.

    Args:
        emr: client.
        cluster_id: the step's cluster.
        step_id: the step.
    """
    try:
        response = emr.describe_step(ClusterId=cluster_id, StepId=step_id)
    except (BotoCoreError, ClientError):
        return None  # the event itself also has a reason, with less detail
    details = response.get("Step", {}).get("Status", {}).get("FailureDetails", {})
    message, log = details.get("Message"), details.get("LogFile")
    if not message:
        return None
    if APPLICATION_FAILED.search(message):
        message = f"{message}: the driver was killed, or ended without a message"
    return f"the step FAILED: {message}" + (f"; spark-submit's log: {log}" if log else "")


def request_second_cluster(
    runs_table: "Table",
    emr: "EMRClient",
    sqs: "SQSClient",
    launch_queue_url: str,
    ended: ClusterEvent,
) -> bool:
    """Request a second cluster for a run if the first one failed to start for a transient reason.

    Args:
        runs_table: the runs table.
        emr: client; EMR events come in any order and do not say whether the step had begun.
        sqs: client.
        launch_queue_url: URL of the launcher's queue.
        ended: the event that the cluster has ended.

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
        if not claims.await_second_cluster(runs_table, ended.run_id, failed, datetime.now(UTC)):
            return False
    elif run["state"] != State.LAUNCHING:
        return False  # it has its second cluster; this is a late event of the first
    # Send it even if the run already waits: its sender may have died in between. The
    # launcher ignores duplicates.
    message = json.dumps({"second_cluster": ended.run_id})
    sqs.send_message(QueueUrl=launch_queue_url, MessageBody=message)
    return True


def note_cost(runs_table: "Table", run_id: str, cluster_id: str, ended_at: datetime) -> None:
    """Record the cost of a run's clusters when one of them has ended.

    Args:
        runs_table: the runs table.
        run_id: the run.
        cluster_id: the cluster that has ended.
        ended_at: when it ended.
    """
    run = runs.get(runs_table, run_id)
    first = run.get("failed_start") if run else None
    if run is None or (first and first["cluster_id"] == cluster_id):
        return  # the cost of the first cluster is in `failed_start`
    spent = _spent(run, ended_at)
    if spent and first and first["cost"]:
        spent += Cost.from_item(first["cost"])
    if spent:
        runs.set_attributes(runs_table, run_id, actual_cost=spent.to_item())


def _spent(run: Run, ended_at: datetime) -> Cost | None:
    """Return the cost of the run's current cluster, from its launch to its end."""
    if "instance_type" not in run or State.LAUNCHING not in run["timeline"]:
        return None
    seconds = (ended_at - runs.parse_time(run["timeline"][State.LAUNCHING])).total_seconds()
    return cost(run["instance_type"], int(run["nodes"]), seconds)
