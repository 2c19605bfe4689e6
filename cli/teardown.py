"""Deletes a stack and everything else of it that costs money, in whatever state the stack is.

Every step skips what is already gone, so an interrupted teardown can be run again to finish it.
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
KEPT = (BUCKETS, TABLES)  # retained by the template
ALIVE = ("STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING", "TERMINATING")
# AWS sometimes throttles an hour of polling. Ten attempts last about a minute.
MANY_RETRIES = Config(retries={"mode": "standard", "total_max_attempts": 10})
POLL_SECONDS, REPORT_SECONDS = 10, 60
CLUSTER_MINUTES, ENDPOINT_MINUTES, STACK_MINUTES = 30, 15, 60
MAX_EMPTYINGS = 5  # of a bucket; the last logs of a cluster may arrive in between
GONE = {"NoSuchBucket", "404", "NoSuchUpload", "ResourceNotFoundException"}
GONE |= {"InvalidGroup.NotFound", "InvalidPermission.NotFound", "InvalidVpcEndpointId.NotFound"}


def client(service: str) -> Any:
    """Return a client that retries through throttling."""
    make: Any = boto3.client
    return make(service, config=MANY_RETRIES)


@dataclass(frozen=True)
class Teardown:
    """Everything that can be deleted of one stack.

    Attributes:
        stack: the stack's resources; empty if it is already deleted.
        id: the stack's id; None if it is already deleted.
        buckets: names of the buckets that outlive the stack.
        tables: names of the tables that outlive the stack.
    """

    stack: Stack
    id: str | None
    buckets: tuple[str, ...]
    tables: tuple[str, ...]

    @classmethod
    def find(cls, name: str) -> "Teardown":
        """Find a stack, or the remains of deleted stacks, by name.

        Raises:
            StackError: there is neither.
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
        """Find the remains of deleted stacks; CloudFormation remembers them for 90 days."""
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
                f"there is no stack {name}, and no stack of that name deleted in the last 90 days "
                "has left anything"
            )
        return found

    @property
    def kept(self) -> tuple[str, ...]:
        """The names of the buckets and tables that outlive the stack."""
        return self.buckets + self.tables

    def summary(self, with_data: bool) -> str:
        """Describe what `run` would delete."""
        stack = "" if self.id else " (already deleted)"
        data = "and all its data sets, results and runs" if with_data else "but keep its data"
        return f"stack {self.stack.name}{stack} {data}"

    def run(self, with_data: bool) -> Iterator[str]:
        """Delete everything that costs money.

        Args:
            with_data: also delete the buckets and the runs table with their contents.

        Yields:
            The progress, for the operator.

        Raises:
            StackError: something cannot be deleted; the message says what, and what to do.
        """
        yield from self._terminate_clusters()
        if self.id:
            yield from self._empty_network()
            yield from self._delete_stack(self.id)
            # A launch may have been in progress before. From here on there is no launcher.
            yield from self._terminate_clusters()
        yield from self._delete_security_configurations()
        if not with_data:
            if self.kept:
                command = f"make destroy STACK={self.stack.name} DATA=delete"
                yield f"kept with their data: {', '.join(self.kept)}; `{command}` deletes them"
            return
        for bucket in self.buckets:
            yield from _delete_bucket(bucket)
        for table in self.tables:
            yield from _delete_table(table)

    def _clusters(self) -> list[str]:
        """Return the ids of the stack's clusters that have not terminated."""
        emr = client("emr")
        tag = {"Key": "similar-titles:stack", "Value": self.stack.name}
        pages = emr.get_paginator("list_clusters").paginate(ClusterStates=ALIVE)
        return [
            each["Id"]
            for page in pages
            for each in page["Clusters"]
            if tag in emr.describe_cluster(ClusterId=each["Id"])["Cluster"].get("Tags", [])
        ]

    def _terminate_clusters(self) -> Iterator[str]:
        """Terminate the stack's clusters, which would keep the network from being deleted."""
        emr, clusters = client("emr"), self._clusters()
        for id in clusters:
            emr.terminate_job_flows(JobFlowIds=[id])

        # boto3's waiter treats TERMINATED_WITH_ERRORS as a failure.
        def alive() -> str:
            states = {
                id: emr.describe_cluster(ClusterId=id)["Cluster"]["Status"]["State"]
                for id in clusters
            }
            left = (f"{id} is {state}" for id, state in states.items() if state not in ENDED)
            return ", ".join(f"cluster {each}" for each in left)

        yield from _wait(alive, CLUSTER_MINUTES)
        yield from (f"cluster {id} is terminated" for id in clusters)

    def _empty_network(self) -> Iterator[str]:
        """Remove from the network what CloudFormation did not create and cannot delete."""
        yield from self._delete_endpoints()
        yield from self._unlink_groups()

    def _endpoints(self) -> list[Mapping[str, Any]]:
        """Return the endpoints in the stack's own network or with one of its security groups."""
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
        """Return the ids of the stack's security groups."""
        resources = self.stack.resources
        return {resources[name] for name in GROUPS if name in resources}

    def _delete_endpoints(self) -> Iterator[str]:
        """Delete the endpoints that EMR created, and wait until they are gone."""
        ec2, doomed = client("ec2"), []
        own = {each["VpcEndpointId"] for each in self.stack.endpoints()}
        for each in self._endpoints():
            id, ours = each["VpcEndpointId"], sorted(_groups_of(each) & self._groups())
            if id not in own and len(ours) < len(_groups_of(each)):
                ec2.modify_vpc_endpoint(VpcEndpointId=id, RemoveSecurityGroupIds=ours)
                yield f"removed {', '.join(ours)} from endpoint {id} of your network"
                continue
            refused = ec2.delete_vpc_endpoints(VpcEndpointIds=[id]).get("Unsuccessful", [])
            if refused and refused[0]["Error"]["Code"] not in GONE:
                # Deleting the stack may still succeed. If not, its error has the details.
                yield f"endpoint {id} was not deleted: {refused[0]['Error']['Message']}"
            else:
                doomed.append(id)

        def left() -> str:
            there = {each["VpcEndpointId"]: each["State"] for each in self._endpoints()}
            return ", ".join(
                f"endpoint {id} is {there[id].lower()}" for id in doomed if id in there
            )

        yield from _wait(left, ENDPOINT_MINUTES)
        yield from (f"endpoint {id} is deleted" for id in doomed)

    def _unlink_groups(self) -> Iterator[str]:
        """Remove EMR's rules from the groups: groups that refer to each other cannot be deleted."""
        ec2, ids = client("ec2"), self._groups()
        if not ids:
            return
        # By filter, because a missing group is an error by id.
        by_id = [{"Name": "group-id", "Values": sorted(ids)}]
        for group in ec2.describe_security_groups(Filters=by_id)["SecurityGroups"]:
            if group["GroupId"] not in ids:
                continue  # the local cloud's EC2 ignores the filter
            for revoke, name in (
                (ec2.revoke_security_group_ingress, "IpPermissions"),
                (ec2.revoke_security_group_egress, "IpPermissionsEgress"),
            ):
                if rules := [rule for rule in group.get(name, []) if rule.get("UserIdGroupPairs")]:
                    with _unless_gone():
                        revoke(GroupId=group["GroupId"], IpPermissions=rules)
            yield f"security group {group['GroupId']} has no references"

    def _delete_stack(self, id: str) -> Iterator[str]:
        """Delete the stack; retry once after a failure in the network, which may just be slow.

        Raises:
            StackError: the stack was not deleted.
        """
        cloudformation, may_retry = client("cloudformation"), True
        while True:
            cloudformation.delete_stack(StackName=id)
            time.sleep(POLL_SECONDS / 5)  # until the state is not an earlier deletion's

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
            message = f"stack {self.stack.name} was not deleted: {reasons or 'see its events'}"
            in_network = any(each["ResourceType"].startswith("AWS::EC2::") for each in failed)
            if not (may_retry and in_network):
                raise StackError(message + self._help(in_network))
            may_retry = False
            yield f"{message}; retrying"
            yield from self._terminate_clusters()
            yield from self._empty_network()

    def _help(self, in_network: bool) -> str:
        """Say what to do after a failure, and list what is left in the stack's own network."""
        command = f"`make destroy STACK={self.stack.name}`"
        vpc = self.stack.resources.get("ClusterVpc")
        if not in_network or not vpc:
            return f". Resolve these reasons, then run {command} again"
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
        found = ", ".join(left) or "nothing visible"
        return f". Left in its network {vpc}: {found}. Delete that, then run {command} again"

    def _security_configurations(self) -> list[str]:
        """Return the names of the stack's security configurations."""
        pages = client("emr").get_paginator("list_security_configurations").paginate()
        names = [each["Name"] for page in pages for each in page["SecurityConfigurations"]]
        # Exclude those of other stacks whose names begin with this one's.
        pattern = re.escape(self.stack.name) + "-[0-9a-f]{12}"
        return [name for name in names if re.fullmatch(pattern, name)]

    def _delete_security_configurations(self) -> Iterator[str]:
        for name in self._security_configurations():
            client("emr").delete_security_configuration(Name=name)
            yield f"security configuration {name} is deleted"


def _wait(remaining: Callable[[], str], minutes: int) -> Iterator[str]:
    """Wait until nothing remains.

    Args:
        remaining: describes what remains; empty if nothing does.
        minutes: the limit.

    Yields:
        What remains, when it changes and every minute.

    Raises:
        StackError: something remains after the limit.
    """
    begun = reported_at = time.monotonic()
    reported, pause = "", 1.0
    while left := remaining():
        now = time.monotonic()
        if now - begun > minutes * 60:
            raise StackError(f"{left} for more than {minutes} minutes; run the command again later")
        if left != reported or now - reported_at >= REPORT_SECONDS:
            yield left
            reported, reported_at = left, now
        time.sleep(pause)
        pause = min(2 * pause, POLL_SECONDS)


def _state(cloudformation: Any, id: str) -> str:
    """Return the state of a stack by its id, which CloudFormation knows even after deletion."""
    try:
        return str(cloudformation.describe_stacks(StackName=id)["Stacks"][0]["StackStatus"])
    except ClientError as error:
        if is_missing_stack(error):
            return "DELETE_COMPLETE"
        raise


def _groups_of(endpoint: Mapping[str, Any]) -> set[str]:
    """Return the ids of an endpoint's security groups."""
    return {each["GroupId"] for each in endpoint.get("Groups", [])}


@contextmanager
def _unless_gone() -> Iterator[None]:
    """Ignore the errors for things that are already gone."""
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
    """Delete a bucket with all versions, delete markers and unfinished uploads.

    Raises:
        StackError: an object cannot be deleted, or new objects keep arriving.
    """
    s3 = client("s3")
    if not _has_bucket(name):
        yield f"bucket {name} is already gone"
        return
    for _ in range(MAX_EMPTYINGS):
        yield from _empty(s3, name)
        try:
            s3.delete_bucket(Bucket=name)
        except ClientError as error:
            if error.response["Error"]["Code"] != "BucketNotEmpty":
                raise
            yield f"bucket {name} received new objects in the meantime"
            time.sleep(POLL_SECONDS)
            continue
        yield f"bucket {name} is deleted"
        return
    raise StackError(f"bucket {name} keeps receiving objects: run the command again later")


def _empty(s3: Any, bucket: str) -> Iterator[str]:
    """Delete everything in a bucket, a thousand objects at a time, and yield the progress."""
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for each in page.get("Uploads", []):
            with _unless_gone():
                s3.abort_multipart_upload(Bucket=bucket, Key=each["Key"], UploadId=each["UploadId"])
    deleted = 0
    while True:
        page = s3.list_object_versions(Bucket=bucket)  # the first page: earlier ones are deleted
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if not found:
            return
        doomed = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": doomed, "Quiet": True})
        if errors := answer.get("Errors"):
            raise StackError(
                f"{len(errors)} objects of bucket {bucket} were not deleted; the first, "
                f"{errors[0]['Key']}: {errors[0].get('Message', errors[0].get('Code'))}"
            )
        deleted += len(doomed)
        yield f"bucket {bucket}: {deleted:,} object versions deleted"


def _delete_table(name: str) -> Iterator[str]:
    with _unless_gone():
        client("dynamodb").delete_table(TableName=name)
        yield f"table {name} is deleted"
        return
    yield f"table {name} is already gone"
