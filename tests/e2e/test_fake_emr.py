"""The fake EMR: a cluster lives as on AWS, runs its step, and emits its state changes."""

import gzip
import io
import json
import re
import time
import zipfile
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, HTTPClientError

from local.access import ACCOUNT, REGION
from local.cloud import Cloud
from local.emr.cluster import Behaviour
from tests.builders.world import LIMIT_SECONDS, World

pytestmark = pytest.mark.e2e

# Reads numbers from a file in S3, adds them with Spark's workers, and writes the sum to S3.
JOB = """
import os, sys
from pyarrow import fs
from pyspark import SparkContext
import adding

given = dict(zip(sys.argv[1::2], sys.argv[2::2]))  # the last of two with the same name

def named(option):
    return given[option].removeprefix("s3://")

def add(numbers):
    yield adding.total(numbers)

s3 = fs.S3FileSystem(
    region=os.environ["AWS_REGION"], endpoint_override=os.environ["AWS_ENDPOINT_URL"]
)
text = s3.open_input_file(named("--dataset") + "numbers.txt").read().decode()
print("read", text)
if "--fail" in sys.argv:
    raise ValueError("the job does not like these numbers")
total = SparkContext().parallelize(map(int, text.split()), 2).mapPartitions(add).sum()
with s3.open_output_stream(named("--output") + "sum.txt") as stream:
    stream.write(str(total).encode())
"""
MODULE = "def total(numbers): return sum(numbers)"
MODULES = "./job:./environment"
ALLOW = {"Effect": "Allow"}


def zipped(name: str, text: str) -> bytes:
    blob = io.BytesIO()
    with zipfile.ZipFile(blob, "w") as archive:
        archive.writestr(name, text)
    return blob.getvalue()


@pytest.fixture(scope="module")
def profile(cloud: Cloud) -> str:
    """An instance profile with exactly the permissions that these steps need."""
    rights = {
        "GetObject": ["*-step/code/*", "*-step/in/*"],
        "PutObject": ["*-step/out/*", "*/logs/*"],
    }
    allowed = [
        ALLOW | {"Action": f"s3:{action}", "Resource": [f"arn:aws:s3:::{key}" for key in keys]}
        for action, keys in rights.items()
    ]
    trust = {"Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam = cloud.client("iam")
    iam.create_role(RoleName="nodes", AssumeRolePolicyDocument=policy([trust | ALLOW]))
    iam.put_role_policy(RoleName="nodes", PolicyName="steps", PolicyDocument=policy(allowed))
    iam.create_instance_profile(InstanceProfileName="profile-of-nodes")
    iam.add_role_to_instance_profile(InstanceProfileName="profile-of-nodes", RoleName="nodes")
    return "profile-of-nodes"


def policy(statements: list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def launch(world: World, profile: str, name: str, *arguments: str) -> str:
    """Launch a cluster with one step and its own bucket, and return the cluster's id."""
    s3 = world.cloud.client("s3")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    job = zipped("adding.py", MODULE)
    objects = {"code/job.py": JOB.encode(), "code/job.zip": job, "in/numbers.txt": b"1 2 3"}
    for key, content in objects.items():
        s3.put_object(Bucket=name, Key=key, Body=content)
    return world.cloud.client("emr").run_job_flow(
        Name=f"somebody-{name}",
        LogUri=f"s3://{name}/logs/",
        JobFlowRole=profile,
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
                        *("--conf", f"spark.yarn.appMasterEnv.AWS_REGION={REGION}"),
                        *("--conf", f"spark.yarn.appMasterEnv.PYTHONPATH={MODULES}"),
                        *("--conf", f"spark.executorEnv.PYTHONPATH={MODULES}"),
                        "--archives",
                        f"s3://{name}/no/such.tar.gz#environment,s3://{name}/code/job.zip#job",
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
    """Wait for a number of events in a queue and return them."""
    sqs = world.cloud.client("sqs")
    got: list[dict[str, Any]] = []
    deadline = time.monotonic() + LIMIT_SECONDS
    while len(got) < count and time.monotonic() < deadline:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        got += [json.loads(message["Body"]) for message in answer.get("Messages", [])]
    return got


@pytest.fixture
def listener(world: World) -> Iterator[str]:
    """A queue that receives the state changes of these tests' clusters."""
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


def test_a_step_runs_uploads_its_output_and_emits_its_states(
    world: World, profile: str, listener: str
) -> None:
    cluster = launch(world, profile, "good-step")
    world.wait_for_cluster("good-step", "TERMINATED")
    s3 = world.cloud.client("s3")
    assert s3.get_object(Bucket="good-step", Key="out/sum.txt")["Body"].read() == b"6"
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


def test_a_failed_step_terminates_its_cluster_with_errors_and_a_reason(
    world: World, profile: str
) -> None:
    cluster = launch(world, profile, "bad-step", "--fail")
    described = world.wait_for_cluster("bad-step", "TERMINATED_WITH_ERRORS")
    assert described["Status"]["StateChangeReason"]["Code"] == "STEP_FAILURE"
    status = step_of(world, cluster)["Status"]
    assert status["State"] == "FAILED"
    assert "does not like these numbers" in status["FailureDetails"]["Message"]
    assert status["FailureDetails"]["LogFile"].endswith("/stderr.gz")


@pytest.mark.parametrize(
    ("name", "given", "reason"),
    [
        ("a-reading-step", ("--dataset", "s3://a-reading-step/logs/"), "ACCESS_DENIED.*HeadObject"),
        ("a-writing-step", ("--output", "s3://a-writing-step/in/"), "ACCESS_DENIED.*Upload"),
        ("a-code-step-of-nobody", (), r"job\.zip: .*\(403\)"),
    ],
)
def test_a_permission_that_the_nodes_role_lacks_fails_the_step(
    world: World, profile: str, name: str, given: tuple[str, ...], reason: str
) -> None:
    cluster = launch(world, profile, name, *given)
    world.wait_for_cluster(name, "TERMINATED_WITH_ERRORS")
    message = step_of(world, cluster)["Status"]["FailureDetails"]["Message"]
    assert re.search(reason, message), message


@pytest.mark.parametrize("name", ["no-such-profile", "arn:aws:iam::123456789012:x/nobodys"])
def test_a_cluster_without_an_instance_profile_ends_with_a_validation_error(
    world: World, name: str
) -> None:
    cluster = launch(world, name, "profile-" + name[:2])
    described = world.wait_for_cluster("profile-" + name[:2], "TERMINATED_WITH_ERRORS")
    reason = described["Status"]["StateChangeReason"]
    assert reason == {"Code": "VALIDATION_ERROR", "Message": f"Invalid InstanceProfile: {name}."}
    assert step_of(world, cluster)["Status"]["State"] == "CANCELLED"


def test_terminate_job_flows_ends_a_hanging_step(world: World, profile: str) -> None:
    world.cloud.emr.behaviour = Behaviour(step="hangs")
    cluster = launch(world, profile, "hanging-step")
    world.wait_for_cluster("hanging-step", "RUNNING")
    world.cloud.client("emr").terminate_job_flows(JobFlowIds=[cluster])
    described = world.wait_for_cluster("hanging-step", "TERMINATED")
    assert described["Status"]["StateChangeReason"]["Code"] == "USER_REQUEST"
    assert step_of(world, cluster)["Status"]["State"] == "CANCELLED"


@pytest.mark.parametrize(
    ("behaviour", "code", "steps"),
    [
        (Behaviour(step="fails"), "STEP_FAILURE", "FAILED"),
        (Behaviour(cluster="dies_starting"), "BOOTSTRAP_FAILURE", "CANCELLED"),
        (Behaviour(cluster="dies_running"), "INSTANCE_FAILURE", "CANCELLED"),
    ],
)
def test_a_failure_on_request_is_faked(
    world: World, profile: str, behaviour: Behaviour, code: str, steps: str
) -> None:
    world.cloud.emr.behaviour = behaviour
    name = code.lower().replace("_", "-")
    cluster = launch(world, profile, name)
    described = world.wait_for_cluster(name, "TERMINATED_WITH_ERRORS")
    assert described["Status"]["StateChangeReason"]["Code"] == code
    assert step_of(world, cluster)["Status"]["State"] == steps


def test_events_can_be_doubled_and_lost(world: World, profile: str, listener: str) -> None:
    world.cloud.emr.behaviour = Behaviour(cluster="dies_starting", events="lost")
    launch(world, profile, "unheard")
    world.wait_for_cluster("unheard", "TERMINATED_WITH_ERRORS")
    world.cloud.emr.behaviour = Behaviour(cluster="dies_starting", events="doubled")
    launch(world, profile, "heard-twice")
    told = heard(world, listener, 10)
    assert {event["detail"]["clusterId"] for event in told} == {
        world.wait_for_cluster("heard-twice", "TERMINATED_WITH_ERRORS")["Id"]
    }
    states = [event["detail"]["state"] for event in told]
    assert states.count("STARTING") == states.count("CANCELLED") == 2


def test_a_lost_response_leaves_a_cluster_that_can_be_found(world: World, profile: str) -> None:
    world.cloud.emr.behaviour = Behaviour(step="fails", answer="lost")
    with pytest.raises(HTTPClientError):
        launch(world, profile, "unanswered")
    world.wait_for_cluster("unanswered", "TERMINATED_WITH_ERRORS")


def test_a_caller_without_permission_is_refused(world: World) -> None:
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
    launched = len(world.cloud.emr.clusters)
    with pytest.raises(ClientError, match="AccessDenied"):
        emr.run_job_flow(Name="somebody-else", Instances={})
    assert len(world.cloud.emr.clusters) == launched
