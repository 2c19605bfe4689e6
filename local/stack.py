"""A deployed stack in an operator's hands, on AWS or on the local cloud."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from functions import runs
from local.cluster import ENDED

STACK = "similar-titles"
GROUPS = ("PrimaryGroup", "CoreGroup", "ServiceAccessGroup")
BUCKETS = ("DatasetsBucket", "ResultsBucket")
DEAD_LETTERS = {"LaunchDeadLetterQueue": "LaunchQueue", "IndexDeadLetterQueue": "IndexQueue"}


class StackError(Exception):
    """A stack that cannot be operated, or refused to do what was asked; the message says why."""


@dataclass(frozen=True)
class Stack:
    """A deployed stack.

    Attributes:
        name: of the stack.
        resources: physical ids by logical id.
    """

    name: str
    resources: dict[str, str]

    @classmethod
    def find(cls, name: str) -> "Stack":
        """The stack of a name in the account and region of the environment.

        Raises:
            StackError: there is none.
        """
        pages = boto3.client("cloudformation").get_paginator("list_stack_resources")
        try:
            found = {
                each["LogicalResourceId"]: each.get("PhysicalResourceId", "")
                for page in pages.paginate(StackName=name)
                for each in page["StackResourceSummaries"]
            }
        except (BotoCoreError, ClientError) as error:
            raise StackError(f"there is no stack {name} to operate: {error}") from error
        return cls(name, found)

    def control(self, command: str, run_id: str | None = None) -> str:
        """Ask the stack's control function; returns what it did.

        Raises:
            StackError: it refused, for the reason that the message has.
        """
        asked = {"command": command} | ({"run_id": run_id} if run_id else {})
        answer = boto3.client("lambda").invoke(
            FunctionName=self.resources["ControlFunction"], Payload=json.dumps(asked)
        )
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
        return boto3.resource("dynamodb").Table(self.resources["RunsTable"])

    def redrive(self) -> Iterator[str]:
        """Send what failed for good to its queue again; yields what was done, for a person.

        A message that is sent twice, because this was ended in between, does no harm: those who
        take it are made for that.
        """
        # Not StartMessageMoveTask, which cannot be tried on one machine and tells no end.
        sqs = boto3.client("sqs")
        for dead, queue in DEAD_LETTERS.items():
            source, target, sent = self.resources[dead], self.resources[queue], 0
            while messages := sqs.receive_message(
                QueueUrl=source, MaxNumberOfMessages=10, WaitTimeSeconds=1
            ).get("Messages", []):
                for message in messages:
                    sqs.send_message(QueueUrl=target, MessageBody=message["Body"])
                    sqs.delete_message(QueueUrl=source, ReceiptHandle=message["ReceiptHandle"])
                    sent += 1
            yield f"{queue}: {sent} messages sent again"

    def destroy(self, with_data: bool) -> Iterator[str]:
        """Delete everything that costs; yields what was done, for a person.

        Args:
            with_data: also the buckets and the runs table with all that is in them.
        """
        yield from self._end_clusters()
        yield from self._delete_endpoints()
        yield from self._free_groups()
        cloudformation = boto3.client("cloudformation")
        cloudformation.delete_stack(StackName=self.name)
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=self.name)
        yield f"stack {self.name} is deleted"
        yield from self._delete_security_configurations()
        kept = [self.resources[name] for name in (*BUCKETS, "RunsTable")]
        if not with_data:
            yield f"kept, with their data: {', '.join(kept)}; `make destroy DATA=delete` had not"
            return
        for bucket in kept[:2]:
            boto3.resource("s3").Bucket(bucket).object_versions.delete()
            boto3.client("s3").delete_bucket(Bucket=bucket)
            yield f"bucket {bucket} is deleted"
        boto3.client("dynamodb").delete_table(TableName=kept[2])
        yield f"table {kept[2]} is deleted"

    def _end_clusters(self) -> Iterator[str]:
        emr = boto3.client("emr")
        pages = emr.get_paginator("list_clusters").paginate()
        for each in (each for page in pages for each in page["Clusters"]):
            if each["Status"]["State"] in ENDED:
                continue
            tags = emr.describe_cluster(ClusterId=each["Id"])["Cluster"].get("Tags", [])
            if {"Key": "similar-titles:stack", "Value": self.name} in tags:
                emr.terminate_job_flows(JobFlowIds=[each["Id"]])
                # What runs in a network keeps it from being deleted.
                emr.get_waiter("cluster_terminated").wait(ClusterId=each["Id"])
                yield f"cluster {each['Id']} is ended"

    def _delete_endpoints(self) -> Iterator[str]:
        """Delete what EMR made in the stack's own network to be reached from there."""
        if "ClusterVpc" not in self.resources:
            return
        ec2 = boto3.client("ec2")
        vpc = self.resources["ClusterVpc"]
        there = ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": [vpc]}])
        for each in there["VpcEndpoints"]:
            # The filter is not trusted alone: the local cloud's EC2 passes it over.
            if each["VpcId"] == vpc and each["VpcEndpointId"] != self.resources.get("S3Endpoint"):
                ec2.delete_vpc_endpoints(VpcEndpointIds=[each["VpcEndpointId"]])
                yield f"endpoint {each['VpcEndpointId']} is deleted"

    def _free_groups(self) -> Iterator[str]:
        """Take EMR's rules out of the groups: while they name each other none can be deleted."""
        ec2 = boto3.client("ec2")
        ids = [self.resources[name] for name in GROUPS if name in self.resources]
        for group in ec2.describe_security_groups(GroupIds=ids)["SecurityGroups"] if ids else []:
            if rules := [rule for rule in group["IpPermissions"] if rule.get("UserIdGroupPairs")]:
                ec2.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=rules)
            egress = group.get("IpPermissionsEgress", [])
            if rules := [rule for rule in egress if rule.get("UserIdGroupPairs")]:
                ec2.revoke_security_group_egress(GroupId=group["GroupId"], IpPermissions=rules)
            yield f"security group {group['GroupId']} is free"

    def _delete_security_configurations(self) -> Iterator[str]:
        emr = boto3.client("emr")
        pages = emr.get_paginator("list_security_configurations").paginate()
        for each in [each for page in pages for each in page["SecurityConfigurations"]]:
            # Not those of a stack whose name begins with this one's.
            if re.fullmatch(re.escape(self.name) + "-[0-9a-f]{12}", each["Name"]):
                emr.delete_security_configuration(Name=each["Name"])
                yield f"security configuration {each['Name']} is deleted"
