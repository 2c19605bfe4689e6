"""The EMR player: a cluster lives as on AWS, runs what its step says, and tells of it."""

import gzip
import json
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, HTTPClientError

from local.access import ACCOUNT, REGION
from local.cluster import Script
from tests.e2e.conftest import LIMIT_SECONDS, World

pytestmark = pytest.mark.e2e

# Reads a file of S3, writes some as Hadoop's local file system would, and says something.
JOB = """
import pathlib, sys, time
given = pathlib.Path(sys.argv[sys.argv.index("--dataset") + 1])
out = pathlib.Path(sys.argv[sys.argv.index("--output") + 1])
print("read", (given / "numbers.txt").read_text())
(out / "manifest.txt").write_text("1")
(out / "manifest.json").write_text("{}")
(out / "parts").mkdir()
numbers = [int(text) for text in (given / "numbers.txt").read_text().split()]
(out / "parts" / "part-0").write_text(str(sum(numbers)))
(out / "parts" / "_SUCCESS").write_text("")
(out / "parts" / ".part-0.crc").write_text("")
if "--fail" in sys.argv:
    raise ValueError("the job does not like these numbers")
"""


def launch(world: World, name: str, *arguments: str) -> str:
    """Launch a cluster with one step on a bucket of its own; returns the cluster's id."""
    s3 = world.cloud.client("s3")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    for key, text in {"code/job.py": JOB, "in/numbers.txt": "1 2 3"}.items():
        s3.put_object(Bucket=name, Key=key, Body=text.encode())
    return world.cloud.client("emr").run_job_flow(
        Name=f"somebody-{name}",
        LogUri=f"s3://{name}/logs/",
        Instances={"KeepJobFlowAliveWhenNoSteps": False},
        Steps=[
            {
                "Name": f"step of {name}",
                "ActionOnFailure": "TERMINATE_CLUSTER",
                "HadoopJarStep": {
                    "Jar": "command-runner.jar",
                    "Args": [
                        *("spark-submit", "--deploy-mode", "cluster"),
                        *("--conf", "spark.pyspark.python=/usr/bin/no-such-python"),
                        f"s3://{name}/code/job.py",
                        *("--dataset", f"s3://{name}/in/", "--output", f"s3://{name}/out/"),
                        *arguments,
                    ],
                },
            }
        ],
    )["JobFlowId"]


def step_of(world: World, cluster: str) -> Any:
    emr = world.cloud.client("emr")
    listed = emr.list_steps(ClusterId=cluster)["Steps"]
    return emr.describe_step(ClusterId=cluster, StepId=listed[0]["Id"])["Step"]


def heard(world: World, queue: str, count: int) -> list[dict[str, Any]]:
    """The events in a queue, once there are so many."""
    sqs = world.cloud.client("sqs")
    got: list[dict[str, Any]] = []
    deadline = time.monotonic() + LIMIT_SECONDS
    while len(got) < count and time.monotonic() < deadline:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        got += [json.loads(message["Body"]) for message in answer.get("Messages", [])]
    return got


@pytest.fixture
def listener(world: World) -> Iterator[str]:
    """A queue that hears the state changes of everybody's clusters."""
    sqs, events = world.cloud.client("sqs"), world.cloud.client("events")
    url = sqs.create_queue(QueueName="listener")["QueueUrl"]
    pattern = {"source": ["aws.emr"], "detail": {"name": [{"prefix": "somebody-"}]}}
    pattern["detail"]["name"].append({"prefix": "step of "})
    events.put_rule(Name="listener", EventPattern=json.dumps(pattern))
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:listener"
    events.put_targets(Rule="listener", Targets=[{"Id": "listener", "Arn": arn}])
    yield url
    events.remove_targets(Rule="listener", Ids=["listener"])
    events.delete_rule(Name="listener")
    sqs.delete_queue(QueueUrl=url)


def test_a_step_runs_its_output_is_in_s3_and_its_states_are_told(
    world: World, listener: str
) -> None:
    cluster = launch(world, "good-step")
    world.wait_for_cluster("good-step", "TERMINATED")
    s3 = world.cloud.client("s3")
    listed = s3.list_objects_v2(Bucket="good-step", Prefix="out/")["Contents"]
    written = {item["Key"] for item in listed}
    assert written == {"out/manifest.txt", "out/manifest.json", "out/parts/part-0"}
    assert s3.get_object(Bucket="good-step", Key="out/parts/part-0")["Body"].read() == b"6"
    step = step_of(world, cluster)
    assert step["Status"]["State"] == "COMPLETED"
    log = s3.get_object(Bucket="good-step", Key=f"logs/{cluster}/steps/{step['Id']}/stdout.gz")
    assert gzip.decompress(log["Body"].read()) == b"read 1 2 3\n"
    told = [
        (event["detail-type"].split()[1], event["detail"]["state"])
        for event in heard(world, listener, 8)
    ]
    assert sorted(told) == sorted(
        [("Cluster", state) for state in ("STARTING", "BOOTSTRAPPING", "RUNNING", "TERMINATING")]
        + [("Cluster", "TERMINATED")]
        + [("Step", state) for state in ("PENDING", "RUNNING", "COMPLETED")]
    )


def test_a_failed_step_ends_its_cluster_with_errors_and_says_why(world: World) -> None:
    cluster = launch(world, "bad-step", "--fail")
    described = world.wait_for_cluster("bad-step", "TERMINATED_WITH_ERRORS")
    assert described["Status"]["StateChangeReason"]["Code"] == "STEP_FAILURE"
    status = step_of(world, cluster)["Status"]
    assert status["State"] == "FAILED"
    assert "does not like these numbers" in status["FailureDetails"]["Message"]
    assert status["FailureDetails"]["LogFile"].endswith("/stderr.gz")
    written = world.cloud.client("s3").list_objects_v2(Bucket="bad-step", Prefix="out/parts/")
    assert [item["Key"] for item in written["Contents"]] == ["out/parts/part-0"]


def test_terminate_job_flows_ends_a_step_that_hangs(world: World) -> None:
    world.cloud.player.script = Script(step="hangs")
    cluster = launch(world, "hanging-step")
    world.wait_for_cluster("hanging-step", "RUNNING")
    world.cloud.client("emr").terminate_job_flows(JobFlowIds=[cluster])
    described = world.wait_for_cluster("hanging-step", "TERMINATED")
    assert described["Status"]["StateChangeReason"]["Code"] == "USER_REQUEST"
    assert step_of(world, cluster)["Status"]["State"] == "CANCELLED"


@pytest.mark.parametrize(
    ("script", "code", "steps"),
    [
        (Script(step="fails"), "STEP_FAILURE", "FAILED"),
        (Script(cluster="dies_starting"), "BOOTSTRAP_FAILURE", "CANCELLED"),
        (Script(cluster="dies_running"), "INSTANCE_FAILURE", "CANCELLED"),
    ],
)
def test_a_scripted_failure_is_played(world: World, script: Script, code: str, steps: str) -> None:
    world.cloud.player.script = script
    name = code.lower().replace("_", "-")
    cluster = launch(world, name)
    described = world.wait_for_cluster(name, "TERMINATED_WITH_ERRORS")
    assert described["Status"]["StateChangeReason"]["Code"] == code
    assert step_of(world, cluster)["Status"]["State"] == steps


def test_events_can_be_doubled_and_lost(world: World, listener: str) -> None:
    world.cloud.player.script = Script(cluster="dies_starting", events="lost")
    launch(world, "unheard")
    world.wait_for_cluster("unheard", "TERMINATED_WITH_ERRORS")
    world.cloud.player.script = Script(cluster="dies_starting", events="doubled")
    launch(world, "heard-twice")
    told = heard(world, listener, 10)
    assert {event["detail"]["clusterId"] for event in told} == {
        world.wait_for_cluster("heard-twice", "TERMINATED_WITH_ERRORS")["Id"]
    }
    states = [event["detail"]["state"] for event in told]
    assert states.count("STARTING") == states.count("CANCELLED") == 2


def test_a_lost_answer_leaves_a_cluster_that_can_be_found(world: World) -> None:
    world.cloud.player.script = Script(step="fails", answer="lost")
    with pytest.raises(HTTPClientError):
        launch(world, "unanswered")
    world.wait_for_cluster("unanswered", "TERMINATED_WITH_ERRORS")


def test_who_may_not_use_emr_is_refused(world: World) -> None:
    iam = world.cloud.client("iam")
    iam.create_user(UserName="stranger")
    key = iam.create_access_key(UserName="stranger")["AccessKey"]
    emr = boto3.client(
        "emr",
        endpoint_url=world.cloud.access.emr_endpoint,
        region_name=REGION,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )
    launched = len(world.cloud.player.clusters)
    with pytest.raises(ClientError, match="AccessDenied"):
        emr.run_job_flow(Name="somebody-else", Instances={})
    assert len(world.cloud.player.clusters) == launched
