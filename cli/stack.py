"""A deployed stack and what an operator does with it, on AWS or on the local cloud."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

import runs
import waiting
from runs.diff import Diff, diff
from runs.results import RunResults

STACK = "similar-titles"
ENDPOINT_USD = Decimal("7.30")  # of an interface endpoint, per zone and month; docs/cost.md
DEAD_LETTERS = {"LaunchDeadLetterQueue": "LaunchQueue", "IndexDeadLetterQueue": "IndexQueue"}


class StackError(Exception):
    """The operation on the stack failed or was refused; the message says why."""


class NoStackError(StackError):
    """No stack has that name."""


@dataclass(frozen=True)
class Stack:
    """A deployed stack.

    Attributes:
        name: the stack's name.
        resources: physical ids by logical id; resources that do not exist are left out.
    """

    name: str
    resources: dict[str, str]

    @classmethod
    def find(cls, name: str) -> "Stack":
        """Find a stack in the account and region of the environment.

        Raises:
            NoStackError: no stack has that name.
            StackError: CloudFormation cannot be reached or refused the request.
        """
        try:
            listed = [*summaries(boto3.client("cloudformation"), name)]
        except ClientError as error:
            if is_missing_stack(error):
                raise NoStackError(f"there is no stack {name}: {error}") from error
            raise StackError(f"cannot look up stack {name}: {error}") from error
        except BotoCoreError as error:
            raise StackError(f"cannot look up stack {name}: {error}") from error
        return cls(name, physical_ids(listed))

    def physical_id(self, logical_id: str) -> str:
        """Return the physical id of a resource.

        Raises:
            StackError: the stack lacks the resource; its creation or deletion did not finish.
        """
        if logical_id not in self.resources:
            raise StackError(
                f"stack {self.name} has no {logical_id}: its creation or deletion did not finish. "
                f"Delete the rest with `make destroy STACK={self.name}`, then deploy again"
            )
        return self.resources[logical_id]

    def control(self, command: str, run_id: str | None = None) -> str:
        """Invoke the stack's control function and return what it did.

        Raises:
            StackError: the function refused or failed; the message says why.
        """
        function = self.physical_id("ControlFunction")
        event = {"command": command} | ({"run_id": run_id} if run_id else {})
        response = boto3.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        result = json.loads(response["Payload"].read())
        if "done" not in result:
            raise StackError(result.get("refused") or f"the control function failed: {result}")
        return result["done"]

    def latest_runs(self, limit: int) -> list[runs.Run]:
        """Return the latest runs, newest first, at most `limit`."""
        return list(runs.latest(self._runs_table(), limit))

    def waiting(self) -> list[waiting.WaitingItem]:
        """Return the dropped folders that look like a data set but have no run."""
        return waiting.stored(self._runs_table(), waiting.MAX_SHOWN)

    def run(self, run_id: str) -> runs.Run:
        """Return one run.

        Raises:
            StackError: no run has that id.
        """
        found = runs.get(self._runs_table(), run_id)
        if found is None:
            raise StackError(f"there is no run {run_id} in stack {self.name}")
        return found

    def diff(self, before: str, after: str) -> Diff:
        """Compare the results of two runs.

        Raises:
            StackError: a run does not exist, or has never had a result.
        """
        compared = [self.run(before), self.run(after)]
        for run in compared:
            if "measure" not in run:
                raise StackError(f"run {run['run_id']} is {run['state']} and has no result")
        results = RunResults(boto3.client("s3"), self.physical_id("ResultsBucket"))
        return diff(*map(results.result, compared))

    def _runs_table(self) -> Any:
        return boto3.resource("dynamodb").Table(self.physical_id("RunsTable"))

    def redrive(self) -> Iterator[str]:
        """Move messages from the dead-letter queues back to their queues.

        An interruption can send a message twice. That does no harm: all consumers are idempotent.

        Yields:
            What was done, for the operator.
        """
        # Not StartMessageMoveTask, which cannot be tested locally and does not report its end.
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
        """Return the endpoints in the stack's own network that the stack did not create.

        EMR creates one. Each is an item of DescribeVpcEndpoints. A stack that uses an existing
        network has none.
        """
        if "ClusterVpc" not in self.resources:
            return []
        vpc, own = self.resources["ClusterVpc"], self.resources.get("S3Endpoint")
        pages = boto3.client("ec2").get_paginator("describe_vpc_endpoints")
        return [
            each
            for page in pages.paginate(Filters=[{"Name": "vpc-id", "Values": [vpc]}])
            for each in page["VpcEndpoints"]
            # The local cloud's EC2 ignores the filter.
            if each["VpcId"] == vpc and each["VpcEndpointId"] != own and endpoint_exists(each)
        ]

    def endpoint_costs(self) -> Iterator[str]:
        """Yield a line for each endpoint that costs money while no cluster runs."""
        for each in self.endpoints():
            if each["VpcEndpointType"] == "Interface":
                usd = ENDPOINT_USD * max(1, len(each.get("SubnetIds", [])))
                id = each["VpcEndpointId"]
                yield (
                    f"endpoint {id}, created by EMR in the stack's network, costs about {usd} USD "
                    "a month. You can delete it while no cluster runs; EMR will recreate it: "
                    f"`aws ec2 delete-vpc-endpoints --vpc-endpoint-ids {id}`"
                )


def endpoint_exists(endpoint: Mapping[str, Any]) -> bool:
    """Whether an endpoint of DescribeVpcEndpoints has not been deleted yet."""
    return str(endpoint["State"]).lower() != "deleted"


def is_missing_stack(error: ClientError) -> bool:
    """Whether CloudFormation refused a request because the stack does not exist."""
    details = error.response["Error"]
    return details["Code"] == "ValidationError" and "does not exist" in details["Message"]


def summaries(cloudformation: Any, stack: str) -> Iterator[Mapping[str, Any]]:
    """Yield the StackResourceSummaries of a stack, by name or id; deleted stacks by id only."""
    for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack):
        yield from page["StackResourceSummaries"]


def physical_ids(listed: list[Mapping[str, Any]]) -> dict[str, str]:
    """Return physical ids by logical id, without resources that do not exist."""
    return {
        each["LogicalResourceId"]: each["PhysicalResourceId"]
        for each in listed
        if each.get("PhysicalResourceId") and each["ResourceStatus"] != "DELETE_COMPLETE"
    }
