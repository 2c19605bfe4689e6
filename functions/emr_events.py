"""What EMR's state-change events say of a run."""

import json
from dataclasses import dataclass
from typing import Literal

from aws_lambda_powertools.utilities.data_classes import EventBridgeEvent

from s3_keys import run_id_of_name

# stateChangeReason of a cluster that did all that it was asked for.
COMPLETED = "ALL_STEPS_COMPLETED"
# Of clusters that fail to start: EC2's or EMR's own trouble, which most often passes. Quotas and
# faults of the request are VALIDATION_ERROR.
TRANSIENT = frozenset({"BOOTSTRAP_FAILURE", "INTERNAL_ERROR", "INSTANCE_FAILURE"})


@dataclass(frozen=True)
class ClusterEvent:
    """One event, read.

    Attributes:
        run_id: the run whose cluster or step it is.
        cluster_id: the cluster.
        status: `running`, `failed`, or None where the run's state does not depend on it.
        reason: why it failed, in EMR's words.
        code: of that reason, where it is a cluster's.
        ended_at: when the cluster ended, ISO 8601, where it is that what it says.
        failed_step: id of the step that failed by itself, where it is that what it says.
    """

    run_id: str
    cluster_id: str
    status: Literal["running", "failed"] | None
    reason: str = ""
    code: str = ""
    ended_at: str | None = None
    failed_step: str | None = None


def parse(event: EventBridgeEvent, stack: str) -> ClusterEvent | None:
    """Read an EMR Step Status Change or EMR Cluster State Change.

    Args:
        event: as EventBridge delivers it.
        stack: the prefix of our clusters' names.

    Returns:
        What it says, or None where it is about somebody else's cluster.
    """
    detail = event.detail
    run_id = run_id_of_name(detail["name"], stack)
    if run_id is None:
        return None
    cluster_id, state = detail["clusterId"], detail["state"]
    if event.detail_type == "EMR Step Status Change":
        # A step that is CANCELLED never knows why. It is so before its cluster ends, which does.
        if state == "FAILED":
            reason = f"the step FAILED: {detail['message']}"
            return ClusterEvent(run_id, cluster_id, "failed", reason, failed_step=detail["stepId"])
        return ClusterEvent(run_id, cluster_id, "running" if state == "RUNNING" else None)
    if state in {"TERMINATED", "TERMINATED_WITH_ERRORS"}:
        why = _reason(detail.get("stateChangeReason"))
        if state == "TERMINATED_WITH_ERRORS" or why.get("code") != COMPLETED:
            reason = f"the cluster {state}: {why.get('code')}: {why.get('message')}"
            code = str(why.get("code"))
            return ClusterEvent(run_id, cluster_id, "failed", reason, code, ended_at=event.time)
        return ClusterEvent(run_id, cluster_id, None, ended_at=event.time)
    return ClusterEvent(run_id, cluster_id, None)


def _reason(text: str | None) -> dict[str, str]:
    """EMR writes the reason as JSON inside a string."""
    try:
        reason = json.loads(text or "{}")
    except ValueError:
        return {"message": str(text)}
    return reason if isinstance(reason, dict) else {"message": str(text)}
