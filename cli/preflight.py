"""Checks that an account, its region and its zones are ready for a first deployment. Read-only.

Each check sends AWS one question and turns the answer into a finding. A check without permission
reports that, and the other checks go on.
"""

import shlex
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)

from cli.stack import is_missing_stack
from instance_types import UnknownInstanceTypeError, instance_type
from tools.paths import ROOT

ON_DEMAND_VCPUS, SPOT_VCPUS = "L-1216C47A", "L-34B43A08"
EMR_ROLE, SPOT_ROLE = "AWSServiceRoleForEMRCleanup", "AWSServiceRoleForEC2Spot"
# Releases whose nodes have Python 3.13 by EMR's release guide. EMR's API does not report it.
PYTHON_313 = frozenset({"emr-spark-8.1.0"})
SPARK = "4.1."  # the versions that the project is tested with
# A check may also end as `not checked`, so no request is worth a long wait.
SHORT_TIMEOUTS = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard"})
AWS_KEY = "alias/aws/ebs"
# The error codes of services for a missing permission.
ACCESS_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
BAD_CREDENTIALS = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)

type Client = Callable[[str], Any]


class TemplateLoader(yaml.SafeLoader):
    """Reads template.yaml; intrinsic functions become None."""


TemplateLoader.add_multi_constructor("!", lambda *_: None)


class Verdict(StrEnum):
    """The result of a check."""

    OK = "ok"
    NOTE = "note"  # works, but the operator should know about it
    UNKNOWN = "not checked"
    MISSING = "missing"  # a deployment or a run would fail


@dataclass(frozen=True)
class Finding:
    """What a check found, and what to do about it.

    Attributes:
        subject: the thing that was checked.
        verdict: the result.
        told: the message for the operator.
    """

    subject: str
    verdict: Verdict
    told: str


@dataclass(frozen=True)
class Plan:
    """The deployment that `make deploy` would make.

    Attributes:
        stack: the stack's name.
        parameters: the template's parameters, value by name.
        zone: the zone of the stack's subnet; empty for any.
    """

    stack: str
    parameters: Mapping[str, str]
    zone: str = ""

    @classmethod
    def read(cls, stack: str, zone: str = "", root: Path = ROOT) -> "Plan":
        """Read the template's defaults and override them with samconfig.toml.

        Args:
            stack: the stack's name.
            zone: overrides the parameter AvailabilityZone.
            root: the folder of both files.
        """
        template = yaml.load((root / "template.yaml").read_text(), TemplateLoader)  # noqa: S506
        parameters = template["Parameters"]
        values = {name: str(each.get("Default", "")) for name, each in parameters.items()}
        config = tomllib.loads((root / "samconfig.toml").read_text())
        given = config["default"]["deploy"]["parameters"].get("parameter_overrides", "")
        words = shlex.split(given) if isinstance(given, str) else given
        values |= dict(word.split("=", 1) for word in words)
        return cls(stack, values, zone or values.get("AvailabilityZone", ""))

    @property
    def vcpus(self) -> tuple[int, int]:
        """The On-Demand and the Spot vCPUs of one cluster.

        Raises:
            UnknownInstanceTypeError: the project's table lacks the instance type.
        """
        one = instance_type(self.parameters["InstanceType"]).vcpus
        core = one * int(self.parameters["CoreNodes"])
        return (one, core) if self.parameters["CoreMarket"] == "SPOT" else (one + core, 0)


def regional(service: str) -> Any:
    """Return a client of a service. The free tier has a single, global endpoint."""
    make: Any = boto3.client
    if service == "freetier":
        dual = SHORT_TIMEOUTS.merge(Config(use_dualstack_endpoint=True))
        return make(service, region_name="us-east-1", config=dual)
    return make(service, config=SHORT_TIMEOUTS)


def findings(plan: Plan, client: Client = regional) -> Iterator[Finding]:
    """Run all checks and yield their findings.

    Args:
        plan: the planned deployment.
        client: makes a client of a service.
    """
    caller = credentials(client)
    yield caller
    if caller.verdict is Verdict.MISSING:
        return  # every other request would fail
    for subject, prefix, check in CHECKS:
        yield from _errors_as_findings(subject, prefix, check(plan, client))


def _errors_as_findings(subject: str, prefix: str, found: Iterable[Finding]) -> Iterator[Finding]:
    """Yield the findings of a check, and turn AWS's errors into a finding.

    Args:
        subject: the check's subject.
        prefix: IAM prefix of the actions that the check needs.
        found: the check's findings.
    """
    try:
        yield from found
    except ClientError as error:
        action, details = f"{prefix}:{error.operation_name}", error.response["Error"]
        if details["Code"] in ACCESS_DENIED:
            yield Finding(subject, Verdict.UNKNOWN, f"requires permission for {action}")
        else:
            message = f"{action} returned {details['Code']}: {details.get('Message', '')}"
            yield Finding(subject, Verdict.UNKNOWN, message)
    except BotoCoreError as error:
        yield Finding(subject, Verdict.UNKNOWN, f"cannot reach AWS: {error}")


def credentials(client: Client) -> Finding:
    """Check the credentials and the region."""
    try:
        region = client("ec2").meta.region_name  # unlike STS, EC2 has no endpoint without a region
        caller = client("sts").get_caller_identity()
    except NoRegionError:
        message = "no region is set: set AWS_REGION, or run `aws configure`"
    except (NoCredentialsError, PartialCredentialsError, ProfileNotFound) as error:
        message = f"{error}: set AWS_PROFILE, or run `aws configure` or `aws sso login`"
    except ClientError as error:
        details = error.response["Error"]
        is_bad = details["Code"] in BAD_CREDENTIALS
        problem = "expired or invalid: sign in again" if is_bad else "refused"
        reason = f"{details['Code']}: {details.get('Message', '')}"
        message = f"the credentials are {problem} ({reason})"
    except BotoCoreError as error:
        message = f"cannot reach AWS: {error}"
    else:
        message = f"account {caller['Account']} as {caller['Arn']}, region {region}"
        return Finding("credentials", Verdict.OK, message)
    return Finding("credentials", Verdict.MISSING, message)


def stack_name(plan: Plan, client: Client) -> Iterator[Finding]:
    """Check whether a stack of this name can be created or updated."""
    try:
        (stack,) = client("cloudformation").describe_stacks(StackName=plan.stack)["Stacks"]
        state = stack["StackStatus"]
    except ClientError as error:
        if not is_missing_stack(error):
            raise
        state = None
    yield Finding("stack", *state_verdict(plan.stack, state))


def state_verdict(stack: str, state: str | None) -> tuple[Verdict, str]:
    """Judge the state of a stack; None if the stack does not exist."""
    match state:
        case None:
            return Verdict.OK, f"the name {stack} is free"
        case "REVIEW_IN_PROGRESS":
            return Verdict.OK, f"{stack} has a change set that was not executed; deploy again"
        case "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" | "CREATE_FAILED" | "DELETE_FAILED":
            return Verdict.MISSING, (
                f"{stack} is {state}, which CloudFormation cannot update. Delete it with "
                f"`make destroy STACK={stack}`, then deploy. The reason of the failure: "
                f"`aws cloudformation describe-stack-events --stack-name {stack}`"
            )
        case "UPDATE_ROLLBACK_FAILED":
            return Verdict.MISSING, (
                f"{stack} is {state}: run `aws cloudformation continue-update-rollback "
                f"--stack-name {stack}` first"
            )
        case _ if state.endswith("_IN_PROGRESS"):
            return Verdict.MISSING, f"{stack} is {state}: wait until it has finished"
    return Verdict.OK, f"{stack} exists ({state}); a deployment updates it"


def instances(plan: Plan, client: Client) -> Iterator[Finding]:
    """Check which zones offer the instance type."""
    wanted, ec2 = plan.parameters["InstanceType"], client("ec2")
    try:
        instance_type(wanted)
    except UnknownInstanceTypeError as error:
        yield Finding("instance type", Verdict.MISSING, str(error))
    zone = plan.zone
    if subnet := plan.parameters["SubnetId"]:
        (found,) = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
        zone = found["AvailabilityZone"]
    zones = [
        each["ZoneName"]
        for each in ec2.describe_availability_zones(
            Filters=[{"Name": "zone-type", "Values": ["availability-zone"]}]
        )["AvailabilityZones"]
        if each["State"] == "available"
    ]
    pages = ec2.get_paginator("describe_instance_type_offerings").paginate(
        LocationType="availability-zone",
        Filters=[{"Name": "instance-type", "Values": [wanted]}],
    )
    offered = {each["Location"] for page in pages for each in page["InstanceTypeOfferings"]}
    yield Finding("zone", *zones_verdict(wanted, zone, zones, offered))


def zones_verdict(
    wanted: str, zone: str, zones: Iterable[str], offered: Iterable[str]
) -> tuple[Verdict, str]:
    """Judge a zone, or all zones, by the zones that offer an instance type.

    Args:
        wanted: the instance type.
        zone: the chosen zone; empty for any.
        zones: all zones of the region.
        offered: the zones that offer the instance type.
    """
    having = sorted(set(offered) & set(zones))
    lacking = sorted(set(zones) - set(having))
    if not having:
        return (
            Verdict.MISSING,
            f"no zone of this region has {wanted}: choose another type or region",
        )
    names = ", ".join(having)
    if zone and zone not in {*having, *lacking}:
        return Verdict.MISSING, f"{zone} is not an available zone of this region: {names}"
    if zone in lacking:
        return Verdict.MISSING, f"{zone} has no {wanted}: set AvailabilityZone to one of {names}"
    if zone:
        return Verdict.OK, f"{zone} has {wanted}"
    if lacking:
        return Verdict.NOTE, (
            f"{', '.join(lacking)} has no {wanted}, but EC2 may choose it: set AvailabilityZone to "
            f"one of {names}"
        )
    return Verdict.OK, f"every zone has {wanted}: {names}"


def quota(plan: Plan, client: Client) -> Iterator[Finding]:
    """Check that the account's vCPU quota allows one cluster."""
    try:
        on_demand, spot = plan.vcpus
    except UnknownInstanceTypeError:
        return  # the check of the instance type reports it
    for code, market, needed in (
        (ON_DEMAND_VCPUS, "On-Demand", on_demand),
        (SPOT_VCPUS, "Spot", spot),
    ):
        if needed:
            yield Finding("quota", *quota_verdict(code, market, needed, _quota(client, code)))


def _quota(client: Client, code: str) -> float:
    """Return the account's quota, or AWS's default if the account has none."""
    quotas, of = client("service-quotas"), {"ServiceCode": "ec2", "QuotaCode": code}
    try:
        return float(quotas.get_service_quota(**of)["Quota"]["Value"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchResourceException":
            raise
        return float(quotas.get_aws_default_service_quota(**of)["Quota"]["Value"])


def quota_verdict(code: str, market: str, needed: int, allowed: float) -> tuple[Verdict, str]:
    """Judge a vCPU quota by the vCPUs that a cluster needs."""
    if allowed < needed:
        return Verdict.MISSING, (
            f"the quota allows {allowed:.0f} vCPUs of {market} Standard instances, a cluster needs "
            f"{needed}: set fewer CoreNodes, or run `aws service-quotas "
            f"request-service-quota-increase --service-code ec2 --quota-code {code} "
            f"--desired-value {2 * needed}`"
        )
    return Verdict.OK, (
        f"the quota allows {allowed:.0f} vCPUs of {market} Standard instances, a cluster needs "
        f"{needed}; other running instances count, too"
    )


def release(plan: Plan, client: Client) -> Iterator[Finding]:
    """Check that the region has the EMR release, and the release's Spark and Python."""
    label, emr = plan.parameters["ReleaseLabel"], client("emr")
    try:
        found = emr.describe_release_label(ReleaseLabel=label)
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidRequestException":
            raise
        family = label[: label.rfind("-") + 1]
        listed = emr.list_release_labels(Filters={"Prefix": family})["ReleaseLabels"]
        available = ", ".join(listed) or "none"
        message = f"the region has no {label}; available {family}* releases: {available}"
        yield Finding("EMR release", Verdict.MISSING, message)
        return
    versions = {each["Name"].lower(): each["Version"] for each in found["Applications"]}
    yield Finding("EMR release", *release_verdict(label, versions.get("spark")))
    if label in PYTHON_313:
        yield Finding("Python", Verdict.OK, f"{label} has Python 3.13, by its documentation")
    else:
        message = f"look up in EMR's release guide whether {label} has Python 3.13"
        yield Finding("Python", Verdict.NOTE, f"{message}; a node without it fails at its start")


def release_verdict(label: str, spark: str | None) -> tuple[Verdict, str]:
    """Judge a release by its version of Spark; None if it has no Spark."""
    if spark is None:
        return Verdict.MISSING, f"{label} has no Spark: choose an emr-spark-8 release"
    if not spark.startswith(SPARK):
        return Verdict.NOTE, f"{label} has Spark {spark}; the project is tested with {SPARK}x"
    return Verdict.OK, f"{label} has Spark {spark}"


def service_roles(plan: Plan, client: Client) -> Iterator[Finding]:
    """Check the service-linked roles. EMR creates its own at the first run."""
    subject, command = "service-linked role", "aws iam create-service-linked-role"
    if _has_role(client, EMR_ROLE):
        yield Finding(subject, Verdict.OK, f"{EMR_ROLE} exists")
    else:
        message = (
            f"{EMR_ROLE} does not exist yet. EMR creates it at the first run, with the launcher's "
            "permission. If your organization forbids that, run "
            f"`{command} --aws-service-name elasticmapreduce.amazonaws.com`"
        )
        yield Finding(subject, Verdict.NOTE, message)
    if plan.parameters["CoreMarket"] == "SPOT" and not _has_role(client, SPOT_ROLE):
        message = (
            f"{SPOT_ROLE} does not exist, but Spot core nodes need it: run "
            f"`{command} --aws-service-name spot.amazonaws.com`"
        )
        yield Finding(subject, Verdict.NOTE, message)


def _has_role(client: Client, name: str) -> bool:
    try:
        client("iam").get_role(RoleName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchEntity":
            raise
        return False
    return True


def account_plan(_: Plan, client: Client) -> Iterator[Finding]:
    """Check whether the account is on AWS's free plan, which excludes some services."""
    try:
        kind = client("freetier").get_account_plan_state()["accountPlanType"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        kind = "PAID"  # an account that is older than the plans
    yield Finding("account plan", *plan_verdict(kind))


def plan_verdict(kind: str) -> tuple[Verdict, str]:
    """Judge the plan of an account."""
    if kind == "FREE":
        return Verdict.NOTE, (
            "the account is on the free plan, which may exclude EMR and m5 instances. If the first "
            "run fails for that reason, run `aws freetier upgrade-account-plan "
            "--account-plan-type PAID`"
        )
    return Verdict.OK, "the account is not on the free plan"


def disk_key(plan: Plan, client: Client) -> Iterator[Finding]:
    """Check whether new disks are encrypted with a key that EMR's roles cannot use."""
    ec2 = client("ec2")
    key = None
    if ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"]:
        key = ec2.get_ebs_default_kms_key_id()["KmsKeyId"]
    yield Finding("disk key", *key_verdict(key, plan.parameters["DiskKeyArn"]))


def key_verdict(key: str | None, given: str) -> tuple[Verdict, str]:
    """Judge the key of new disks by DiskKeyArn; None if new disks are not encrypted."""
    if key is None or key.endswith(AWS_KEY):
        return Verdict.OK, "new disks do not need a key of yours"
    if key == given:
        return Verdict.OK, f"new disks are encrypted with DiskKeyArn, {key}"
    return Verdict.NOTE, (
        f"the account encrypts new disks with its own key, {key}. Set DiskKeyArn to it; otherwise "
        "EMR's roles get no grants and the instances terminate at their start. The nodes also "
        "need access to KMS, see docs/deploy.md"
    )


# Subject, IAM prefix of the actions that the check needs, and the check; in a deployment's order.
CHECKS: tuple[tuple[str, str, Callable[[Plan, Client], Iterator[Finding]]], ...] = (
    ("stack", "cloudformation", stack_name),
    ("zone", "ec2", instances),
    ("quota", "servicequotas", quota),
    ("EMR release", "elasticmapreduce", release),
    ("service-linked role", "iam", service_roles),
    ("account plan", "freetier", account_plan),
    ("disk key", "ec2", disk_key),
)
