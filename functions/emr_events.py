"""EMR's state-change events, as changes of a run."""

import json
from dataclasses import dataclass
from typing import Literal

from aws_lambda_powertools.utilities.data_classes import EventBridgeEvent

from s3_keys import run_id_of_name

# The stateChangeReason of a cluster that completed its steps.
COMPLETED = "ALL_STEPS_COMPLETED"
# Reasons of failed starts that are usually transient: problems of EC2 or EMR. Exceeded quotas and
# faulty requests are VALIDATION_ERROR.
TRANSIENT = frozenset({"BOOTSTRAP_FAILURE", "INTERNAL_ERROR", "INSTANCE_FAILURE"})


@dataclass(frozen=True)
class ClusterEvent:
    """An event about the cluster or step of a run.

    Attributes:
        run_id: the run.
        cluster_id: the cluster.
        status: `running`, `failed`, or None if the event does not affect the run's state.
        reason: EMR's reason of a failure.
        code: the code of the reason, if the event is about a cluster.
        ended_at: when the cluster ended (ISO 8601), if the event says so.
        failed_step: id of the step that failed, if the event says so.
    """

    run_id: str
    cluster_id: str
    status: Literal["running", "failed"] | None
    reason: str = ""
    code: str = ""
    ended_at: str | None = None
    failed_step: str | None = None


def parse(event: EventBridgeEvent, stack: str) -> ClusterEvent | None:
    """Parse an EMR Step Status Change or EMR Cluster State Change.

    Args:
        event: the event from EventBridge.
        stack: prefix of the names of this stack's clusters.

    Returns:
        The parsed event, or None if the cluster does not belong to this stack.
    """
    detail = event.detail
    run_id = run_id_of_name(detail["name"], stack)
    if run_id is None:
        return None
    cluster_id, state = detail["clusterId"], detail["state"]
    if event.detail_type == "EMR Step Status Change":
        # CANCELLED has no reason; the cluster ends after it and has one.
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
    """Parse the reason, which EMR writes as JSON inside a string."""
    try:
        reason = json.loads(text or "{}")
    except ValueError:
        return {"message": str(text)}
    return reason if isinstance(reason, dict) else {"message": str(text)}
