"""The monitor: what EMR says moves a run forward, and only forward."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

import monitor
import runs
from runs import State
from tests.conftest import event
from tests.unit.conftest import CONTEXT, Cloud

RUN_ID = "20261123T120500000Z-5f2a9c01"


@pytest.fixture(autouse=True)
def run(cloud: Cloud) -> None:
    """The run that the sample events speak of, with its cluster starting."""
    now = datetime(2026, 11, 23, 12, 5, tzinfo=UTC)
    made = runs.claim(cloud.runs, "5f2a9c01" + "0" * 56, "ml", None, now, timedelta(0))
    assert made is not None
    assert made["run_id"] == RUN_ID
    runs.advance(cloud.runs, RUN_ID, State.LAUNCHING, now)
    runs.advance(cloud.runs, RUN_ID, State.STARTING, now, cluster_id="j-1ABCDEFGHIJKL")


@pytest.fixture(autouse=True)
def emr(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """EMR as the monitor asks it; it knows of no step but what a test adds."""
    client = boto3.client("emr")
    with Stubber(client) as answers:
        monkeypatch.setattr(monitor, "emr", client)
        yield answers
        answers.assert_no_pending_responses()


def after(cloud: Cloud, *names: str) -> dict[str, Any]:
    """The run after some of the sample events."""
    for name in names:
        monitor.lambda_handler(event(name), CONTEXT)
    return cloud.runs.get_item(Key=runs.run_key(RUN_ID))["Item"]


def test_a_running_step_makes_the_run_running(cloud: Cloud) -> None:
    assert after(cloud, "monitor-step-running")["state"] == "RUNNING"


def test_a_failed_step_fails_the_run_in_the_words_of_emr(cloud: Cloud) -> None:
    run = after(cloud, "monitor-step-running", "monitor-step-failed")
    assert run["state"] == "FAILED"
    assert run["reason"].startswith("the step FAILED: Step s-ZYXWVUTSRQPON")


def test_a_failed_step_fails_the_run_in_the_words_of_the_job_where_it_left_any(
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
            "status: the driver was killed, or ended without a word",
        ),
        ({}, None),
    ],
)
def test_a_failed_step_fails_the_run_with_what_emr_found_in_its_log(
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


def test_a_cluster_that_dies_after_its_result_is_written_fails_nothing(cloud: Cloud) -> None:
    cloud.write_result(RUN_ID, [[]])
    run = after(cloud, "monitor-step-running", "monitor-step-failed", "monitor-cluster-failed")
    assert run["state"] == "RUNNING", "the indexer goes on with it"


def test_a_lost_primary_fails_the_run(cloud: Cloud) -> None:
    run = after(cloud, "monitor-cluster-failed")
    assert run["reason"] == (
        "the cluster TERMINATED_WITH_ERRORS: INSTANCE_FAILURE: "
        "The master node was terminated by EC2."
    )


def test_a_cluster_that_ends_after_its_step_leaves_the_run_to_the_indexer(cloud: Cloud) -> None:
    assert after(cloud, "monitor-cluster-ended")["state"] == "STARTING"


def test_a_cluster_that_somebody_ended_fails_the_run(cloud: Cloud) -> None:
    ended = event("monitor-cluster-ended")
    ended["detail"]["stateChangeReason"] = '{"code":"USER_REQUEST","message":"by hand"}'
    monitor.lambda_handler(ended, CONTEXT)
    assert after(cloud)["reason"] == "the cluster TERMINATED: USER_REQUEST: by hand"


@pytest.mark.parametrize("name", ["monitor-cluster-ended", "monitor-cluster-failed"])
def test_a_cluster_that_has_ended_is_paid_for_from_its_launch_to_its_end(
    cloud: Cloud, name: str
) -> None:
    runs.note(cloud.runs, RUN_ID, instance_type="m5.xlarge", nodes=4)
    ended = event(name)
    ended["time"] = "2026-11-23T12:35:00Z"
    monitor.lambda_handler(ended, CONTEXT)
    told = after(cloud)["actual_cost"]
    assert (told["node_hours"], told["usd"]) == (2, Decimal("0.48"))


@pytest.mark.parametrize("state", [State.INDEXING, State.FAILED])
def test_late_events_change_nothing(cloud: Cloud, state: State) -> None:
    runs.advance(cloud.runs, RUN_ID, state, datetime.now(UTC))
    run = after(cloud, "monitor-step-running", "monitor-step-failed", "monitor-cluster-failed")
    assert run["state"] == state
    assert "reason" not in run


def test_somebody_elses_cluster_is_passed_over(cloud: Cloud) -> None:
    foreign = event("monitor-step-failed")
    foreign["detail"]["name"] = f"other-stack-{RUN_ID}"
    monitor.lambda_handler(foreign, CONTEXT)
    assert after(cloud)["state"] == "STARTING"
