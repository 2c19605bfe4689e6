"""Updates the state of runs from EMR's state-change events.

Triggered by EventBridge with EMR's step and cluster state changes. Their delivery is best effort,
so lost, duplicate and late events must do no harm: an event only moves a run forward. A complete
result is indexed even if its cluster fails afterwards.
"""

import os
from datetime import UTC, datetime
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.data_classes import EventBridgeEvent
from aws_lambda_powertools.utilities.typing import LambdaContext

import emr_events
import runs
from clients import BOUNDED
from emr_events import ClusterEvent
from runs import outcome
from runs.states import ON_CLUSTER, State

logger = Logger()
s3 = boto3.client("s3", config=BOUNDED)
emr = boto3.client("emr", config=BOUNDED)
sqs = boto3.client("sqs", config=BOUNDED)
runs_table = boto3.resource("dynamodb", config=BOUNDED).Table(os.environ["RUNS_TABLE"])
launch_queue_url = os.environ["LAUNCH_QUEUE_URL"]
stack = os.environ["STACK_NAME"]
bucket = os.environ["RESULTS_BUCKET"]


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001
    """Handle one event; see the module."""
    change = emr_events.parse(EventBridgeEvent(event), stack)
    if change is None:
        return
    now = datetime.now(UTC)
    moved = False
    if change.status == "running":
        moved = runs.advance(
            runs_table, change.run_id, State.RUNNING, now, cluster_id=change.cluster_id
        )
    elif change.status == "failed" and not outcome.has_result(s3, bucket, change.run_id):
        moved = follow_failure(change, now)
    if change.ended_at is not None:
        ended_at = runs.parse_time(change.ended_at)
        outcome.note_cost(runs_table, change.run_id, change.cluster_id, ended_at)
    logger.info(
        "cluster event",
        run_id=change.run_id,
        status=change.status,
        moved=moved,
        reason=change.reason,
    )


def follow_failure(change: ClusterEvent, now: datetime) -> bool:
    """Fail a run, or request its second cluster; returns whether the run moved."""
    run_id, cluster_id = change.run_id, change.cluster_id
    reason = outcome.job_failure(s3, bucket, run_id)
    if reason is None and change.failed_step:
        reason = outcome.step_failure(emr, cluster_id, change.failed_step)
    if reason is None and outcome.request_second_cluster(
        runs_table, emr, sqs, launch_queue_url, change
    ):
        return True
    why = reason or change.reason
    return runs.fail(runs_table, run_id, why, now, only_from=ON_CLUSTER, cluster_id=cluster_id)
