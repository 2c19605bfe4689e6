"""Operating a stack: its control function is invoked, its endpoints are shown with their cost."""

import io
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from cli import stack
from cli.stack import Stack, StackError


class Answering:
    """A Lambda client that gives one answer."""

    def __init__(self, answer: dict[str, Any]):
        self.answer, self.request = answer, {}

    def invoke(self, **request: Any) -> dict[str, Any]:
        self.request = request
        return {"Payload": io.BytesIO(json.dumps(self.answer).encode())}


def test_the_control_functions_answer_is_returned_and_its_refusal_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Stack("films", {"ControlFunction": "films-Control"})
    answering = Answering({"done": "r is live again"})
    monkeypatch.setattr(stack.boto3, "client", lambda _: answering)
    assert made.control("promote", "r") == "r is live again"
    assert answering.request["FunctionName"] == "films-Control"
    assert json.loads(answering.request["Payload"]) == {"command": "promote", "run_id": "r"}

    answering.answer = {"refused": "there is no run before"}
    with pytest.raises(StackError, match="no run before"):
        made.control("rollback")
    answering.answer = {"errorMessage": "timed out"}
    with pytest.raises(StackError, match="timed out"):
        made.control("rollback")


@pytest.fixture
def network() -> Iterator[tuple[Stack, str]]:
    """A stack with its own network, in which EMR created an endpoint, and another network."""
    with mock_aws():
        ec2 = boto3.client("ec2")
        own, others = (ec2.create_vpc(CidrBlock="10.9.0.0/24")["Vpc"]["VpcId"] for _ in range(2))
        made = Stack("films", {"ClusterVpc": own, "S3Endpoint": endpoint(own, "s3")})
        endpoint(own, "dynamodb")
        endpoint(others, "emr")
        yield made, endpoint(own, "emr")


def endpoint(vpc: str, service: str) -> str:
    """Create an endpoint in a network, a gateway to S3 and DynamoDB, and return its id."""
    ec2, where = boto3.client("ec2"), {}
    if service == "emr":
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/28")["Subnet"]
        where = {"SubnetIds": [subnet["SubnetId"]]}
    made = ec2.create_vpc_endpoint(
        VpcId=vpc,
        ServiceName=f"com.amazonaws.eu-central-1.{service}",
        VpcEndpointType="Interface" if where else "Gateway",
        **where,
    )
    return made["VpcEndpoint"]["VpcEndpointId"]


def test_emrs_endpoint_in_the_stacks_network_is_shown_with_its_cost(
    network: tuple[Stack, str],
) -> None:
    films, endpoint = network
    (line,) = films.endpoint_costs()
    assert endpoint in line
    assert "7.30 USD a month" in line


def test_an_endpoint_in_two_zones_costs_twice_as_much(network: tuple[Stack, str]) -> None:
    films, endpoint = network
    ec2 = boto3.client("ec2")
    vpc = films.resources["ClusterVpc"]
    second = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.128/28")["Subnet"]["SubnetId"]
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, AddSubnetIds=[second])
    (line,) = films.endpoint_costs()
    assert "14.60 USD a month" in line


def test_a_deleted_endpoint_and_an_existing_network_cost_nothing(
    network: tuple[Stack, str],
) -> None:
    films, endpoint = network
    boto3.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[endpoint])
    assert list(films.endpoint_costs()) == []
    assert list(Stack("series", {"PrimaryGroup": "sg-1"}).endpoint_costs()) == []


def refusal(code: str, message: str) -> ClientError:
    """Return an error of CloudFormation."""
    return ClientError({"Error": {"Code": code, "Message": message}}, "ListStackResources")


class Listing:
    """A CloudFormation client that lists resources, or refuses to."""

    def __init__(self, answer: list[dict[str, Any]] | ClientError):
        self.answer = answer

    def get_paginator(self, _: str) -> "Listing":
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        if isinstance(self.answer, ClientError):
            raise self.answer
        return [{"StackResourceSummaries": self.answer}]


def test_a_half_made_stack_says_what_it_lacks_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed = [
        {"LogicalResourceId": "RunsTable", "ResourceStatus": "CREATE_FAILED"},
        {
            "LogicalResourceId": "ControlFunction",
            "PhysicalResourceId": "films-Control",
            "ResourceStatus": "DELETE_COMPLETE",
        },
    ]
    monkeypatch.setattr(stack.boto3, "client", lambda _: Listing(listed))
    films = Stack.find("films")
    with pytest.raises(StackError, match=r"has no RunsTable.*make destroy STACK=films"):
        films.latest_runs(1)
    with pytest.raises(StackError, match="has no ControlFunction"):
        films.control("rollback")


def test_a_caller_without_access_is_not_told_that_the_stack_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = refusal("AccessDenied", "not authorized to perform: cloudformation:List...")
    monkeypatch.setattr(stack.boto3, "client", lambda _: Listing(refused))
    with pytest.raises(StackError, match=r"cannot look up stack.*not authorized"):
        Stack.find("films")
