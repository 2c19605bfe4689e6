"""Operates a deployed stack, on AWS or the local cloud: see `python -m local.stack --help`."""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local.cluster import ENDED

STACK = "similar-titles"
GROUPS = ("PrimaryGroup", "CoreGroup", "ServiceAccessGroup")
BUCKETS = ("DatasetsBucket", "ResultsBucket")
DEAD_LETTERS = {"LaunchDeadLetterQueue": "LaunchQueue", "IndexDeadLetterQueue": "IndexQueue"}
EXAMPLE = """examples:
  python -m local.stack rollback
  python -m local.stack promote 20261123T120500000Z-5f2a9c01 --stack similar-titles-prod
  python -m local.stack destroy --with-data
"""


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
        own = {"Name": "vpc-id", "Values": [self.resources["ClusterVpc"]]}
        for each in ec2.describe_vpc_endpoints(Filters=[own])["VpcEndpoints"]:
            if each["VpcEndpointId"] != self.resources.get("S3Endpoint"):
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
        listed = emr.list_security_configurations().get("SecurityConfigurations", [])
        for each in listed:
            # Not those of a stack whose name begins with this one's.
            if re.fullmatch(re.escape(self.name) + "-[0-9a-f]{12}", each["Name"]):
                emr.delete_security_configuration(Name=each["Name"])
                yield f"security configuration {each['Name']} is deleted"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m local.stack",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, what in (
        ("rollback", "answer readers from the run before the live one, at once"),
        ("promote", "make a superseded run live"),
        ("rebuild", "load the live run's result into the index once more"),
        ("rerun", "launch a run's cluster once more, on the same input and code"),
        ("redrive", "send messages that failed for good to their queues again"),
        ("destroy", "delete all that costs; asks first"),
    ):
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("--stack", default=STACK, metavar="NAME", help=f"default {STACK}")
        if name in {"promote", "rerun"}:
            command.add_argument("run_id", metavar="RUN", help="a run id, as GET /runs lists them")
        if name == "destroy":
            command.add_argument("--with-data", action="store_true", help="buckets and runs, too")
            command.add_argument("--yes", action="store_true", help="do not ask")
    options = parser.parse_args(arguments)
    try:
        stack = Stack.find(options.stack)
        if options.command == "destroy":
            if not options.yes and not _confirmed(stack, options.with_data):
                print("nothing was done")
                return 1
            for done in stack.destroy(options.with_data):
                print(done)
        elif options.command == "redrive":
            for done in stack.redrive():
                print(done)
        else:
            print(stack.control(options.command, getattr(options, "run_id", None)))
    except (StackError, BotoCoreError, ClientError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _confirmed(stack: Stack, with_data: bool) -> bool:
    what = "and every data set, result and run in it" if with_data else "but keep its data"
    print(f"This will delete stack {stack.name} {what}. Type its name to go on: ", end="")
    return sys.stdin.readline().strip() == stack.name


if __name__ == "__main__":
    sys.exit(main())
