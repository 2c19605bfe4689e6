"""The monitor: EMR events move a run forward, and only forward."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

import runs
from monitor import handler as monitor
from runs import claims
from runs.states import State
from tests.builders.aws import CONTEXT, Cloud
from tools.sample_events import event

RUN_ID = "20261123T120500000Z-5f2a9c01"


@pytest.fixture(autouse=True)
def run(cloud: Cloud) -> None:
    """The run of the sample events; its cluster is starting."""
    now = datetime(2026, 11, 23, 12, 5, tzinfo=UTC)
    made = claims.claim(cloud.runs, "5f2a9c01" + "0" * 56, "ml", None, now, timedelta(0))
    assert made is not None
    assert made["run_id"] == RUN_ID
    runs.advance(cloud.runs, RUN_ID, State.LAUNCHING, now)
    runs.advance(cloud.runs, RUN_ID, State.STARTING, now, cluster_id="j-1ABCDEFGHIJKL")


@pytest.fixture(autouse=True)
def emr(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """EMR as the monitor uses it; tests add its steps."""
    client = boto3.client("emr")
    with Stubber(client) as answers:
        monkeypatch.setattr(monitor, "emr", client)
        yield answers
        answers.assert_no_pending_responses()


def after(cloud: Cloud, *names: str) -> dict[str, Any]:
    """Return the run after some of the sample events."""
    for name in names:
        monitor.lambda_handler(event(name), CONTEXT)
    return cloud.runs.get_item(Key=runs.run_key(RUN_ID))["Item"]


def test_a_running_step_makes_the_run_running(cloud: Cloud) -> None:
    assert after(cloud, "monitor-step-running")["state"] == "RUNNING"


def test_a_failed_step_fails_the_run_with_emrs_message(cloud: Cloud) -> None:
    run = after(cloud, "monitor-step-running", "monitor-step-failed")
    assert run["state"] == "FAILED"
    assert run["reason"].startswith("the step FAILED: Step s-ZYXWVUTSRQPON")


def test_a_failed_step_fails_the_run_with_the_jobs_message_if_there_is_one(
    cloud: Cloud,
) -> None:
    failure = {"error": "DatasetError", "message": "ratings.dat has no good line", "report": []}
    cloud.put(f"runs/{RUN_ID}/failure.json", json.dumps(failure), "results")
    assert after(cloud, "monitor-step-failed")["reason"] == "ratings.dat has no good line"


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        (
            {"Message": "java.io.FileNotFoundException: s3://r/x.tar.gz", "LogFile": "s3://r/log"},
            "the step FAILED: java.io.FileNotFoundException: s3://r/x.tar.gz; spark-submit's log: "
            "s3://r/log",
        ),
        (
            {"Message": "SparkException: Application application_1 finished with failed status"},
            "the step FAILED: SparkException: Application application_1 finished with failed "
            "status: the driver was killed, or ended without a message",
        ),
        ({}, None),
    ],
)
def test_a_failed_step_fails_the_run_with_the_reason_that_emr_found_in_its_log(
    cloud: Cloud, emr: Stubber, details: dict[str, str], reason: str | None
) -> None:
    detail = event("monitor-step-failed")["detail"]
    emr.add_response(
        "describe_step",
        {"Step": {"Status": {"State": "FAILED", "FailureDetails": details}}},
        {"ClusterId": detail["clusterId"], "StepId": detail["stepId"]},
    )
    run = after(cloud, "monitor-step-failed")
    assert run["reason"] == (reason or f"the step FAILED: {detail['message']}")


def test_a_cluster_that_dies_after_its_result_is_complete_does_not_fail_the_run(
    cloud: Cloud,
) -> None:
    cloud.write_result(RUN_ID, [[]])
    run = after(cloud, "monitor-step-running", "monitor-step-failed", "monitor-cluster-failed")
    assert run["state"] == "RUNNING", "the indexer goes on with it"


@pytest.fixture
def never_ready(emr: Stubber) -> Callable[[str], None]:
    """Make EMR report a cluster that never had its nodes."""
    created = {"CreationDateTime": datetime(2026, 11, 23, 12, 5, tzinfo=UTC)}

    def say(cluster_id: str = "j-1ABCDEFGHIJKL") -> None:
        status = {"State": "TERMINATED_WITH_ERRORS", "Timeline": created}
        answer = {"Cluster": {"Id": cluster_id, "Status": status}}
        emr.add_response("describe_cluster", answer, {"ClusterId": cluster_id})

    return say


LOST_PRIMARY = (
    "the cluster TERMINATED_WITH_ERRORS: INSTANCE_FAILURE: The master node was terminated by EC2."
)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_lost_primary_node_fails_a_running_run_in_any_order_of_events(
    cloud: Cloud, emr: Stubber, order: tuple[int, int]
) -> None:
    created = datetime(2026, 11, 23, 12, 5, tzinfo=UTC)
    timeline = {"CreationDateTime": created, "ReadyDateTime": created}
    answer = {"Cluster": {"Status": {"State": "TERMINATED_WITH_ERRORS", "Timeline": timeline}}}
    if order == (1, 0):
        emr.add_response("describe_cluster", answer, {"ClusterId": "j-1ABCDEFGHIJKL"})
    names = "monitor-step-running", "monitor-cluster-failed"
    run = after(cloud, *(names[place] for place in order))
    assert (run["state"], run["reason"]) == ("FAILED", LOST_PRIMARY)
    assert cloud.messages("LaunchQueue") == []


def cluster_failed(code: str, cluster_id: str = "j-1ABCDEFGHIJKL") -> dict[str, Any]:
    """The event of a cluster that failed with a reason code."""
    failed = event("monitor-cluster-failed")
    reason = json.dumps({"code": code, "message": "because"})
    failed["detail"] |= {"stateChangeReason": reason, "clusterId": cluster_id}
    return failed


def step_cancelled() -> dict[str, Any]:
    """The event of a step whose cluster is about to end."""
    cancelled = event("monitor-step-failed")
    cancelled["detail"]["state"] = "CANCELLED"
    return cancelled


def test_a_cancelled_step_leaves_the_reason_to_the_end_of_its_cluster(cloud: Cloud) -> None:
    monitor.lambda_handler(step_cancelled(), CONTEXT)
    assert after(cloud)["state"] == "STARTING"
    monitor.lambda_handler(cluster_failed("VALIDATION_ERROR"), CONTEXT)
    run = after(cloud)
    assert run["reason"] == "the cluster TERMINATED_WITH_ERRORS: VALIDATION_ERROR: because"


@pytest.mark.parametrize("code", ["BOOTSTRAP_FAILURE", "INTERNAL_ERROR", "INSTANCE_FAILURE"])
def test_a_failed_start_gets_a_second_cluster_and_never_a_third(
    cloud: Cloud, never_ready: Callable[..., None], code: str
) -> None:
    never_ready()
    monitor.lambda_handler(step_cancelled(), CONTEXT)
    monitor.lambda_handler(cluster_failed(code), CONTEXT)
    run = after(cloud)
    assert run["state"] == "LAUNCHING"
    assert "cluster_id" not in run
    assert run["failed_start"]["cluster_id"] == "j-1ABCDEFGHIJKL"
    assert code in run["failed_start"]["reason"]
    assert cloud.messages("LaunchQueue") == [{"second_cluster": RUN_ID}]

    runs.advance(cloud.runs, RUN_ID, State.STARTING, datetime.now(UTC), cluster_id="j-2")
    monitor.lambda_handler(cluster_failed(code, "j-2"), CONTEXT)
    run = after(cloud)
    assert (run["state"], run["cluster_id"]) == ("FAILED", "j-2")
    assert cloud.messages("LaunchQueue") == []


@pytest.mark.parametrize("code", ["VALIDATION_ERROR", "USER_REQUEST", "STEP_FAILURE"])
def test_a_start_that_fails_permanently_gets_no_second_cluster(cloud: Cloud, code: str) -> None:
    monitor.lambda_handler(cluster_failed(code), CONTEXT)
    assert after(cloud)["state"] == "FAILED"
    assert cloud.messages("LaunchQueue") == []


def test_late_and_duplicate_events_of_the_first_cluster_change_nothing(
    cloud: Cloud, never_ready: Callable[..., None]
) -> None:
    never_ready()
    runs.set_attributes(cloud.runs, RUN_ID, instance_type="m5.xlarge", nodes=4)
    monitor.lambda_handler(cluster_failed("INTERNAL_ERROR"), CONTEXT)
    runs.advance(cloud.runs, RUN_ID, State.STARTING, datetime.now(UTC), cluster_id="j-2")
    before = after(cloud)
    cloud.messages("LaunchQueue")
    run = after(cloud, "monitor-step-running", "monitor-step-failed", "monitor-cluster-failed")
    assert run == before
    assert cloud.messages("LaunchQueue") == []


def test_a_monitor_that_died_before_it_requested_the_second_cluster_requests_it_when_retried(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, never_ready: Callable[..., None]
) -> None:
    never_ready()

    def unreachable(**_: Any) -> None:
        raise RuntimeError("SQS is away")

    with monkeypatch.context() as patched:
        patched.setattr(monitor.sqs, "send_message", unreachable)
        with pytest.raises(RuntimeError):
            monitor.lambda_handler(cluster_failed("INTERNAL_ERROR"), CONTEXT)
    assert after(cloud)["state"] == "LAUNCHING"
    monitor.lambda_handler(cluster_failed("INTERNAL_ERROR"), CONTEXT)
    assert cloud.messages("LaunchQueue") == [{"second_cluster": RUN_ID}]


def test_a_second_cluster_is_requested_although_the_response_of_the_table_was_lost(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, never_ready: Callable[..., None]
) -> None:
    never_ready()
    update = monitor.runs_table.update_item

    def repeated(**arguments: Any) -> Any:
        update(**arguments)
        return update(**arguments)  # as the SDK does

    monkeypatch.setattr(monitor.runs_table, "update_item", repeated)
    monitor.lambda_handler(cluster_failed("INTERNAL_ERROR"), CONTEXT)
    assert after(cloud)["state"] == "LAUNCHING"
    assert cloud.messages("LaunchQueue") == [{"second_cluster": RUN_ID}]


def test_a_job_that_reported_its_failure_gets_no_second_cluster(cloud: Cloud) -> None:
    cloud.put(f"runs/{RUN_ID}/failure.json", json.dumps({"message": "no rating"}), "results")
    monitor.lambda_handler(cluster_failed("INTERNAL_ERROR"), CONTEXT)
    run = after(cloud)
    assert (run["state"], run["reason"]) == ("FAILED", "no rating")


def test_a_run_with_two_clusters_costs_the_sum_of_both(
    cloud: Cloud, never_ready: Callable[..., None]
) -> None:
    never_ready()
    runs.set_attributes(cloud.runs, RUN_ID, instance_type="m5.xlarge", nodes=4)
    first = cluster_failed("INTERNAL_ERROR")
    first["time"] = "2026-11-23T12:35:00Z"  # half an hour: two node-hours
    monitor.lambda_handler(first, CONTEXT)
    assert "actual_cost" not in after(cloud)
    second = cluster_failed("INTERNAL_ERROR", "j-2")
    launched = datetime.now(UTC)
    runs.advance(cloud.runs, RUN_ID, State.STARTING, launched, cluster_id="j-2")
    second["time"] = runs.format_time(launched + timedelta(minutes=15))
    monitor.lambda_handler(second, CONTEXT)
    run = after(cloud)
    assert run["failed_start"]["cost"]["node_hours"] == 2
    assert float(run["actual_cost"]["node_hours"]) == pytest.approx(3, abs=0.01)
    assert float(run["actual_cost"]["usd"]) == pytest.approx(0.72, abs=0.01)


def test_a_cluster_that_ends_after_its_step_leaves_the_run_to_the_indexer(cloud: Cloud) -> None:
    assert after(cloud, "monitor-cluster-ended")["state"] == "STARTING"


def test_a_cluster_terminated_by_a_user_fails_the_run(cloud: Cloud) -> None:
    ended = event("monitor-cluster-ended")
    ended["detail"]["stateChangeReason"] = '{"code":"USER_REQUEST","message":"by hand"}'
    monitor.lambda_handler(ended, CONTEXT)
    assert after(cloud)["reason"] == "the cluster TERMINATED: USER_REQUEST: by hand"


@pytest.mark.parametrize("name", ["monitor-cluster-ended", "monitor-cluster-failed"])
def test_the_cost_of_a_cluster_is_from_its_launch_to_its_end(cloud: Cloud, name: str) -> None:
    runs.fail(cloud.runs, RUN_ID, "its step failed", datetime.now(UTC))
    runs.set_attributes(cloud.runs, RUN_ID, instance_type="m5.xlarge", nodes=4)
    ended = event(name)
    ended["time"] = "2026-11-23T12:35:00Z"
    monitor.lambda_handler(ended, CONTEXT)
    cost = after(cloud)["actual_cost"]
    assert (cost["node_hours"], cost["usd"]) == (2, Decimal("0.48"))


@pytest.mark.parametrize("state", [State.INDEXING, State.FAILED])
def test_late_events_change_nothing(cloud: Cloud, state: State) -> None:
    runs.advance(cloud.runs, RUN_ID, state, datetime.now(UTC))
    run = after(cloud, "monitor-step-running", "monitor-step-failed", "monitor-cluster-failed")
    assert run["state"] == state
    assert "reason" not in run


def test_clusters_of_other_stacks_are_ignored(cloud: Cloud) -> None:
    foreign = event("monitor-step-failed")
    foreign["detail"]["name"] = f"other-stack-{RUN_ID}"
    monitor.lambda_handler(foreign, CONTEXT)
    assert after(cloud)["state"] == "STARTING"
