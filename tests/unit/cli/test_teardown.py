"""A stack is deleted with everything that costs money, in whatever state it is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.session import get_session
from botocore.validate import validate_parameters
from click.testing import CliRunner
from moto import mock_aws
from moto.ec2.models.vpcs import VPCBackend
from moto.emr.models import Cluster

from cli import teardown
from cli.commands import cli
from cli.stack import StackError
from cli.teardown import Teardown
from tests.conftest import Observed
from tests.drills.faults import Weather, weather

OURS, THEIRS = "films-0123456789ab", "films-2-0123456789ab"
STACK_ID = "arn:aws:cloudformation:eu-central-1:123456789012:stack/films/5f2a9c01"
TYPES = {
    "DatasetsBucket": "AWS::S3::Bucket",
    "ResultsBucket": "AWS::S3::Bucket",
    "RunsTable": "AWS::DynamoDB::Table",
    "PrimaryGroup": "AWS::EC2::SecurityGroup",
    "CoreGroup": "AWS::EC2::SecurityGroup",
    "ClusterVpc": "AWS::EC2::VPC",
    "S3Endpoint": "AWS::EC2::VPCEndpoint",
    "ControlFunction": "AWS::Lambda::Function",
}
RETAINED = ("DatasetsBucket", "ResultsBucket", "RunsTable")
MODEL = get_session().get_service_model("cloudformation")
NOT_THERE = "DELETE_COMPLETE"


@dataclass
class Clock:
    """A clock that advances at once."""

    now: float = 0.0
    due: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        assert self.now < 24 * 3600, "the wait never ends"
        for each in [each for each in self.due if each[0] <= self.now]:
            self.due.remove(each)
            each[1]()

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        self.due.append((self.now + seconds, what))


shared_client: Any = cache(boto3.client)  # that of EC2 takes a tenth of a second to make


class CloudFormation:
    """A fake CloudFormation with one stack; botocore's model validates its answers.

    Like AWS it cannot delete a group that another group refers to, or a network in use.

    Attributes:
        resources: physical ids by logical id; "" for a resource that never existed.
        states: the state of each resource.
        status: the state of the stack; after DELETE_COMPLETE no stack has its name.
        stubborn: reasons why a resource can never be deleted, by logical id.
        reasons: reasons why resources were not deleted last time.
        deletions: number of requests to delete the stack.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock, self.status, self.deletions = clock, "CREATE_COMPLETE", 0
        self.stubborn: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        self.resources: dict[str, str] = {"ControlFunction": "films-Control"}
        s3, ec2 = shared_client("s3"), shared_client("ec2")
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
        self.resources["ClusterVpc"] = vpc = ec2.create_vpc(CidrBlock="10.9.0.0/24")["Vpc"]["VpcId"]
        for name in ("PrimaryGroup", "CoreGroup"):
            self.resources[name] = ec2.create_security_group(
                GroupName=f"films-{name}", Description=name, VpcId=vpc
            )["GroupId"]
        self.resources["S3Endpoint"] = endpoint(vpc, "s3")
        self.states = dict.fromkeys(self.resources, "CREATE_COMPLETE")

    def described(self, operation: str, answer: dict[str, Any]) -> dict[str, Any]:
        """Return an answer after validating it with the service's model."""
        validate_parameters(answer, MODEL.operation_model(operation).output_shape)
        return answer

    def _known(self, name: str) -> None:
        if name != STACK_ID and (name != "films" or self.status == "DELETE_COMPLETE"):
            error = {"Code": "ValidationError", "Message": f"Stack with id {name} does not exist"}
            raise ClientError({"Error": error}, "DescribeStacks")

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        self._known(StackName)
        stack = {
            "StackName": "films",
            "StackId": STACK_ID,
            "StackStatus": self.status,
            "CreationTime": "2026-11-26T12:00:00Z",
        }
        return self.described("DescribeStacks", {"Stacks": [stack]})

    def get_paginator(self, name: str) -> Any:
        pages = {"list_stack_resources": self._resources, "list_stacks": self._stacks}
        return type("Pages", (), {"paginate": staticmethod(pages[name])})

    def _resources(self, StackName: str) -> list[dict[str, Any]]:  # noqa: N803
        self._known(StackName)
        listed = [
            {
                "LogicalResourceId": name,
                "ResourceType": TYPES[name],
                "LastUpdatedTimestamp": "2026-11-26T12:00:00Z",
                "ResourceStatus": self.states[name],
            }
            | ({"PhysicalResourceId": id} if id else {})
            | ({"ResourceStatusReason": self.reasons[name]} if name in self.reasons else {})
            for name, id in self.resources.items()
        ]
        return [self.described("ListStackResources", {"StackResourceSummaries": listed})]

    def _stacks(self, StackStatusFilter: list[str]) -> list[dict[str, Any]]:  # noqa: N803
        assert StackStatusFilter == ["DELETE_COMPLETE"]
        listed = [
            {
                "StackName": name,
                "StackId": id,
                "StackStatus": "DELETE_COMPLETE",
                "CreationTime": "2026-11-26T12:00:00Z",
            }
            for name, id in (("films", STACK_ID), ("films-2", "arn:of:another"))
            if name != "films" or self.status == "DELETE_COMPLETE"
        ]
        return [self.described("ListStacks", {"StackSummaries": listed})]

    def delete_stack(self, StackName: str) -> None:  # noqa: N803
        assert StackName == STACK_ID
        self.deletions += 1
        self.status = "DELETE_IN_PROGRESS"
        self.clock.after(90, self._delete)

    def _delete(self) -> None:
        self.reasons = dict(self.stubborn)
        for name, id in self.resources.items():
            if self.states[name] == NOT_THERE or name in self.stubborn:
                continue
            self.states[name] = "DELETE_SKIPPED" if name in RETAINED and id else NOT_THERE
        ec2, deleted = boto3.client("ec2"), self.states
        vpc = self.resources.get("ClusterVpc", "")
        if deleted.get("S3Endpoint") == NOT_THERE and self.resources["S3Endpoint"]:
            ec2.delete_vpc_endpoints(VpcEndpointIds=[self.resources["S3Endpoint"]])
        for name in ("PrimaryGroup", "CoreGroup"):
            id = self.resources.get(name, "")
            if deleted.get(name) == NOT_THERE and id in groups():
                if id in in_use():
                    self.reasons[name] = f"resource {id} has a dependent object"
                else:
                    ec2.delete_security_group(GroupId=id)
        if deleted.get("ClusterVpc") == NOT_THERE and vpc in networks():
            if endpoints(vpc) or groups(vpc):
                self.reasons["ClusterVpc"] = f"The vpc '{vpc}' has dependencies"
            else:
                ec2.delete_vpc(VpcId=vpc)
        self.states |= dict.fromkeys(self.reasons, "DELETE_FAILED")
        self.status = "DELETE_FAILED" if self.reasons else "DELETE_COMPLETE"


def endpoint(vpc: str, service: str, groups: tuple[str, ...] = ()) -> str:
    """Create a VPC endpoint and return its id."""
    of_groups = {"SecurityGroupIds": list(groups)} if groups else {}
    made = boto3.client("ec2").create_vpc_endpoint(
        VpcId=vpc,
        ServiceName=f"com.amazonaws.eu-central-1.{service}",
        VpcEndpointType="Gateway" if service == "s3" else "Interface",
        **of_groups,
    )
    return made["VpcEndpoint"]["VpcEndpointId"]


def endpoints(vpc: str) -> set[str]:
    """Return the ids of the endpoints that keep a network from being deleted."""
    listed = boto3.client("ec2").describe_vpc_endpoints()["VpcEndpoints"]
    return {
        each["VpcEndpointId"]
        for each in listed
        if each["VpcId"] == vpc and each["State"].lower() != "deleted"
    }


def groups(vpc: str = "") -> set[str]:
    """Return the ids of all security groups except the default ones of networks."""
    listed = boto3.client("ec2").describe_security_groups()["SecurityGroups"]
    return {
        each["GroupId"]
        for each in listed
        if each["GroupName"] != "default" and (not vpc or each["VpcId"] == vpc)
    }


def in_use() -> set[str]:
    """Return the ids of the groups that another group or an endpoint refers to."""
    ec2 = boto3.client("ec2")
    named = {
        pair["GroupId"]
        for each in ec2.describe_security_groups()["SecurityGroups"]
        for rule in each["IpPermissions"]
        for pair in rule.get("UserIdGroupPairs", [])
        if pair["GroupId"] != each["GroupId"]
    }
    for each in ec2.describe_vpc_endpoints()["VpcEndpoints"]:
        if each["State"].lower() != "deleted":
            named |= {group["GroupId"] for group in each.get("Groups", [])}
    return named


def networks() -> set[str]:
    return {each["VpcId"] for each in boto3.client("ec2").describe_vpcs()["Vpcs"]}


def buckets() -> list[str]:
    return [each["Name"] for each in boto3.client("s3").list_buckets()["Buckets"]]


def tables() -> list[str]:
    return boto3.client("dynamodb").list_tables()["TableNames"]


def clusters() -> dict[str, str]:
    """Return the state of each cluster, by name."""
    listed = boto3.client("emr").list_clusters()["Clusters"]
    return {each["Name"]: each["Status"]["State"] for each in listed}


def launch(stack: str, number: int) -> str:
    """Launch a cluster of a stack and return its id."""
    answer = boto3.client("emr").run_job_flow(
        Name=f"{stack}-{number}",
        Instances={
            "KeepJobFlowAliveWhenNoSteps": True,
            "MasterInstanceType": "m5.xlarge",
            "InstanceCount": 1,
        },
        Tags=[{"Key": "similar-titles:stack", "Value": stack}],
        JobFlowRole="r",
        ServiceRole="r",
    )
    return answer["JobFlowId"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(teardown, "time", made)
    return made


@pytest.fixture
def films(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Iterator[CloudFormation]:
    """An account with the stack `films`, used by EMR, and the similarly named `films-2`.

    The groups refer to each other, EMR has created an endpoint, and both stacks have a cluster.
    """
    with mock_aws():
        made, emr = CloudFormation(clock), boto3.client("emr")
        configurations = {OURS, THEIRS}
        listed = lambda **_: {"SecurityConfigurations": [{"Name": n} for n in configurations]}  # noqa: E731
        emr.list_security_configurations = listed  # moto has no such action
        emr.delete_security_configuration = lambda Name: configurations.remove(Name)  # noqa: N803
        made.configurations = configurations
        known = {"cloudformation": made, "emr": emr}
        monkeypatch.setattr(
            boto3, "client", lambda name, **_: known.get(name) or shared_client(name)
        )
        pair = [made.resources[name] for name in ("PrimaryGroup", "CoreGroup")]
        for one, other in (pair, pair[::-1]):
            name_each_other(one, other)
        made.emr_endpoint = endpoint(made.resources["ClusterVpc"], "emr-service-cell01")
        launch("films", 1)
        launch("films-2", 1)
        yield made


def name_each_other(one: str, other: str) -> None:
    rule = {"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535}
    boto3.client("ec2").authorize_security_group_ingress(
        GroupId=one, IpPermissions=[rule | {"UserIdGroupPairs": [{"GroupId": other}]}]
    )


def nothing_is_left(films: CloudFormation) -> None:
    """Check that the stack is gone and the other one is untouched."""
    assert films.status == "DELETE_COMPLETE"
    assert buckets() == []
    assert tables() == []
    assert groups() == set()
    assert films.resources.get("ClusterVpc") not in networks()
    assert films.configurations == {THEIRS}
    states = clusters()
    assert states["films-1"] in {"TERMINATED", "TERMINATED_WITH_ERRORS"}
    assert states["films-2-1"] in {"STARTING", "WAITING", "RUNNING"}


def test_a_destroyed_stack_leaves_no_cluster_no_network_and_keeps_its_data(
    films: CloudFormation,
) -> None:
    boto3.client("s3").put_object(Bucket=buckets()[0], Key="ml/ratings.dat", Body=b"1")
    printed = list(Teardown.find("films").run(with_data=False))
    assert clusters()["films-1"] == "TERMINATED"
    assert clusters()["films-2-1"] != "TERMINATED"
    assert groups() == set()
    assert films.resources["ClusterVpc"] not in networks()
    assert films.configurations == {THEIRS}
    assert len(buckets()) == 2
    assert tables() == ["films-runs"]
    assert "make destroy STACK=films DATA=delete" in printed[-1]


def test_a_stack_that_is_destroyed_with_its_data_leaves_nothing(films: CloudFormation) -> None:
    list(Teardown.find("films").run(with_data=True))
    nothing_is_left(films)
    with pytest.raises(StackError, match="has left anything"):
        Teardown.find("films")


def test_versions_delete_markers_and_unfinished_uploads_are_all_deleted(
    films: CloudFormation,
) -> None:
    s3, bucket = boto3.client("s3"), films.resources["ResultsBucket"]
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for number in range(1001):  # more than one request can delete
        s3.put_object(Bucket=bucket, Key=f"runs/{number}", Body=b"1")
    s3.put_object(Bucket=bucket, Key="runs/0", Body=b"2")
    s3.delete_object(Bucket=bucket, Key="runs/0")
    s3.create_multipart_upload(Bucket=bucket, Key="runs/unfinished")
    printed = list(teardown._empty(s3, bucket))
    assert printed[-1] == f"bucket {bucket}: 1,003 object versions deleted"
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    s3.delete_bucket(Bucket=bucket)  # S3 refuses if anything is left


def test_an_object_that_cannot_be_deleted_is_named(
    films: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3, bucket = boto3.client("s3"), films.resources["DatasetsBucket"]
    s3.put_object(Bucket=bucket, Key="locked", Body=b"1")
    error = {"Key": "locked", "Code": "AccessDenied", "Message": "Access Denied"}
    answers = iter([{"Errors": [error]}])
    monkeypatch.setattr(s3, "delete_objects", lambda **_: next(answers))
    with pytest.raises(StackError, match=f"1 objects of bucket {bucket}.*locked: Access Denied"):
        list(teardown._empty(s3, bucket))


@pytest.mark.drill(
    "Removal",
    injected="a log arrives after the bucket was emptied",
    promised="the bucket is emptied again",
)
def test_logs_that_arrive_while_their_bucket_is_emptied_are_deleted(
    films: CloudFormation, monkeypatch: pytest.MonkeyPatch, clock: Clock, observed: Observed
) -> None:
    bucket, emptied = films.resources["ResultsBucket"], teardown._empty

    def late(s3: Any, name: str) -> Iterator[str]:
        yield from emptied(s3, name)
        if name == bucket and not clock.due and clock.now < 600:
            s3.put_object(Bucket=name, Key="logs/late.gz", Body=b"1")
            clock.now = 600

    monkeypatch.setattr(teardown, "_empty", late)
    printed = list(Teardown.find("films").run(with_data=True))
    assert f"bucket {bucket} received new objects in the meantime" in printed
    nothing_is_left(films)
    observed(1, "nothing was left")


@pytest.mark.drill(
    "Removal",
    injected="the cluster takes minutes to end as TERMINATED_WITH_ERRORS",
    promised="the stack is deleted nevertheless",
)
def test_a_cluster_that_terminates_with_errors_has_terminated(
    films: CloudFormation, monkeypatch: pytest.MonkeyPatch, clock: Clock, observed: Observed
) -> None:
    def terminate(self: Any) -> None:
        self.state = "TERMINATING"
        clock.after(200, lambda: setattr(self, "state", "TERMINATED_WITH_ERRORS"))

    monkeypatch.setattr(Cluster, "terminate", terminate)
    printed = list(Teardown.find("films").run(with_data=True))
    assert len([line for line in printed if line.endswith("is TERMINATING")]) > 1
    nothing_is_left(films)
    observed(1, "nothing was left; the progress was printed every minute")


def test_the_wait_for_a_cluster_has_a_limit(
    films: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def terminate(self: Any) -> None:
        self.state = "TERMINATING"

    monkeypatch.setattr(Cluster, "terminate", terminate)
    with pytest.raises(StackError, match="is TERMINATING for more than 30 minutes"):
        list(Teardown.find("films").run(with_data=True))
    assert films.deletions == 0
    assert len(buckets()) == 2


@pytest.mark.drill(
    "Removal",
    injected="a cluster is launched while the stack is being deleted",
    promised="it is terminated, too",
)
def test_a_cluster_launched_meanwhile_is_terminated(
    films: CloudFormation, clock: Clock, observed: Observed
) -> None:
    clock.after(60, lambda: launch("films", 2) and None)
    list(Teardown.find("films").run(with_data=True))
    assert clusters()["films-2"] == "TERMINATED"
    nothing_is_left(films)
    observed(1, "nothing was left")


@pytest.mark.drill(
    "Removal",
    injected="EMR throttles three of five requests",
    promised="the stack is deleted nevertheless",
)
def test_throttling_does_not_stop_the_teardown(films: CloudFormation, observed: Observed) -> None:
    patient = boto3.session.Session().client("emr", config=teardown.MANY_RETRIES)
    tries = patient.meta.config.retries["total_max_attempts"]
    storm = Weather({"emr": ["throttled"]}, share=0.6)
    real = boto3.client

    with weather(storm), pytest.MonkeyPatch.context() as patch:
        patched = real("emr")
        patient.list_security_configurations = patched.list_security_configurations
        patient.delete_security_configuration = patched.delete_security_configuration
        patch.setattr(boto3, "client", lambda name, **_: patient if name == "emr" else real(name))
        list(Teardown.find("films").run(with_data=True))
    assert storm.hit > 0
    assert max(storm.most.values()) <= tries
    nothing_is_left(films)
    observed(storm.hit, "nothing was left")


@pytest.mark.drill(
    "Removal",
    injected="the deletion of EMR's endpoint takes four minutes",
    promised="the stack is deleted after the endpoint is gone",
)
def test_the_network_is_deleted_only_when_its_endpoints_are_gone(
    films: CloudFormation, monkeypatch: pytest.MonkeyPatch, clock: Clock, observed: Observed
) -> None:
    slowly(monkeypatch, clock, films.emr_endpoint, 240)
    printed = list(Teardown.find("films").run(with_data=True))
    assert f"endpoint {films.emr_endpoint} is deleting" in printed
    assert films.deletions == 1
    nothing_is_left(films)
    observed(1, "one deletion of the stack went through")


def slowly(monkeypatch: pytest.MonkeyPatch, clock: Clock, slow: str, seconds: float) -> None:
    """Make the deletion of an endpoint take time, as on AWS; meanwhile it is `deleting`."""
    at_once = VPCBackend.delete_vpc_endpoints

    def delete(self: Any, vpce_ids: list[str]) -> None:
        for id in vpce_ids:
            if id == slow:
                self.vpc_end_points[id].state = "deleting"
                clock.after(seconds, lambda id=id: at_once(self, [id]))
            else:
                at_once(self, [id])

    monkeypatch.setattr(VPCBackend, "delete_vpc_endpoints", delete)


def test_an_endpoint_that_cannot_be_deleted_stops_the_teardown(
    films: CloudFormation, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    slowly(monkeypatch, clock, films.emr_endpoint, float("inf"))
    with pytest.raises(StackError, match=f"{films.emr_endpoint} is deleting for more than 15 min"):
        list(Teardown.find("films").run(with_data=True))
    assert films.deletions == 0


def test_in_an_existing_network_only_endpoints_with_the_stacks_groups_are_touched(
    films: CloudFormation,
) -> None:
    vpc = films.resources.pop("ClusterVpc")  # it is not the stack's
    del films.resources["S3Endpoint"]
    ec2, core = boto3.client("ec2"), films.resources["CoreGroup"]
    own = ec2.create_security_group(GroupName="own", Description="own", VpcId=vpc)["GroupId"]
    for_stack = endpoint(vpc, "emr-service-cell01", (core,))
    shared = endpoint(vpc, "emr-service-cell01", (own, core))
    others = endpoint(vpc, "kms", (own,))
    list(Teardown.find("films").run(with_data=True))
    assert for_stack not in endpoints(vpc)
    assert {shared, others, films.emr_endpoint} <= endpoints(vpc)
    assert groups() == {own}
    assert films.status == "DELETE_COMPLETE"


def half_made(films: CloudFormation, status: str, **states: str) -> None:
    """Remove some of the stack's resources.

    Args:
        films: the stack.
        status: the new state of the stack.
        states: new states of resources, by logical id; `NEVER` for one without a physical id.
    """
    films.status = status
    ec2, there = boto3.client("ec2"), films.resources
    for name, state in states.items():
        films.states[name] = "CREATE_FAILED" if state == "NEVER" else state
    gone = {name for name, state in films.states.items() if state in {NOT_THERE, "CREATE_FAILED"}}
    if "CoreGroup" in gone or "PrimaryGroup" in gone or "ClusterVpc" in gone:
        for id in groups():
            for rule in ec2.describe_security_groups(GroupIds=[id])["SecurityGroups"]:
                if rule["IpPermissions"]:
                    ec2.revoke_security_group_ingress(
                        GroupId=id, IpPermissions=rule["IpPermissions"]
                    )
    for name in gone & {"CoreGroup", "PrimaryGroup"}:
        ec2.delete_security_group(GroupId=there[name])
    for name in gone & {"DatasetsBucket", "ResultsBucket"}:
        boto3.client("s3").delete_bucket(Bucket=there[name])
    if "RunsTable" in gone:
        boto3.client("dynamodb").delete_table(TableName=there["RunsTable"])
    if "ClusterVpc" in gone:
        for id in endpoints(there["ClusterVpc"]):
            ec2.delete_vpc_endpoints(VpcEndpointIds=[id])
        ec2.delete_vpc(VpcId=there["ClusterVpc"])
    for name in states:
        if states[name] == "NEVER":
            there[name] = ""


ALL = dict.fromkeys(TYPES, NOT_THERE)
HALF_MADE: dict[str, tuple[str, dict[str, str]]] = {
    "its change set was never carried out": ("REVIEW_IN_PROGRESS", dict.fromkeys(TYPES, "NEVER")),
    "it is still being made": (
        "CREATE_IN_PROGRESS",
        {"RunsTable": "NEVER", "ControlFunction": "NEVER", "CoreGroup": "CREATE_IN_PROGRESS"},
    ),
    "a bucket could not be made and nothing was rolled back": (
        "CREATE_FAILED",
        {"ResultsBucket": "NEVER", "RunsTable": "NEVER", "ControlFunction": "NEVER"},
    ),
    "its first deploy failed and all went": ("ROLLBACK_COMPLETE", ALL),
    "its first deploy failed and buckets and table were kept": (
        "ROLLBACK_COMPLETE",
        ALL | dict.fromkeys(RETAINED, "DELETE_SKIPPED"),
    ),
    "its first deploy failed and so did rolling it back": (
        "ROLLBACK_FAILED",
        {"ControlFunction": NOT_THERE, "S3Endpoint": NOT_THERE, "ClusterVpc": "DELETE_FAILED"},
    ),
    "an update failed": ("UPDATE_ROLLBACK_FAILED", {"ControlFunction": "UPDATE_FAILED"}),
    "an earlier deletion took its groups and not its network": (
        "DELETE_FAILED",
        {
            "CoreGroup": NOT_THERE,
            "PrimaryGroup": NOT_THERE,
            "ClusterVpc": "DELETE_FAILED",
            **dict.fromkeys(RETAINED, "DELETE_SKIPPED"),
        },
    ),
    "somebody is deleting it": ("DELETE_IN_PROGRESS", {"ControlFunction": "DELETE_IN_PROGRESS"}),
}


@pytest.mark.drill(
    "Removal",
    injected="nine kinds of stacks whose creation or deletion did not finish",
    promised="nothing is left",
)
@pytest.mark.parametrize("how", HALF_MADE)
def test_nothing_is_left_of_an_incomplete_stack(
    films: CloudFormation, how: str, observed: Observed
) -> None:
    status, states = HALF_MADE[how]
    half_made(films, status, **states)
    list(Teardown.find("films").run(with_data=True))
    nothing_is_left(films)
    observed(1, "nothing was left")


@pytest.mark.drill(
    "Removal",
    injected="a bucket, the table and a security group are deleted by hand",
    promised="the rest is deleted",
)
def test_resources_deleted_by_hand_are_skipped(films: CloudFormation, observed: Observed) -> None:
    boto3.client("s3").delete_bucket(Bucket=films.resources["DatasetsBucket"])
    boto3.client("dynamodb").delete_table(TableName="films-runs")
    teardown_ = Teardown.find("films")
    ec2 = boto3.client("ec2")
    pair = [films.resources[name] for name in ("CoreGroup", "PrimaryGroup")]
    for id in pair:
        (group,) = ec2.describe_security_groups(GroupIds=[id])["SecurityGroups"]
        ec2.revoke_security_group_ingress(GroupId=id, IpPermissions=group["IpPermissions"])
    ec2.delete_security_group(GroupId=pair[0])
    printed = list(teardown_.run(with_data=True))
    assert f"bucket {films.resources['DatasetsBucket']} is already gone" in printed
    assert "table films-runs is already gone" in printed
    nothing_is_left(films)
    observed(1, "nothing was left")


def test_the_data_of_a_deleted_stack_can_still_be_deleted(films: CloudFormation) -> None:
    list(Teardown.find("films").run(with_data=False))
    boto3.client("s3").put_object(Bucket=buckets()[0], Key="ml/ratings.dat", Body=b"1")
    boto3.client("s3").delete_bucket(Bucket=buckets()[1])
    left = Teardown.find("films")
    assert "(already deleted)" in left.summary(with_data=True)
    (message,) = left.run(with_data=False)
    assert message.startswith("kept")
    deletions = films.deletions
    list(left.run(with_data=True))
    assert films.deletions == deletions
    nothing_is_left(films)
    answer = CliRunner().invoke(cli, ["destroy", "--stack", "films", "--with-data", "--yes"])
    assert answer.exit_code == 1
    assert "Error: there is no stack films, and no stack of that name" in answer.output


def test_a_cluster_that_outlived_its_stack_is_terminated(films: CloudFormation) -> None:
    films.status = "DELETE_COMPLETE"
    films.states = dict.fromkeys(films.states, NOT_THERE)
    left = Teardown.find("films")
    assert left.kept == (), "what CloudFormation deleted may since belong to another stack"
    list(left.run(with_data=True))
    assert clusters()["films-1"] == "TERMINATED"
    assert clusters()["films-2-1"] != "TERMINATED"
    assert len(buckets()) == 2


@pytest.mark.drill(
    "Removal",
    injected="EMR restores its security group rules while the stack is being deleted",
    promised="the deletion is retried once",
)
def test_a_deletion_that_failed_on_the_network_is_retried_once(
    films: CloudFormation, clock: Clock, observed: Observed
) -> None:
    core, primary = (films.resources[name] for name in ("CoreGroup", "PrimaryGroup"))
    clock.after(60, lambda: name_each_other(core, primary))
    printed = list(Teardown.find("films").run(with_data=True))
    assert any("PrimaryGroup" in line and "retrying" in line for line in printed)
    assert films.deletions == 2
    nothing_is_left(films)
    observed(1, "the second deletion went through")


def test_the_contents_of_a_network_in_use_are_listed(
    films: CloudFormation,
) -> None:
    vpc = films.resources["ClusterVpc"]
    studio = boto3.client("ec2").create_security_group(
        GroupName="EMR-Studio-engine", Description="by hand", VpcId=vpc
    )["GroupId"]
    with pytest.raises(StackError) as refused:
        list(Teardown.find("films").run(with_data=True))
    message = str(refused.value)
    assert f"ClusterVpc (AWS::EC2::VPC {vpc}): The vpc '{vpc}' has dependencies" in message
    assert f"{studio} (EMR-Studio-engine)" in message
    assert "then run `make destroy STACK=films` again" in message
    assert films.deletions == 2
    assert len(buckets()) == 2, "no data is deleted while the stack exists"
    boto3.client("ec2").delete_security_group(GroupId=studio)
    list(Teardown.find("films").run(with_data=True))
    nothing_is_left(films)


@pytest.mark.drill(
    "Removal",
    injected="CloudFormation lacks permission to delete a function",
    promised="the reason is reported; once it is resolved, the command finishes",
)
def test_another_failure_is_reported_and_not_retried(
    films: CloudFormation, observed: Observed
) -> None:
    films.stubborn = {"ControlFunction": "not authorized to perform: lambda:DeleteFunction"}
    answer = CliRunner().invoke(cli, ["destroy", "--stack", "films", "--with-data", "--yes"])
    assert answer.exit_code == 1
    assert (
        "ControlFunction (AWS::Lambda::Function films-Control): not authorized to perform: "
        "lambda:DeleteFunction. Resolve these reasons" in answer.output
    )
    assert films.deletions == 1
    films.stubborn = {}
    list(Teardown.find("films").run(with_data=True))
    nothing_is_left(films)
    observed(1, "the reason was reported; the second command left nothing")


@pytest.mark.usefixtures("films")
def test_nothing_is_destroyed_without_the_stacks_name() -> None:
    answer = CliRunner().invoke(cli, ["destroy", "--stack", "films", "--with-data"], input="yes\n")
    assert answer.exit_code == 1
    assert "nothing was deleted" in answer.output
    assert len(buckets()) == 2


@pytest.mark.usefixtures("films")
@pytest.mark.parametrize("command", ["status", "rollback", "redrive", "rebuild", "destroy"])
def test_a_missing_stack_is_reported(command: str) -> None:
    answer = CliRunner().invoke(cli, [command, "--stack", "nowhere"])
    assert answer.exit_code == 1
    assert "there is no stack nowhere" in answer.output
