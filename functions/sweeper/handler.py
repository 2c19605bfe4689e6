"""Compares the runs table with EMR and the buckets, and terminates clusters that nobody needs.

Triggered by a schedule. Events may be lost and clusters cost money, so this finds what the events
missed.
"""

import json
import os
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import ClientError

import live_pointer
import notifications
import runs
import waiting
from clients import BOUNDED, SLOW
from emr_events import ClusterEvent
from runs import Run, outcome
from runs.states import FINAL, ON_CLUSTER, State
from s3_keys import manifest_key, run_id_of_name
from sweeper import lost_drops, waiting_drops
from sweeper.reconcile import ALIVE, Action, Cluster, Limits, reconcile

logger = Logger()
metrics = Metrics()
s3 = boto3.client("s3", config=BOUNDED)
sqs = boto3.client("sqs", config=BOUNDED)
sns = boto3.client("sns", config=BOUNDED)
emr = boto3.client("emr", config=SLOW)
dynamodb = boto3.resource("dynamodb", config=BOUNDED)
runs_table = dynamodb.Table(os.environ["RUNS_TABLE"])
index_table = dynamodb.Table(os.environ["INDEX_TABLE"])
stack = os.environ["STACK_NAME"]
bucket = os.environ["RESULTS_BUCKET"]
index_queue_url = os.environ["INDEX_QUEUE_URL"]
launch_queue_url = os.environ["LAUNCH_QUEUE_URL"]
topic = os.environ["TOPIC_ARN"]
datasets_bucket = os.environ["DATASETS_BUCKET"]
settle = timedelta(seconds=int(os.environ["SETTLE_SECONDS"]))
limits = Limits(
    starting=timedelta(minutes=int(os.environ["START_MINUTES"])),
    working=timedelta(minutes=int(os.environ["DEADLINE_MINUTES"])),
)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001
    """Run one sweep; see the module."""
    now = datetime.now(UTC)
    unsettled = runs.unsettled(runs_table)
    open_runs = [run for run in unsettled if run["state"] not in FINAL]
    pointer = live_pointer.read(index_table)
    alive = list(living_clusters())
    known = {run["run_id"] for run in unsettled}
    others = [runs.get(runs_table, each.run_id) for each in alive if each.run_id not in known]
    all_runs = [*unsettled, *(run for run in others if run)]
    clusters = [*alive, *ended_clusters(open_runs, {cluster.run_id for cluster in alive})]
    open_ids = [run["run_id"] for run in open_runs]
    with_result = {run_id for run_id in open_ids if outcome.has_result(s3, bucket, run_id)}
    retained = {pointer.run_id, pointer.previous or ""} if pointer else set[str]()
    for cluster in clusters:
        if cluster.ended_at is not None:
            outcome.note_cost(runs_table, cluster.run_id, cluster.cluster_id, cluster.ended_at)
    metrics.add_metric("StraysEnded", MetricUnit.Count, 0)
    actions = reconcile(all_runs, clusters, with_result, retained, now, limits)
    failures = carry_out_all(actions, clusters, now)
    look_at_drops(now)
    if failures:
        raise failures[0]  # the alarm on the function's errors reports it


def carry_out_all(
    actions: Iterable[Action], clusters: Iterable[Cluster], now: datetime
) -> list[ClientError]:
    """Carry out all actions that AWS allows; returns the errors of the others."""
    by_id = {cluster.cluster_id: cluster for cluster in clusters}
    failures = []
    for action in actions:
        logger.warning("sweeping", action=action.kind, run_id=action.run_id, reason=action.reason)
        try:
            if action.kind == "relaunch" and action.cluster_id:
                replace_failed_cluster(by_id[action.cluster_id], action.reason, now)
            else:
                carry_out(action, now)
        except ClientError as error:
            # A cluster may be protected from termination; the other actions must not wait for it.
            logger.exception("not swept", action=action.kind, run_id=action.run_id)
            failures.append(error)
    return failures


def look_at_drops(now: datetime) -> None:
    """Launch complete folders without a run; record what the others wait for, and tell people."""
    scanned = lost_drops.scan_next(s3, datasets_bucket, runs_table)
    for message in lost_drops.events(s3, scanned, runs_table, settle, now):
        logger.warning("lost drop", key=message["detail"]["object"]["key"])
        sqs.send_message(QueueUrl=launch_queue_url, MessageBody=json.dumps(message))
    waiting_drops.refresh(s3, datasets_bucket, runs_table, scanned.incomplete, settle, now)
    if overdue := waiting_drops.overdue(runs_table, now):
        subject, text = notifications.waiting_message(overdue, stack)
        sns.publish(TopicArn=topic, Subject=subject, Message=text)
        for item in overdue:
            waiting.note_notice(runs_table, waiting.prefix_of(item), now)
    lost_drops.keep_place(runs_table, scanned)


def replace_failed_cluster(cluster: Cluster, reason: str, now: datetime) -> None:
    """Request a second cluster for a run, or fail it with the job's reason."""
    run_id, cluster_id = cluster.run_id, cluster.cluster_id
    ended_at = runs.format_time(cluster.ended_at or now)
    ended = ClusterEvent(run_id, cluster_id, "failed", reason, cluster.code, ended_at)
    failure = outcome.job_failure(s3, bucket, run_id)
    if failure is None and outcome.request_second_cluster(
        runs_table, emr, sqs, launch_queue_url, ended
    ):
        return
    runs.fail(runs_table, run_id, failure or reason, now, cluster_id=cluster_id)


def carry_out(action: Action, now: datetime) -> None:
    """Carry out one action; idempotent."""
    match action.kind:
        case "terminate" if action.cluster_id:
            emr.terminate_job_flows(JobFlowIds=[action.cluster_id])
            metrics.add_metric("StraysEnded", MetricUnit.Count, 1)
            subject, text = notifications.sweep_message(action.reason, action.run_id, stack)
            sns.publish(TopicArn=topic, Subject=subject, Message=text)
        case "fail":
            reason = outcome.job_failure(s3, bucket, action.run_id) or action.reason
            runs.fail(runs_table, action.run_id, reason, now)
        case "mark_running":
            runs.advance(runs_table, action.run_id, State.RUNNING, now)
        case "index" | "clear":
            send_to_indexer(action.run_id)
            runs.count_index_attempt(runs_table, action.run_id, now)
        case "abandon":
            runs.fail(runs_table, action.run_id, action.reason, now)
            send_to_indexer(action.run_id)  # which removes the items that it has loaded


def send_to_indexer(run_id: str) -> None:
    """Send the indexer the event that S3 sends for a manifest."""
    message = {"detail": {"object": {"key": manifest_key(run_id)}}}
    sqs.send_message(QueueUrl=index_queue_url, MessageBody=json.dumps(message))


def living_clusters() -> Iterator[Cluster]:
    """Yield the living clusters of this stack."""
    pages = emr.get_paginator("list_clusters").paginate(ClusterStates=sorted(ALIVE))
    for page in pages:
        for item in page["Clusters"]:
            if run_id_of_name(item["Name"], stack) and (cluster := describe(item["Id"])):
                yield cluster


def ended_clusters(open_runs: Iterable[Run], alive: Collection[str]) -> Iterator[Cluster]:
    """Yield the clusters of runs that should have a living one, but are not among these."""
    for run in open_runs:
        is_known = run["state"] in ON_CLUSTER and "cluster_id" in run
        if (
            is_known
            and run["run_id"] not in alive
            and (cluster := describe(run["cluster_id"])) is not None
        ):
            yield cluster


def describe(cluster_id: str) -> Cluster | None:
    """Describe a cluster; None if its tags say that it belongs to another stack."""
    found = emr.describe_cluster(ClusterId=cluster_id)["Cluster"]
    run_id = run_id_of_name(found["Name"], stack)
    tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}
    if run_id is None or tags.get("similar-titles:stack") != stack:
        return None
    status = found["Status"]
    reason = status.get("StateChangeReason", {})
    ready_at = status["Timeline"].get("ReadyDateTime")
    ended_at = status["Timeline"].get("EndDateTime")
    return Cluster(
        cluster_id=cluster_id,
        run_id=run_id,
        state=status["State"],
        code=str(reason.get("Code")),
        message=str(reason.get("Message")),
        created_at=status["Timeline"]["CreationDateTime"].astimezone(UTC),
        ready_at=ready_at and ready_at.astimezone(UTC),
        ended_at=ended_at and ended_at.astimezone(UTC),
        interactive=found.get("AutoTerminate") is False,
    )
