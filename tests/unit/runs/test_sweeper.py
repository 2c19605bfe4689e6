"""The sweeper: finds the clusters, carries out the decisions, and sends messages."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from freezegun import freeze_time

import runs
from launcher import handler as launcher
from runs.states import State
from sweeper import handler as sweeper
from tests.builders.aws import CONTEXT, Cloud, movie_line
from tests.builders.indexed import PARTS, deliver, drain, finish_run, movies_of, start_run
from tools.sample_events import event, manifest_written, messages


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The messages that people receive."""
    messages: list[dict[str, Any]] = []
    monkeypatch.setattr(sweeper.sns, "publish", lambda **message: messages.append(message))
    return messages


@pytest.fixture
def run(cloud: Cloud) -> runs.Run:
    """A run whose cluster was launched."""
    launcher.lambda_handler(cloud.drop("ml"), CONTEXT)
    return cloud.all_runs()[0]


def sweep(after: timedelta = timedelta(0)) -> None:
    """Sweep after a time."""
    with freeze_time(datetime.now(UTC) + after):
        sweeper.lambda_handler(event("sweeper-schedule"), CONTEXT)


def state_of(cloud: Cloud, run: runs.Run) -> dict[str, Any]:
    return cloud.runs.get_item(Key=runs.run_key(run["run_id"]))["Item"]


def test_healthy_runs_are_left_alone(cloud: Cloud, run: runs.Run, sent: list) -> None:
    sweep()
    assert state_of(cloud, run)["state"] == State.STARTING
    assert cloud.emr.describe_cluster(ClusterId=run["cluster_id"])["Cluster"]["Status"][
        "State"
    ] not in {"TERMINATED", "TERMINATING"}
    assert sent == []


def test_an_overdue_cluster_is_terminated_with_a_message_and_its_run_fails(
    cloud: Cloud, run: runs.Run, sent: list
) -> None:
    sweep(after=timedelta(hours=3))
    ended = cloud.emr.describe_cluster(ClusterId=run["cluster_id"])["Cluster"]
    assert ended["Status"]["State"] in {"TERMINATED", "TERMINATING"}
    after = state_of(cloud, run)
    assert after["state"] == State.FAILED
    assert "minutes for its nodes" in after["reason"] or "the limit is" in after["reason"]
    (message,) = sent
    assert message["Subject"] == f"similar-titles: SWEPT {run['run_id']}"

    sweep(after=timedelta(hours=4))
    assert len(sent) == 1


def test_a_cluster_that_cannot_be_ended_keeps_nothing_else_from_being_done(
    cloud: Cloud, run: runs.Run, sent: list
) -> None:
    launcher.lambda_handler(cloud.drop("other"), CONTEXT)
    protected, other = sorted(cloud.all_runs(), key=lambda each: each["cluster_id"])
    assert run["cluster_id"] in {protected["cluster_id"], other["cluster_id"]}
    cloud.emr.set_termination_protection(
        JobFlowIds=[protected["cluster_id"]], TerminationProtected=True
    )
    with pytest.raises(ClientError, match="protected"):  # an alarm reports it
        sweep(after=timedelta(hours=3))
    for each in (protected, other):
        assert state_of(cloud, each)["state"] == State.FAILED
    ended = cloud.emr.describe_cluster(ClusterId=other["cluster_id"])["Cluster"]
    assert ended["Status"]["State"] in {"TERMINATED", "TERMINATING"}
    assert [message["Subject"] for message in sent] == [f"similar-titles: SWEPT {other['run_id']}"]


def test_clusters_of_other_stacks_are_not_touched(cloud: Cloud, sent: list) -> None:
    for name, tag in (("other-20261123T120500000Z-5f2a9c01", "similar-titles"),
                      ("similar-titles-20261123T120500000Z-5f2a9c01", "another")):  # fmt: skip
        cloud.emr.run_job_flow(
            Name=name,
            Instances={"KeepJobFlowAliveWhenNoSteps": True, "InstanceCount": 1,
                       "MasterInstanceType": "m5.xlarge"},
            JobFlowRole="r", ServiceRole="r",
            Tags=[{"Key": "similar-titles:stack", "Value": tag}],
        )  # fmt: skip
    sweep(after=timedelta(hours=9))
    states = [each["Status"]["State"] for each in cloud.clusters()]
    assert not {"TERMINATED", "TERMINATING"} & set(states)
    assert sent == []


def test_a_result_whose_event_was_lost_is_sent_to_the_indexer(
    cloud: Cloud, run: runs.Run, sent: list
) -> None:
    cloud.write_result(run["run_id"], [[movie_line(1, 2)]])
    cloud.emr.terminate_job_flows(JobFlowIds=[run["cluster_id"]])
    sweep(after=timedelta(hours=1))
    (message,) = cloud.messages("IndexQueue")
    assert message["detail"]["object"]["key"] == f"runs/{run['run_id']}/manifest.json"
    assert state_of(cloud, run)["state"] == State.STARTING
    assert sent == []


def test_an_unindexed_result_is_sent_to_the_indexer_every_half_hour_and_then_given_up(
    cloud: Cloud, sent: list
) -> None:
    run_id = start_run(cloud)
    cloud.write_result(run_id, [[movie_line(1, 2)], [movie_line(2, 1)]])
    started = datetime.now(UTC)
    with freeze_time(started):
        deliver(manifest_written(run_id))
        one, _ = cloud.messages("IndexQueue")
        deliver(messages(one))  # the other is lost
    assert movies_of(cloud, run_id) != []

    handed = 0
    for minutes in range(0, 6 * 60, 10):
        sweep(after=timedelta(minutes=minutes))
        handed += len(cloud.messages("IndexQueue"))
    assert 9 <= handed <= 12

    sweep(after=timedelta(hours=6, minutes=20))
    assert runs.get(cloud.runs, run_id)["state"] == State.FAILED
    drain(cloud)
    assert movies_of(cloud, run_id) == []
    assert sent == []


@pytest.mark.parametrize("lost", [1, 2])
def test_items_whose_removal_was_lost_are_finally_removed(
    cloud: Cloud, sent: list, lost: int
) -> None:
    first, second = finish_run(cloud, 0), finish_run(cloud, 1)
    third = start_run(cloud, 2)
    cloud.write_result(third, PARTS)
    deliver(manifest_written(third))
    for part in cloud.messages("IndexQueue"):
        deliver(messages(part))
    for removal in cloud.messages("IndexQueue")[lost:]:  # the first is retired now
        deliver(messages(removal))
    assert movies_of(cloud, first) != []

    sweep(after=timedelta(hours=1))
    drain(cloud)
    assert movies_of(cloud, first) == []
    assert movies_of(cloud, second) == movies_of(cloud, third) == [1, 2, 3]
    sweep(after=timedelta(hours=2))
    assert cloud.messages("IndexQueue") == [], "what is done is not done again"
    assert sent == []


def test_items_without_a_manifest_are_given_up(cloud: Cloud, sent: list) -> None:
    first, _ = finish_run(cloud, 0), finish_run(cloud, 1)
    finish_run(cloud, 2)
    runs.set_attributes(cloud.runs, first, in_index=True)  # as if its removal had been lost
    cloud.s3.delete_object(Bucket="results", Key=f"runs/{first}/manifest.json")
    sweep(after=timedelta(hours=1))
    drain(cloud)
    sweep(after=timedelta(hours=2))
    assert cloud.messages("IndexQueue") == []
    assert sent == []


def test_a_cluster_whose_events_were_lost_still_yields_the_jobs_reason_and_the_cost(
    cloud: Cloud, run: runs.Run, sent: list
) -> None:
    failure = {"error": "DatasetError", "message": "ratings.dat has no good line", "report": []}
    cloud.put(f"runs/{run['run_id']}/failure.json", json.dumps(failure), "results")
    cloud.emr.terminate_job_flows(JobFlowIds=[run["cluster_id"]])
    sweep()
    after = state_of(cloud, run)
    assert (after["state"], after["reason"]) == (State.FAILED, "ratings.dat has no good line")
    assert after["actual_cost"]["node_hours"] > 0
    assert sent == []


@pytest.mark.usefixtures("cloud", "sent")
def test_metrics_report_that_no_cluster_was_terminated(capsys: pytest.CaptureFixture) -> None:
    sweep()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    assert [line["StraysEnded"] for line in lines] == [[0.0]]
    assert boto3.client("emr").list_clusters()["Clusters"] == []
