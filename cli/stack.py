"""A deployed stack in an operator's hands, on AWS or on the local cloud."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

import runs

STACK = "similar-titles"
ENDPOINT_USD = Decimal("7.30")  # an interface endpoint in one zone, a month; docs/cost.md
DEAD_LETTERS = {"LaunchDeadLetterQueue": "LaunchQueue", "IndexDeadLetterQueue": "IndexQueue"}


class StackError(Exception):
    """A stack that cannot be operated, or refused to do what was asked; the message says why."""


class NoStackError(StackError):
    """There is no stack of that name."""


@dataclass(frozen=True)
class Stack:
    """A deployed stack.

    Attributes:
        name: of the stack.
        resources: physical ids by logical id, of those that there are.
    """

    name: str
    resources: dict[str, str]

    @classmethod
    def find(cls, name: str) -> "Stack":
        """The stack of a name in the account and region of the environment.

        Raises:
            NoStackError: there is none.
            StackError: it cannot be asked for.
        """
        try:
            listed = [*summaries(boto3.client("cloudformation"), name)]
        except ClientError as error:
            if is_missing_stack(error):
                raise NoStackError(f"there is no stack {name} to operate: {error}") from error
            raise StackError(f"stack {name} cannot be asked for: {error}") from error
        except BotoCoreError as error:
            raise StackError(f"stack {name} cannot be asked for: {error}") from error
        return cls(name, physical_ids(listed))

    def physical_id(self, logical_id: str) -> str:
        """The physical id of a resource.

        Raises:
            StackError: the stack has no such resource: it was only half made, or half deleted.
        """
        if logical_id not in self.resources:
            raise StackError(
                f"stack {self.name} has no {logical_id}: it was half made or half deleted. `make "
                f"destroy STACK={self.name}` deletes what there is; then deploy it anew"
            )
        return self.resources[logical_id]

    def control(self, command: str, run_id: str | None = None) -> str:
        """Ask the stack's control function; returns what it did.

        Raises:
            StackError: it refused, for the reason that the message has.
        """
        function = self.physical_id("ControlFunction")
        asked = {"command": command} | ({"run_id": run_id} if run_id else {})
        answer = boto3.client("lambda").invoke(FunctionName=function, Payload=json.dumps(asked))
        told = json.loads(answer["Payload"].read())
        if "done" not in told:
            raise StackError(told.get("refused") or f"the control function failed: {told}")
        return told["done"]

    def latest_runs(self, limit: int) -> list[runs.Run]:
        """The latest runs, the newest first, at most `limit`."""
        return runs.latest(self._runs_table(), limit)

    def run(self, run_id: str) -> runs.Run:
        """One run.

        Raises:
            StackError: there is none of that id.
        """
        found = runs.get(self._runs_table(), run_id)
        if found is None:
            raise StackError(f"there is no run {run_id} in stack {self.name}")
        return found

    def _runs_table(self) -> Any:
        return boto3.resource("dynamodb").Table(self.physical_id("RunsTable"))

    def redrive(self) -> Iterator[str]:
        """Send what failed for good to its queue again; yields what was done, for a person.

        A message that is sent twice, because this was ended in between, does no harm: those who
        take it are made for that.
        """
        # Not StartMessageMoveTask, which cannot be tried on one machine and tells no end.
        sqs = boto3.client("sqs")
        for dead, queue in DEAD_LETTERS.items():
            source, target, sent = self.physical_id(dead), self.physical_id(queue), 0
            while messages := sqs.receive_message(
                QueueUrl=source, MaxNumberOfMessages=10, WaitTimeSeconds=1
            ).get("Messages", []):
                for message in messages:
                    sqs.send_message(QueueUrl=target, MessageBody=message["Body"])
                    sqs.delete_message(QueueUrl=source, ReceiptHandle=message["ReceiptHandle"])
                    sent += 1
            yield f"{queue}: {sent} messages sent again"

    def endpoints(self) -> list[Mapping[str, Any]]:
        """The endpoints that EMR, or somebody, has made in the stack's own network.

        Each as DescribeVpcEndpoints tells it; none where the stack works in a network of others.
        """
        if "ClusterVpc" not in self.resources:
            return []
        vpc, own = self.resources["ClusterVpc"], self.resources.get("S3Endpoint")
        pages = boto3.client("ec2").get_paginator("describe_vpc_endpoints")
        return [
            each
            for page in pages.paginate(Filters=[{"Name": "vpc-id", "Values": [vpc]}])
            for each in page["VpcEndpoints"]
            # The filter is not trusted alone: the local cloud's EC2 passes it over.
            if each["VpcId"] == vpc and each["VpcEndpointId"] != own and endpoint_exists(each)
        ]

    def costs_of_endpoints(self) -> Iterator[str]:
        """What EMR's endpoints cost while nothing runs, a line for each, for a person."""
        for each in self.endpoints():
            if each["VpcEndpointType"] == "Interface":
                usd = ENDPOINT_USD * max(1, len(each.get("SubnetIds", [])))
                id = each["VpcEndpointId"]
                yield (
                    f"endpoint {id}, which EMR made in the stack's network, costs about {usd} USD "
                    "a month. While no cluster runs it may be deleted, EMR makes it anew: "
                    f"`aws ec2 delete-vpc-endpoints --vpc-endpoint-ids {id}`"
                )


def endpoint_exists(endpoint: Mapping[str, Any]) -> bool:
    """Whether an endpoint of DescribeVpcEndpoints is not yet gone."""
    return str(endpoint["State"]).lower() != "deleted"


def is_missing_stack(error: ClientError) -> bool:
    """Whether CloudFormation refused a request because there is no such stack."""
    told = error.response["Error"]
    return told["Code"] == "ValidationError" and "does not exist" in told["Message"]


def summaries(cloudformation: Any, stack: str) -> Iterator[Mapping[str, Any]]:
    """The StackResourceSummaries of a stack, by name or id; by id also of a deleted one."""
    for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack):
        yield from page["StackResourceSummaries"]


def physical_ids(listed: list[Mapping[str, Any]]) -> dict[str, str]:
    """Physical ids by logical id; of a half-made stack some resources were never there."""
    return {
        each["LogicalResourceId"]: each["PhysicalResourceId"]
        for each in listed
        if each.get("PhysicalResourceId") and each["ResourceStatus"] != "DELETE_COMPLETE"
    }
