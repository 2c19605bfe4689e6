"""The operator's commands and messages on the deployed template, with IAM enforced."""

import json
import random
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError

from local.access import REGION
from local.cloud import STACK, deploy
from local.emr.cluster import ENDED, Behaviour
from sweeper import lost_drops
from tests.builders.world import World
from tests.conftest import Observed
from tests.e2e.test_pipeline import clusters, drained, files, ratings
from tools.paths import ROOT

pytestmark = pytest.mark.e2e


class Inbox:
    """What the stack's topic tells."""

    def __init__(self, world: World) -> None:
        self._sqs = world.cloud.client("sqs")
        self._url = self._sqs.create_queue(QueueName=f"inbox-{uuid.uuid4()}")["QueueUrl"]
        topic = world.cloud.outputs["Topic"]
        arn = queue_arn(world, self._url)
        allow = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}}
        statement = allow | {"Action": "sqs:SendMessage", "Resource": arn}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        self._sqs.set_queue_attributes(
            QueueUrl=self._url, Attributes={"Policy": json.dumps(policy)}
        )
        world.cloud.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        self.told: list[dict[str, Any]] = []

    def has(self, subject: str) -> bool:
        """Whether a message of that subject has come by now."""
        answer = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            self.told.append(json.loads(message["Body"]))
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return any(each["Subject"] == subject for each in self.told)

    def text(self, subject: str) -> str:
        """The one message of that subject."""
        (text,) = (each["Message"] for each in self.told if each["Subject"] == subject)
        return text


def queue_arn(world: World, url: str) -> str:
    """The ARN of a queue."""
    answer = world.cloud.client("sqs").get_queue_attributes(
        QueueUrl=url, AttributeNames=["QueueArn"]
    )
    return answer["Attributes"]["QueueArn"]


def operate(world: World, *arguments: str) -> str:
    """Run the operator's command line; returns what it prints, also of an error."""
    answer = subprocess.run(
        [ROOT / "similar-titles", *arguments],
        cwd=ROOT,
        env=world.cloud.environment | {"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    return (answer.stdout + answer.stderr).strip()


@contextmanager
def environment_of(world: World, function: str, **changes: str) -> Iterator[None]:
    """A function with other settings while the block lasts.

    The emulator kills what the function is at work on when its settings change, which AWS does not:
    its message would come back after the twelve minutes of its queue.
    """
    client, name = world.cloud.client("lambda"), world.cloud.outputs[function]
    usual = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]

    def change(settings: dict[str, str]) -> None:
        try:
            world.wait_until(lambda: drained(world), "nothing dropped is being looked at")
        finally:  # the tests after this one need the usual settings all the same
            client.update_function_configuration(
                FunctionName=name, Environment={"Variables": settings}
            )

    change(usual | changes)
    try:
        yield
    finally:
        change(usual)


def test_an_operator_is_notified_rolls_back_promotes_and_reruns(world: World) -> None:
    inbox = Inbox(world)
    runs = []
    for seed in (11, 12):
        world.drop("operated", files(ratings(seed)))
        world.wait_until(lambda: len(world.runs("operated")) == len(runs) + 1, "the drop has a run")
        runs.append(world.wait_for_run("operated", "LIVE", "FAILED"))
        assert runs[-1]["state"] == "LIVE", runs[-1].get("reason")
    first, second = (run["run_id"] for run in runs)
    assert first != second
    answers = {}

    def live() -> str:
        status, body = world.cloud.get("/movies/1/similar")
        assert status == 200
        answers.setdefault(body["run_id"], body)
        assert answers[body["run_id"]] == body, "a run's answers never change"
        return body["run_id"]

    assert live() == second
    assert first in operate(world, "rollback")
    assert live() == first
    assert [run["state"] for run in world.runs("operated")] == ["SUPERSEDED", "LIVE"]
    assert second in operate(world, "promote", second)
    world.wait_until(lambda: live() == second, "the promoted run is live")
    assert operate(world, "promote", "nonsense").startswith("Error: 'nonsense' is not a run id")

    before = clusters(world)
    operate(world, "rerun", first)
    world.wait_until(lambda: len(world.runs("operated")) == 3, "the rerun has a run of its own")
    again = world.wait_for_run("operated", "LIVE", "FAILED")
    assert again["state"] == "LIVE", again.get("reason")
    assert clusters(world) == before + 1
    assert live() == again["run_id"]
    assert answers[again["run_id"]]["similar"] == answers[first]["similar"]

    world.wait_until(lambda: inbox.has("similar-titles: LIVE operated"), "a message of LIVE")
    assert any(f"Run {first} " in each["Message"] for each in inbox.told)


def tasteful(seed: int, *, spoilt: bool) -> list[tuple[int, int, float]]:
    """Nine hundred users of three tastes, who rate films of theirs; spoilt, users are mixed up."""
    chance = random.Random(seed)
    rated = [
        (user, movie, 4.5)
        for user in range(1, 901)
        for movie in chance.sample(range(1 + user % 3, 121, 3), 14)
    ]
    users = [user for user, _, _ in rated]
    if spoilt:
        chance.shuffle(users)
    return [(user, *each[1:]) for user, each in zip(users, rated, strict=True)]


def test_a_run_of_spoilt_data_is_held_back_until_somebody_promotes_it(world: World) -> None:
    runs = []
    for spoilt, state in ((False, "LIVE"), (True, "FAILED")):
        world.drop("tasteful", files(tasteful(seed=16, spoilt=spoilt)))
        world.wait_until(lambda: len(world.runs("tasteful")) == len(runs) + 1, "a run")
        runs.append(world.wait_for_run("tasteful", "LIVE", "FAILED"))
        assert runs[-1]["state"] == state, runs[-1].get("reason")
    good, bad = (run["run_id"] for run in runs)
    assert runs[1]["reason"].startswith("quality: blend finds ")
    assert f"the live run {good} " in runs[1]["reason"]
    assert world.cloud.get("/health")[1]["live_run_id"] == good

    assert bad in operate(world, "promote", bad)
    assert world.wait_for_run("tasteful", "LIVE")["run_id"] == bad
    assert world.cloud.get("/movies/1/similar")[1]["run_id"] == bad


@pytest.mark.drill(
    "Clusters",
    injected="a step hangs on the deployed template, and all events of EMR are lost",
    promised="a sweep makes up for the events, ends the cluster at its deadline, fails the run",
)
def test_a_cluster_past_its_deadline_is_terminated_and_reported(
    world: World, observed: Observed
) -> None:
    inbox = Inbox(world)
    world.cloud.emr.behaviour = Behaviour(step="hangs", events="lost", throttled=1)
    world.drop("hanging", files(ratings(seed=13)))
    run = world.wait_for_run("hanging", "STARTING")
    cluster = world.wait_for_cluster(run["run_id"], "RUNNING")
    sweep = {"FunctionName": world.cloud.outputs["SweeperFunction"], "Payload": b"{}"}
    functions = world.cloud.client("lambda")

    assert "FunctionError" not in functions.invoke(**sweep)
    assert world.runs("hanging")[0]["state"] == "RUNNING", "the lost event is made up for"
    assert world.wait_for_cluster(run["run_id"], "RUNNING"), "a working cluster is left alone"

    with environment_of(world, "SweeperFunction", DEADLINE_MINUTES="0"):
        assert "FunctionError" not in functions.invoke(**sweep)
    world.wait_for_cluster(run["run_id"], *ENDED)
    failed = world.wait_for_run("hanging", "FAILED")
    assert "(DeadlineMinutes)" in failed["reason"]
    for subject in (f"similar-titles: SWEPT {run['run_id']}", "similar-titles: FAILED hanging"):
        world.wait_until(lambda: inbox.has(subject), subject)  # noqa: B023
    assert cluster["Id"] in inbox.text(f"similar-titles: SWEPT {run['run_id']}")
    assert f"make rerun RUN={run['run_id']}" in inbox.text("similar-titles: FAILED hanging")
    observed(1, f"FAILED: {failed['reason']}".replace(cluster["Id"], "j-1"))


@pytest.mark.drill(
    "Deliveries",
    injected="a folder is dropped on the deployed template while nobody hears of it",
    promised="a sweep finds it: one run, one cluster, LIVE",
)
def test_a_drop_whose_event_was_lost_is_found(world: World, observed: Observed) -> None:
    cloud, before = world.cloud, clusters(world)
    with deaf(world):
        world.drop("unheard", files(ratings(seed=18)))
    later = datetime.now(UTC) + lost_drops.GRACE_PERIOD + timedelta(minutes=1)
    table = boto3.resource(
        "dynamodb",
        endpoint_url=cloud.access.endpoint,
        region_name=REGION,
        aws_access_key_id=cloud.access.key,
        aws_secret_access_key=cloud.access.secret,
    ).Table(cloud.outputs["RunsTable"])
    bucket, s3 = cloud.outputs["DatasetsBucket"], cloud.client("s3")

    def lost() -> list[dict[str, Any]]:
        found = lost_drops.events(s3, lost_drops.scan(s3, bucket, ""), table, timedelta(0), later)
        return [each for each in found if each["detail"]["object"]["key"].startswith("unheard/")]

    (message,) = lost()
    for _ in range(2):
        cloud.client("sqs").send_message(
            QueueUrl=cloud.outputs["LaunchQueue"], MessageBody=json.dumps(message)
        )
    run = world.wait_for_run("unheard", "LIVE", "FAILED")
    assert run["state"] == "LIVE", run.get("reason")
    assert not lost()
    assert clusters(world) == before + 1
    observed(1, "1 run, 1 cluster, LIVE")


@contextmanager
def deaf(world: World) -> Iterator[None]:
    """Let nobody hear of what is dropped."""
    events = world.cloud.client("events")
    (rule,) = [
        each["Name"] for each in events.list_rules()["Rules"] if "DatasetDropped" in each["Name"]
    ]
    events.disable_rule(Name=rule)
    try:
        yield
    finally:
        events.enable_rule(Name=rule)


@pytest.mark.drill(
    "Clusters",
    injected="EC2 has no nodes for a cluster on the deployed template, for as long as it waits",
    promised="a sweep ends it at the limit for starting, which is another than that for working; "
    "FAILED with the way out",
)
def test_a_cluster_that_never_gets_its_nodes_is_terminated_with_advice(
    world: World, observed: Observed
) -> None:
    world.cloud.emr.behaviour = Behaviour(cluster="waits", throttled=1)
    world.drop("waiting", files(ratings(seed=19)))
    run = world.wait_for_run("waiting", "STARTING")
    cluster = world.wait_for_cluster(run["run_id"], "STARTING")
    sweep = {"FunctionName": world.cloud.outputs["SweeperFunction"], "Payload": b"{}"}
    functions = world.cloud.client("lambda")
    with environment_of(world, "SweeperFunction", DEADLINE_MINUTES="0"):
        assert "FunctionError" not in functions.invoke(**sweep)
    assert world.wait_for_cluster(run["run_id"], "STARTING"), "it does not work yet"
    with environment_of(world, "SweeperFunction", START_MINUTES="0"):
        assert "FunctionError" not in functions.invoke(**sweep)
    world.wait_for_cluster(run["run_id"], *ENDED)
    failed = world.wait_for_run("waiting", "FAILED")
    assert "another AvailabilityZone or InstanceType" in failed["reason"]
    observed(1, f"FAILED: {failed['reason']}".replace(cluster["Id"], "j-1"))


@pytest.mark.drill(
    "Clusters",
    injected="a cluster fails to start on the deployed template; its step is CANCELLED first",
    promised="a second cluster with the same request, LIVE, and the notification says it",
)
def test_a_cluster_that_fails_to_start_is_followed_by_a_second_one(
    world: World, observed: Observed
) -> None:
    inbox = Inbox(world)
    world.cloud.emr.behaviour = Behaviour(cluster="dies_once", throttled=1)
    world.drop("second-try", files(ratings(seed=17)))
    run = world.wait_for_run("second-try", "LIVE", "FAILED")
    assert run["state"] == "LIVE", run.get("reason")
    first = run["failed_start"]
    assert "BOOTSTRAP_FAILURE" in first["reason"]
    mine = [each for each in world.cloud.emr.clusters if each.name.endswith(run["run_id"])]
    assert [each.id for each in mine] == [run["cluster_id"], first["cluster_id"]]
    assert mine[0].request == mine[1].request
    subject = "similar-titles: LIVE second-try"
    world.wait_until(lambda: inbox.has(subject), subject)
    assert f"the first one, {first['cluster_id']}, did not start" in inbox.text(subject)
    observed(1, "LIVE by the second cluster")


def test_a_launch_above_the_budget_is_refused_and_costs_nothing(world: World) -> None:
    before = clusters(world)
    with environment_of(world, "LauncherFunction", MAX_RUN_COST="0.01"):
        world.drop("dear", files(ratings(seed=14)))
        run = world.wait_for_run("dear", "LIVE", "FAILED")
    assert run["state"] == "FAILED"
    assert "MaxRunCost" in run["reason"]
    assert clusters(world) == before


@pytest.mark.drill(
    "Dependencies",
    injected="on the deployed template the launcher's table is not there, for as long as its "
    "messages are tried; then it is there again, and `redrive`",
    promised="the messages do not wait for their queue's twelve minutes, but in the dead-letter "
    "queue, and one command has the run made good",
)
def test_a_message_that_failed_permanently_waits_in_the_dead_letter_queue_and_can_be_sent_again(
    world: World, observed: Observed
) -> None:
    sqs, outputs = world.cloud.client("sqs"), world.cloud.outputs
    queue, dead = outputs["LaunchQueue"], outputs["LaunchDeadLetterQueue"]

    def waiting() -> int:
        name = "ApproximateNumberOfMessages"
        answer = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=[name])
        return int(answer["Attributes"][name])

    lost = {"RUNS_TABLE": outputs["RunsTable"] + "-gone", "SETTLE_SECONDS": "0"}
    redrive = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["RedrivePolicy"])
    policy = json.loads(redrive["Attributes"]["RedrivePolicy"])
    once = json.dumps(policy | {"maxReceiveCount": 1})  # to be tried five times takes half an hour
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": once})
    try:
        with environment_of(world, "LauncherFunction", **lost):
            world.drop("unlucky", files(ratings(seed=15)))
            world.wait_until(lambda: waiting() == 2, "both messages have used up their attempts")
    finally:
        sqs.set_queue_attributes(QueueUrl=queue, Attributes=redrive["Attributes"])
    assert world.runs("unlucky") == []
    assert "LaunchQueue: 2 messages sent again" in operate(world, "redrive")
    run = world.wait_for_run("unlucky", "LIVE", "FAILED")
    assert run["state"] == "LIVE", run.get("reason")
    world.wait_until(lambda: drained(world) and waiting() == 0, "nothing is left behind")
    observed(2, "2 messages sent again, LIVE")


def test_a_bucket_is_closed_to_whoever_comes_without_encryption(world: World) -> None:
    iam = world.cloud.client("iam")
    iam.create_user(UserName="eve")  # root is above the policies of the account's buckets
    key = iam.create_access_key(UserName="eve")["AccessKey"]
    allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [allowed]}
    iam.put_user_policy(UserName="eve", PolicyName="all", PolicyDocument=json.dumps(policy))
    s3 = boto3.client(
        "s3",
        endpoint_url=world.cloud.access.endpoint,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )
    buckets = [world.cloud.outputs[name] for name in ("DatasetsBucket", "ResultsBucket")]
    for bucket in buckets:
        s3.list_objects_v2(Bucket=bucket)

    def without_tls(request: AWSRequest, **_: object) -> None:
        request.headers["X-Forwarded-Proto"] = "http"

    s3.meta.events.register("before-sign.s3", without_tls)
    for bucket in buckets:
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.list_objects_v2(Bucket=bucket)


def test_two_stacks_live_side_by_side_and_destroying_one_leaves_the_other_whole(
    world: World,
) -> None:
    cloud, name = world.cloud, "similar-titles-second"
    second = deploy(cloud.access, cloud.folder, name)
    first = cloud.outputs
    assert not set(second.values()) & set(first.values())
    emr, s3 = cloud.client("emr"), cloud.client("s3")
    for stack in (name, STACK):
        emr.create_security_configuration(Name=f"{stack}-0123456789ab", SecurityConfiguration="{}")
    s3.put_object(Bucket=second["ResultsBucket"], Key="runs/x", Body=b"a result")

    done = operate(world, "destroy", "--with-data", "--yes", "--stack", name)

    assert f"stack {name} is deleted" in done
    buckets = {each["Name"] for each in s3.list_buckets()["Buckets"]}
    assert not buckets & set(second.values())
    assert {first["DatasetsBucket"], first["ResultsBucket"]} <= buckets
    assert not set(cloud.client("dynamodb").list_tables()["TableNames"]) & set(second.values())
    configurations = emr.list_security_configurations()["SecurityConfigurations"]
    names = {each["Name"] for each in configurations}
    assert f"{name}-0123456789ab" not in names
    assert f"{STACK}-0123456789ab" in names
    endpoints = cloud.client("ec2").describe_vpc_endpoints()["VpcEndpoints"]
    resources = cloud.client("cloudformation").list_stack_resources(StackName=STACK)
    kept = {each["PhysicalResourceId"] for each in resources["StackResourceSummaries"]}
    assert [each for each in endpoints if each["VpcEndpointId"] in kept]
    assert cloud.get("/health")[0] == 200
