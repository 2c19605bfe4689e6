"""Operating a stack: its control function is asked, and destroying it leaves nothing that costs."""

import io
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from click.testing import CliRunner
from moto import mock_aws

from local import stack
from local.cli import cli
from local.stack import Stack, StackError

OURS, THEIRS = "films-0123456789ab", "films-2-0123456789ab"
CONFIGURATIONS = (OURS, THEIRS)
ROLES = {"JobFlowRole": "r", "ServiceRole": "r"}


def endpoint(vpc: str, service: str) -> str:
    """Make a VPC endpoint; returns its id."""
    name = f"com.amazonaws.eu-central-1.{service}"
    made = boto3.client("ec2").create_vpc_endpoint(
        VpcId=vpc, ServiceName=name, VpcEndpointType="Gateway"
    )
    return made["VpcEndpoint"]["VpcEndpointId"]


class CloudFormation:
    """A stack of two buckets, a table, which it retains, and two groups, which it deletes."""

    def __init__(self) -> None:
        self.resources: dict[str, str] = {}
        s3, ec2 = boto3.client("s3"), boto3.client("ec2")
        for name in ("DatasetsBucket", "ResultsBucket"):
            self.resources[name] = f"films-{name.lower()}"
            s3.create_bucket(
                Bucket=self.resources[name],
                CreateBucketConfiguration={"LocationConstraint": "eu-central-1"},
            )
        boto3.client("dynamodb").create_table(
            TableName="films-runs",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        )
        self.resources["RunsTable"] = "films-runs"
        for name in ("PrimaryGroup", "CoreGroup"):
            self.resources[name] = ec2.create_security_group(
                GroupName=f"films-{name}", Description=name
            )["GroupId"]
        self.resources["ClusterVpc"] = vpc = ec2.create_vpc(CidrBlock="10.9.0.0/24")["Vpc"]["VpcId"]
        self.resources["S3Endpoint"] = endpoint(vpc, "s3")
        endpoint(vpc, "emr-service-cell01")

    def get_paginator(self, _: str) -> "CloudFormation":
        return self

    def paginate(self, StackName: str) -> list[dict[str, Any]]:  # noqa: N803
        if StackName != "films":
            raise EndpointConnectionError(endpoint_url="nowhere")
        listed = [
            {"LogicalResourceId": name, "PhysicalResourceId": id}
            for name, id in self.resources.items()
        ]
        return [{"StackResourceSummaries": listed}]

    def delete_stack(self, StackName: str) -> None:  # noqa: N803
        assert StackName == "films"
        ec2 = boto3.client("ec2")
        for name in ("PrimaryGroup", "CoreGroup"):
            group = self.resources[name]
            (told,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
            assert not told["IpPermissions"], "AWS deletes no group that another names"
            ec2.delete_security_group(GroupId=group)

    def get_waiter(self, _: str) -> "CloudFormation":
        return self

    def wait(self, StackName: str) -> None:  # noqa: N803
        assert StackName == "films"


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """A stack, its groups naming each other as EMR makes them, and two clusters, one of it."""
    with mock_aws():
        cloudformation, emr_client, client = CloudFormation(), boto3.client("emr"), boto3.client
        emr_client.list_security_configurations = lambda: {  # moto has no such action
            "SecurityConfigurations": [{"Name": name} for name in CONFIGURATIONS]
        }
        known = {"cloudformation": cloudformation, "emr": emr_client}
        monkeypatch.setattr(boto3, "client", lambda name: known.get(name) or client(name))
        made = Stack.find("films")
        groups = [made.resources[name] for name in ("PrimaryGroup", "CoreGroup")]
        for one, other in (groups, groups[::-1]):
            boto3.client("ec2").authorize_security_group_ingress(
                GroupId=one,
                IpPermissions=[
                    {
                        "IpProtocol": "tcp",
                        "FromPort": 0,
                        "ToPort": 65535,
                        "UserIdGroupPairs": [{"GroupId": other}],
                    }
                ],
            )
        emr = boto3.client("emr")
        for name in CONFIGURATIONS:
            emr.create_security_configuration(Name=name, SecurityConfiguration="{}")
        for name in ("films", "series"):
            emr.run_job_flow(
                Name=f"{name}-1",
                Instances={
                    "KeepJobFlowAliveWhenNoSteps": True,
                    "MasterInstanceType": "m5.xlarge",
                    "InstanceCount": 1,
                },
                Tags=[{"Key": "similar-titles:stack", "Value": name}],
                **ROLES,
            )
        yield made


def buckets() -> list[str]:
    return [each["Name"] for each in boto3.client("s3").list_buckets()["Buckets"]]


def test_a_destroyed_stack_leaves_no_cluster_no_group_and_keeps_its_data(deployed: Stack) -> None:
    boto3.client("s3").put_object(Bucket=buckets()[0], Key="ml/ratings.dat", Body=b"1")
    told = list(deployed.destroy(with_data=False))
    states = {
        each["Name"]: each["Status"]["State"]
        for each in boto3.client("emr").list_clusters()["Clusters"]
    }
    assert states["films-1"] in {"TERMINATING", "TERMINATED"}
    assert states["series-1"] not in {"TERMINATING", "TERMINATED"}
    names = {
        g["GroupName"] for g in boto3.client("ec2").describe_security_groups()["SecurityGroups"]
    }
    assert not any(name.startswith("films") for name in names)
    left = {
        each["VpcEndpointId"]: each["State"].lower()
        for each in boto3.client("ec2").describe_vpc_endpoints()["VpcEndpoints"]
    }
    assert [state for state in left.values() if state == "available"] == ["available"]
    assert left[deployed.resources["S3Endpoint"]] == "available"
    boto3.client("emr").describe_security_configuration(Name=THEIRS)
    with pytest.raises(ClientError):
        boto3.client("emr").describe_security_configuration(Name=OURS)
    assert len(buckets()) == 2
    assert "kept, with their data" in told[-1]


def test_a_stack_that_is_destroyed_with_its_data_leaves_nothing(deployed: Stack) -> None:
    s3 = boto3.client("s3")
    bucket = deployed.resources["ResultsBucket"]
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"1", b"2"):
        s3.put_object(Bucket=bucket, Key="runs/r/manifest.json", Body=body)
    s3.delete_object(Bucket=bucket, Key="runs/r/manifest.json")
    list(deployed.destroy(with_data=True))
    assert buckets() == []
    assert boto3.client("dynamodb").list_tables()["TableNames"] == []


@pytest.mark.usefixtures("deployed")
def test_nothing_is_destroyed_without_the_stacks_name() -> None:
    answer = CliRunner().invoke(cli, ["destroy", "--stack", "films", "--with-data"], input="yes\n")
    assert answer.exit_code == 1
    assert "nothing was done" in answer.output
    assert len(buckets()) == 2


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("command", ["status", "rollback", "redrive", "rebuild", "destroy"])
def test_a_stack_that_is_not_there_is_told(command: str) -> None:
    answer = CliRunner().invoke(cli, [command, "--stack", "nowhere"])
    assert answer.exit_code == 1
    assert "there is no stack nowhere" in answer.output


class Answering:
    """Lambda that says one thing."""

    def __init__(self, told: dict[str, Any]):
        self.told, self.asked = told, {}

    def invoke(self, **asked: Any) -> dict[str, Any]:
        self.asked = asked
        return {"Payload": io.BytesIO(json.dumps(self.told).encode())}


def test_the_control_function_is_asked_and_its_answer_or_refusal_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Stack("films", {"ControlFunction": "films-Control"})
    answering = Answering({"done": "r is live again"})
    monkeypatch.setattr(stack.boto3, "client", lambda _: answering)
    assert made.control("promote", "r") == "r is live again"
    assert answering.asked["FunctionName"] == "films-Control"
    assert json.loads(answering.asked["Payload"]) == {"command": "promote", "run_id": "r"}

    answering.told = {"refused": "there is no run before"}
    with pytest.raises(StackError, match="no run before"):
        made.control("rollback")
    answering.told = {"errorMessage": "timed out"}
    with pytest.raises(StackError, match="timed out"):
        made.control("rollback")
