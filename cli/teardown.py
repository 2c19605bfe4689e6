"""Deletes a stack and all that costs, also of one that was half made or half deleted.

Every step passes over what is gone already, so that a teardown that was broken off is finished by
another.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from cli.stack import Stack, StackError, endpoint_exists, is_missing_stack, physical_ids, summaries
from local.emr.cluster import ENDED

GROUPS = ("PrimaryGroup", "CoreGroup", "ServiceAccessGroup")
BUCKETS = ("DatasetsBucket", "ResultsBucket")
TABLES = ("RunsTable",)
KEPT = (BUCKETS, TABLES)  # what the template retains
ALIVE = ("STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING", "TERMINATING")
# What is polled for an hour is throttled at times: about a minute of trying again.
MANY_RETRIES = Config(retries={"mode": "standard", "total_max_attempts": 10})
POLL_SECONDS, REPORT_SECONDS = 10, 60
CLUSTER_MINUTES, ENDPOINT_MINUTES, STACK_MINUTES = 30, 15, 60
MAX_EMPTYINGS = 5  # of a bucket, into which the last logs of a cluster may still come
GONE = {"NoSuchBucket", "404", "NoSuchUpload", "ResourceNotFoundException"}
GONE |= {"InvalidGroup.NotFound", "InvalidPermission.NotFound", "InvalidVpcEndpointId.NotFound"}


def client(service: str) -> Any:
    """A client that waits out throttling."""
    make: Any = boto3.client
    return make(service, config=MANY_RETRIES)


@dataclass(frozen=True)
class Teardown:
    """What there is to delete of one stack.

    Attributes:
        stack: its resources; none of a stack that is deleted already.
        id: the stack's, or None where it is deleted already.
        buckets: names of those that outlive the stack.
        tables: the same.
    """

    stack: Stack
    id: str | None
    buckets: tuple[str, ...]
    tables: tuple[str, ...]

    @classmethod
    def find(cls, name: str) -> "Teardown":
        """What there is of the stack of a name, or of deleted ones that had it.

        Raises:
            StackError: nothing.
        """
        cloudformation = client("cloudformation")
        try:
            id = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackId"]
        except ClientError as error:
            if not is_missing_stack(error):
                raise
            return cls._of_deleted(name)
        resources = physical_ids([*summaries(cloudformation, id)])
        kept = [tuple(resources[each] for each in of if each in resources) for of in KEPT]
        return cls(Stack(name, resources), id, *kept)

    @classmethod
    def _of_deleted(cls, name: str) -> "Teardown":
        """What deleted stacks of a name have left; CloudFormation knows them for 90 days."""
        cloudformation = client("cloudformation")
        listed = cloudformation.get_paginator("list_stacks").paginate(
            StackStatusFilter=["DELETE_COMPLETE"]
        )
        skipped = [
            resource
            for page in listed
            for stack in page["StackSummaries"]
            if stack["StackName"] == name
            for resource in summaries(cloudformation, stack["StackId"])
            if resource["ResourceStatus"] == "DELETE_SKIPPED"
        ]
        buckets, tables = (
            [each["PhysicalResourceId"] for each in skipped if each["LogicalResourceId"] in of]
            for of in KEPT
        )
        found = cls(
            Stack(name, {}),
            None,
            tuple(each for each in buckets if _has_bucket(each)),
            tuple(each for each in tables if _has_table(each)),
        )
        if not (found.kept or found._clusters() or found._security_configurations()):
            raise StackError(
                f"there is no stack {name}, and nothing is left of one that was deleted in the "
                "last 90 days"
            )
        return found

    @property
    def kept(self) -> tuple[str, ...]:
        """Names of the buckets and tables that outlive the stack."""
        return self.buckets + self.tables

    def summary(self, with_data: bool) -> str:
        """What `run` would delete, for a person."""
        stack = "" if self.id else ", which is deleted already,"
        data = "and every data set, result and run in it" if with_data else "but keep its data"
        return f"stack {self.stack.name}{stack} {data}"

    def run(self, with_data: bool) -> Iterator[str]:
        """Delete everything that costs; yields what is done, for a person.

        Args:
            with_data: also the buckets and the runs table with all that is in them.

        Raises:
            StackError: something does not go; the message says what, and what to do.
        """
        yield from self._end_clusters()
        if self.id:
            yield from self._empty_network()
            yield from self._delete_stack(self.id)
            # A launch that was under way when the first were ended; now nothing launches any more.
            yield from self._end_clusters()
        yield from self._delete_security_configurations()
        if not with_data:
            if self.kept:
                command = f"make destroy STACK={self.stack.name} DATA=delete"
                yield f"kept, with their data: {', '.join(self.kept)}; `{command}` deletes them"
            return
        for bucket in self.buckets:
            yield from _delete_bucket(bucket)
        for table in self.tables:
            yield from _delete_table(table)

    def _clusters(self) -> list[str]:
        """Ids of the stack's clusters that have not ended."""
        emr = client("emr")
        tag = {"Key": "similar-titles:stack", "Value": self.stack.name}
        pages = emr.get_paginator("list_clusters").paginate(ClusterStates=ALIVE)
        return [
            each["Id"]
            for page in pages
            for each in page["Clusters"]
            if tag in emr.describe_cluster(ClusterId=each["Id"])["Cluster"].get("Tags", [])
        ]

    def _end_clusters(self) -> Iterator[str]:
        """End the stack's clusters: what runs in a network keeps it from being deleted."""
        emr, clusters = client("emr"), self._clusters()
        for id in clusters:
            emr.terminate_job_flows(JobFlowIds=[id])

        # Not boto3's waiter, for which one that TERMINATED_WITH_ERRORS has not ended as it should.
        def alive() -> str:
            states = {
                id: emr.describe_cluster(ClusterId=id)["Cluster"]["Status"]["State"]
                for id in clusters
            }
            left = (f"{id} is {state}" for id, state in states.items() if state not in ENDED)
            return ", ".join(f"cluster {each}" for each in left)

        yield from _wait(alive, CLUSTER_MINUTES)
        yield from (f"cluster {id} is ended" for id in clusters)

    def _empty_network(self) -> Iterator[str]:
        """Take out of the network what CloudFormation does not know, and cannot pass."""
        yield from self._delete_endpoints()
        yield from self._free_groups()

    def _endpoints(self) -> list[Mapping[str, Any]]:
        """Endpoints in the stack's own network, and those elsewhere that have one of its groups."""
        pages = client("ec2").get_paginator("describe_vpc_endpoints").paginate()
        own = {each["VpcEndpointId"] for each in self.stack.endpoints()}
        return [
            each
            for page in pages
            for each in page["VpcEndpoints"]
            if endpoint_exists(each)
            and (each["VpcEndpointId"] in own or _groups_of(each) & self._groups())
        ]

    def _groups(self) -> set[str]:
        """Ids of the stack's security groups."""
        resources = self.stack.resources
        return {resources[name] for name in GROUPS if name in resources}

    def _delete_endpoints(self) -> Iterator[str]:
        """Delete the endpoints that EMR made, and wait until they are gone."""
        ec2, doomed = client("ec2"), []
        own = {each["VpcEndpointId"] for each in self.stack.endpoints()}
        for each in self._endpoints():
            id, ours = each["VpcEndpointId"], sorted(_groups_of(each) & self._groups())
            if id not in own and len(ours) < len(_groups_of(each)):
                ec2.modify_vpc_endpoint(VpcEndpointId=id, RemoveSecurityGroupIds=ours)
                yield f"endpoint {id} of your network has {', '.join(ours)} no more"
                continue
            refused = ec2.delete_vpc_endpoints(VpcEndpointIds=[id]).get("Unsuccessful", [])
            if refused and refused[0]["Error"]["Code"] not in GONE:
                # The stack may go all the same; where it does not, its failure has the rest.
                yield f"endpoint {id} is not deleted: {refused[0]['Error']['Message']}"
            else:
                doomed.append(id)

        def left() -> str:
            there = {each["VpcEndpointId"]: each["State"] for each in self._endpoints()}
            return ", ".join(
                f"endpoint {id} is {there[id].lower()}" for id in doomed if id in there
            )

        yield from _wait(left, ENDPOINT_MINUTES)
        yield from (f"endpoint {id} is deleted" for id in doomed)

    def _free_groups(self) -> Iterator[str]:
        """Take EMR's rules out of the groups: while they name each other none can be deleted."""
        ec2, ids = client("ec2"), self._groups()
        if not ids:
            return
        # By a filter, for which a group that is gone already is no error.
        by_id = [{"Name": "group-id", "Values": sorted(ids)}]
        for group in ec2.describe_security_groups(Filters=by_id)["SecurityGroups"]:
            if group["GroupId"] not in ids:
                continue  # the local cloud's EC2 passes the filter over
            for revoke, name in (
                (ec2.revoke_security_group_ingress, "IpPermissions"),
                (ec2.revoke_security_group_egress, "IpPermissionsEgress"),
            ):
                if rules := [rule for rule in group.get(name, []) if rule.get("UserIdGroupPairs")]:
                    with _unless_gone():
                        revoke(GroupId=group["GroupId"], IpPermissions=rules)
            yield f"security group {group['GroupId']} is free"

    def _delete_stack(self, id: str) -> Iterator[str]:
        """Delete the stack itself; once more where what is left may only have been slow to go.

        Raises:
            StackError: it is not deleted.
        """
        cloudformation, again = client("cloudformation"), True
        while True:
            cloudformation.delete_stack(StackName=id)
            time.sleep(POLL_SECONDS / 5)  # so that no failure of an earlier deletion is read

            def deleting() -> str:
                state = _state(cloudformation, id)
                over = state in {"DELETE_COMPLETE", "DELETE_FAILED"}
                return "" if over else f"stack {self.stack.name} is {state}"

            yield from _wait(deleting, STACK_MINUTES)
            if _state(cloudformation, id) == "DELETE_COMPLETE":
                yield f"stack {self.stack.name} is deleted"
                return
            failed = [
                each
                for each in summaries(cloudformation, id)
                if each["ResourceStatus"] == "DELETE_FAILED"
            ]
            reasons = "; ".join(
                f"{each['LogicalResourceId']} ({each['ResourceType']} "
                f"{each.get('PhysicalResourceId', '')}): {each.get('ResourceStatusReason', '')}"
                for each in failed
            )
            told = f"stack {self.stack.name} is not deleted: {reasons or 'see its events'}"
            in_network = any(each["ResourceType"].startswith("AWS::EC2::") for each in failed)
            if not (again and in_network):
                raise StackError(told + self._help(in_network))
            again = False
            yield f"{told}; trying once more"
            yield from self._end_clusters()
            yield from self._empty_network()

    def _help(self, in_network: bool) -> str:
        """What to do after a failure, with what is left in the stack's own network."""
        command = f"`make destroy STACK={self.stack.name}`"
        vpc = self.stack.resources.get("ClusterVpc")
        if not in_network or not vpc:
            return f". Put right what these reasons say, then run {command} again"
        ec2, in_vpc = client("ec2"), [{"Name": "vpc-id", "Values": [vpc]}]
        left = [
            f"{each['NetworkInterfaceId']} ({each.get('Description') or 'no description'})"
            for each in ec2.describe_network_interfaces(Filters=in_vpc)["NetworkInterfaces"]
            if each.get("VpcId") == vpc
        ] + [
            f"{each['GroupId']} ({each['GroupName']})"
            for each in ec2.describe_security_groups(Filters=in_vpc)["SecurityGroups"]
            if each.get("VpcId") == vpc
            and each["GroupName"] != "default"
            and each["GroupId"] not in self._groups()
        ]
        seen = ", ".join(left) or "nothing else that is to be seen"
        return f". In its network {vpc} is still {seen}. Delete that, then run {command} again"

    def _security_configurations(self) -> list[str]:
        """Names of the stack's security configurations."""
        pages = client("emr").get_paginator("list_security_configurations").paginate()
        names = [each["Name"] for page in pages for each in page["SecurityConfigurations"]]
        # Not those of a stack whose name begins with this one's.
        pattern = re.escape(self.stack.name) + "-[0-9a-f]{12}"
        return [name for name in names if re.fullmatch(pattern, name)]

    def _delete_security_configurations(self) -> Iterator[str]:
        for name in self._security_configurations():
            client("emr").delete_security_configuration(Name=name)
            yield f"security configuration {name} is deleted"


def _wait(look: Callable[[], str], minutes: int) -> Iterator[str]:
    """Wait until nothing is seen any more; yields what is seen, when it changes and each minute.

    Raises:
        StackError: it is still seen after so many minutes.
    """
    begun = told_at = time.monotonic()
    told, pause = "", 1.0
    while seen := look():
        now = time.monotonic()
        if now - begun > minutes * 60:
            raise StackError(f"{seen} for more than {minutes} minutes; run the command again later")
        if seen != told or now - told_at >= REPORT_SECONDS:
            yield seen
            told, told_at = seen, now
        time.sleep(pause)
        pause = min(2 * pause, POLL_SECONDS)


def _state(cloudformation: Any, id: str) -> str:
    """The state of a stack by its id, by which a deleted one is known, too."""
    try:
        return str(cloudformation.describe_stacks(StackName=id)["Stacks"][0]["StackStatus"])
    except ClientError as error:
        if is_missing_stack(error):
            return "DELETE_COMPLETE"
        raise


def _groups_of(endpoint: Mapping[str, Any]) -> set[str]:
    """Ids of an endpoint's security groups."""
    return {each["GroupId"] for each in endpoint.get("Groups", [])}


@contextmanager
def _unless_gone() -> Iterator[None]:
    """Pass over what is gone already."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in GONE:
            raise


def _has_bucket(name: str) -> bool:
    with _unless_gone():
        client("s3").head_bucket(Bucket=name)
        return True
    return False


def _has_table(name: str) -> bool:
    with _unless_gone():
        client("dynamodb").describe_table(TableName=name)
        return True
    return False


def _delete_bucket(name: str) -> Iterator[str]:
    """Delete a bucket with every version, delete marker and unfinished upload.

    Raises:
        StackError: something in it does not go, or more and more comes into it.
    """
    s3 = client("s3")
    if not _has_bucket(name):
        yield f"bucket {name} is gone already"
        return
    for _ in range(MAX_EMPTYINGS):
        yield from _empty(s3, name)
        try:
            s3.delete_bucket(Bucket=name)
        except ClientError as error:
            if error.response["Error"]["Code"] != "BucketNotEmpty":
                raise
            yield f"bucket {name} has got something new in the meantime"
            time.sleep(POLL_SECONDS)
            continue
        yield f"bucket {name} is deleted"
        return
    raise StackError(f"bucket {name} is being written to: run the command again later")


def _empty(s3: Any, bucket: str) -> Iterator[str]:
    """Delete all that is in a bucket; tells how much, a thousand at a time."""
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for each in page.get("Uploads", []):
            with _unless_gone():
                s3.abort_multipart_upload(Bucket=bucket, Key=each["Key"], UploadId=each["UploadId"])
    deleted = 0
    while True:
        page = s3.list_object_versions(Bucket=bucket)  # the first, for what it told last is gone
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if not found:
            return
        doomed = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": doomed, "Quiet": True})
        if errors := answer.get("Errors"):
            raise StackError(
                f"{len(errors)} files of bucket {bucket} are not deleted, the first, "
                f"{errors[0]['Key']}: {errors[0].get('Message', errors[0].get('Code'))}"
            )
        deleted += len(doomed)
        yield f"bucket {bucket}: {deleted:,} versions of files deleted"


def _delete_table(name: str) -> Iterator[str]:
    with _unless_gone():
        client("dynamodb").delete_table(TableName=name)
        yield f"table {name} is deleted"
        return
    yield f"table {name} is gone already"
