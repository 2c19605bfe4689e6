"""The clusters of runs at EMR: find the one that a run has, or request one."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from launcher.cluster_request import (
    ClusterSettings,
    cluster_name,
    security_configuration,
    security_configuration_name,
)
from runs import parse_time
from runs.item import Run

if TYPE_CHECKING:
    from mypy_boto3_emr import EMRClient

# Error codes with which EMR rejects the request itself: a retry cannot succeed.
REFUSAL_CODES = frozenset(
    {"ValidationException", "InvalidRequestException", "AccessDeniedException"}
)
THROTTLED = frozenset({"ThrottlingException", "Throttling"})
# Longest seconds until the next request after 0, 1, 2... throttled ones.
THROTTLE_DELAYS = (5, 10, 20, 40, 80, 160, 300)


class ClusterRefusedError(Exception):
    """EMR rejected the cluster request; the message is EMR's."""


class ThrottledError(Exception):
    """EMR throttles the launch of a run; no cluster was requested.

    Attributes:
        run_id: the run.
    """

    def __init__(self, run_id: str, operation: str) -> None:
        super().__init__(f"EMR throttles {operation}")
        self.run_id = run_id


def launch_cluster(
    emr: "EMRClient",
    emr_once: "EMRClient",
    settings: ClusterSettings,
    run: Run,
    request: dict[str, Any],
) -> str:
    """Return the id of a run's cluster: an existing one, or a new one.

    Args:
        emr: client.
        emr_once: client without retries, which requests the cluster.
        settings: settings of clusters and job.
        run: the run.
        request: its RunJobFlow request.

    Raises:
        ClusterRefusedError: EMR rejected the request.
        ThrottledError: EMR throttles the launch.
    """
    try:
        return _find_or_request(emr, emr_once, settings, run, request)
    except ClientError as error:
        if error.response["Error"]["Code"] in THROTTLED:
            raise ThrottledError(run["run_id"], error.operation_name) from error
        raise


def _find_or_request(
    emr: "EMRClient",
    emr_once: "EMRClient",
    settings: ClusterSettings,
    run: Run,
    request: dict[str, Any],
) -> str:
    name = cluster_name(settings.stack, run["run_id"])
    failed = run.get("failed_start", {}).get("cluster_id")
    found = find_cluster(emr, name, parse_time(run["created_at"]), excluding=failed)
    if found:
        return found
    _ensure_security_configuration(emr, settings)
    try:
        response = emr_once.run_job_flow(**request)
    except ClientError as error:
        refusal = error.response["Error"]
        if refusal["Code"] not in REFUSAL_CODES:
            raise
        raise ClusterRefusedError(
            f"EMR refused the cluster: {refusal['Code']}: {refusal['Message']}"
        ) from error
    return response["JobFlowId"]


def _ensure_security_configuration(emr: "EMRClient", settings: ClusterSettings) -> None:
    """Create the security configuration that the request names, unless it exists."""
    name = security_configuration_name(settings)
    try:
        emr.create_security_configuration(
            Name=name, SecurityConfiguration=security_configuration(settings)
        )
    except emr.exceptions.InvalidRequestException:
        emr.describe_security_configuration(Name=name)  # raises an error if it does not exist


def find_cluster(
    emr: "EMRClient", name: str, since: datetime, excluding: str | None = None
) -> str | None:
    """Return the id of the cluster with a name, in any state, or None.

    RunJobFlow has no idempotency token: after a lost response the next launcher looks here before
    it sends the request again.

    Args:
        emr: client.
        name: name of the cluster.
        since: only clusters created since then.
        excluding: id of a cluster with that name that failed to start.
    """
    pages = emr.get_paginator("list_clusters").paginate(CreatedAfter=since)
    found = (item["Id"] for page in pages for item in page["Clusters"] if item["Name"] == name)
    return next((id for id in found if id != excluding), None)
