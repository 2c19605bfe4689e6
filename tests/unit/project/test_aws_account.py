"""The test on AWS waits long enough, gives up in time, and lists what is left of its stack."""

import json
import subprocess
import urllib.error
from collections.abc import Callable, Iterator
from email.message import Message
from io import BytesIO
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from tests.aws import account

FILMS, OTHER = "similar-titles-0a1b2c3d", "similar-titles-0a1b2c3d4"


class Clock:
    """A clock that replaces waiting."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(account, "time", made)
    return made


def run(state: str = "CHECKING", folder: str = "films") -> dict[str, Any]:
    return {"run_id": "r", "folder": folder, "state": state}


def test_drops_that_come_before_eventbridge_listens_are_made_again(clock: Clock) -> None:
    drops: list[float] = []
    listens_from = 290

    def seen() -> dict[str, Any] | None:
        return run() if any(at >= listens_from for at in drops) else None

    assert account.dropped_until_seen(lambda: drops.append(clock.now), seen) == run()
    assert drops == [0, 60, 120, 180, 240, 300]
    assert clock.now < 300 + account.DROP_AGAIN_SECONDS


def test_a_drop_that_is_seen_is_not_made_again(clock: Clock) -> None:
    drops: list[float] = []
    account.dropped_until_seen(
        lambda: drops.append(clock.now), lambda: run() if clock.now > 30 else None
    )
    assert drops == [0]


def test_drops_that_are_never_seen_are_given_up(clock: Clock) -> None:
    with pytest.raises(AssertionError, match="no run has started"):
        account.dropped_until_seen(lambda: None, lambda: None)
    assert 15 * 60 <= clock.now <= 16 * 60


def test_a_run_is_waited_for_over_answers_that_fail(clock: Clock) -> None:
    def seen() -> dict[str, Any] | None:
        return None if clock.now % 2 else run("LIVE" if clock.now > 600 else "RUNNING")

    assert account.finished(seen)["state"] == "LIVE"


def test_a_run_that_does_not_end_is_reported_with_its_state(clock: Clock) -> None:
    with pytest.raises(AssertionError, match=r"did not end in time.*STARTING"):
        account.finished(lambda: run("STARTING") if clock.now < 600 else None)
    assert clock.now >= account.RUN_LIMIT_SECONDS


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda: BytesIO(json.dumps({"runs": [run(folder="x"), run()]}).encode()), run()),
        (lambda: BytesIO(json.dumps({"runs": []}).encode()), None),
        (lambda: BytesIO(b"<html>Bad Gateway</html>"), None),
        (urllib.error.URLError("no connection"), None),
        (TimeoutError(), None),
        (urllib.error.HTTPError("u", 403, "", Message(), BytesIO(b'{"title": "Forbidden"}')), None),
    ],
)
def test_an_api_that_does_not_answer_yet_has_no_run_yet(
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[], Any] | Exception,
    expected: dict[str, Any] | None,
) -> None:
    class Answer(BytesIO):
        status = 200

    def urlopen(_: str, timeout: float) -> Any:
        assert timeout <= 60
        if isinstance(answer, Exception):
            raise answer
        return Answer(answer().read())

    monkeypatch.setattr(account.urllib.request, "urlopen", urlopen)
    assert account.run_of("https://api", "films") == expected


@pytest.fixture
def remains(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """An account with everything that two stacks with similar names may leave."""
    with mock_aws():
        real = boto3.client
        emr = real("emr")
        configurations = [{"Name": f"{name}-0123456789ab"} for name in (FILMS, OTHER)]
        # moto has no such action.
        emr.list_security_configurations = lambda **_: {"SecurityConfigurations": configurations}
        monkeypatch.setattr(boto3, "client", lambda name, **_: emr if name == "emr" else real(name))
        made: dict[str, Any] = {"configurations": configurations}
        for name in (FILMS, OTHER):
            made[name] = left_by(name)
        yield made


def left_by(name: str) -> dict[str, str]:
    """Create what a stack may leave behind; returns the ids by kind."""
    region = {"LocationConstraint": "eu-central-1"}
    boto3.client("s3").create_bucket(
        Bucket=f"{name}-resultsbucket-1x", CreateBucketConfiguration=region
    )
    boto3.client("dynamodb").create_table(
        TableName=f"{name}-RunsTable-1X",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )
    logs = boto3.client("logs")
    for group in (f"/similar-titles/{name}/functions", f"{name}-Logs-1X", f"/aws/lambda/{name}-Q"):
        logs.create_log_group(logGroupName=group)
    ec2 = boto3.client("ec2")
    tags = [{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": name}]}]
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/24", TagSpecifications=tags)["Vpc"]["VpcId"]
    endpoint = ec2.create_vpc_endpoint(
        VpcId=vpc, ServiceName="com.amazonaws.eu-central-1.emr", VpcEndpointType="Interface"
    )["VpcEndpoint"]["VpcEndpointId"]
    boto3.client("iam").create_role(
        RoleName=f"{name}-EmrNodeRole-1X", AssumeRolePolicyDocument="{}"
    )
    boto3.client("cloudformation").create_stack(
        StackName=name,
        TemplateBody=json.dumps({"Resources": {"T": {"Type": "AWS::SNS::Topic"}}}),
    )
    cluster = boto3.client("emr").run_job_flow(
        Name=f"{name}-run",
        Instances={
            "KeepJobFlowAliveWhenNoSteps": True,
            "MasterInstanceType": "m5.xlarge",
            "InstanceCount": 1,
        },
        Tags=[{"Key": "similar-titles:stack", "Value": name}],
        JobFlowRole="r",
        ServiceRole="r",
    )["JobFlowId"]
    return {"network": vpc, "endpoint": endpoint, "cluster": cluster}


def test_all_that_is_left_of_a_stack_is_named_and_nothing_of_another(
    remains: dict[str, Any],
) -> None:
    ids = remains[FILMS]
    told = set(account.left(FILMS))
    clusters = {each for each in told if each.startswith("cluster ")}
    assert len(clusters) == 1
    assert ids["cluster"] in clusters.pop()
    assert {each for each in told if not each.startswith("cluster ")} == {
        "stack CREATE_COMPLETE",
        f"bucket {FILMS}-resultsbucket-1x",
        f"table {FILMS}-RunsTable-1X",
        f"log group /similar-titles/{FILMS}/functions",
        f"log group {FILMS}-Logs-1X",
        f"log group /aws/lambda/{FILMS}-Q",
        f"security configuration {FILMS}-0123456789ab",
        f"network {ids['network']}",
        f"endpoint {ids['endpoint']} in {ids['network']}",
        f"role {FILMS}-EmrNodeRole-1X",
    }
    assert {each.split(" ")[0] for each in told} == {each.split(" ")[0] for each in account.LOOKS}


def test_of_a_stack_that_is_gone_nothing_is_named(remains: dict[str, Any]) -> None:
    assert remains
    assert list(account.left("similar-titles-ffffffff")) == []


def test_where_nobody_may_look_something_may_be_left(
    remains: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> Iterator[str]:
        error = {"Code": "AccessDeniedException", "Message": "not authorized"}
        raise ClientError({"Error": error}, "ListTables")

    monkeypatch.setitem(account.LOOKS, "table", refuse)
    told = list(account.left("similar-titles-ffffffff"))
    assert remains
    assert len(told) == 1
    assert told[0].startswith("table: unknown")


def test_a_removal_that_fails_is_retried_and_then_what_is_left_is_reported(
    remains: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    tries: list[int] = []

    def fail() -> None:
        tries.append(1)
        raise subprocess.CalledProcessError(1, "destroy")

    told = account.removed(FILMS, fail)
    assert len(tries) == 2
    assert f"bucket {FILMS}-resultsbucket-1x" in told
    assert f"LEFT of {FILMS}: bucket {FILMS}-resultsbucket-1x" in capsys.readouterr().err
    assert remains


def test_a_removal_that_succeeds_is_not_repeated(
    remains: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    tries: list[int] = []
    assert account.removed("similar-titles-ffffffff", lambda: tries.append(1)) == []
    assert (len(tries), bool(remains)) == (1, True)
    assert "nothing is left" in capsys.readouterr().err
