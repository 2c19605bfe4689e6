"""What an account, its region and its zones must have before a first deploy; it only reads.

Each check asks AWS one thing and judges the answer. One that may not ask says so, and leaves the
others alone.
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

ROOT = Path(__file__).resolve().parent.parent
ON_DEMAND_VCPUS, SPOT_VCPUS = "L-1216C47A", "L-34B43A08"
EMR_ROLE, SPOT_ROLE = "AWSServiceRoleForEMRCleanup", "AWSServiceRoleForEC2Spot"
# Whose nodes have Python 3.13 by EMR's release guide; EMR's API does not tell it.
PYTHON_313 = frozenset({"emr-spark-8.1.0"})
SPARK = "4.1."  # what the project is tested with
# Nobody waits long for an answer that could also be `not checked`.
SHORT_TIMEOUTS = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard"})
AWS_KEY = "alias/aws/ebs"
# Codes with which services refuse somebody who may not ask.
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
    """Reads template.yaml; intrinsic functions are nothing."""


TemplateLoader.add_multi_constructor("!", lambda *_: None)


class Verdict(StrEnum):
    """What a check found."""

    OK = "ok"
    NOTE = "note"  # goes, and somebody should know it
    UNKNOWN = "not checked"
    MISSING = "missing"  # a deploy or a run would fail


@dataclass(frozen=True)
class Finding:
    """What was found of one thing, in words that say what to do.

    Attributes:
        subject: what was looked at.
        verdict: what it is.
        told: the sentence.
    """

    subject: str
    verdict: Verdict
    told: str


@dataclass(frozen=True)
class Plan:
    """What is to be deployed: parameters of the template, as `make deploy` would give them.

    Attributes:
        stack: its name.
        parameters: value by name, of all that have one.
        zone: which the stack's subnet shall be in; empty for any.
    """

    stack: str
    parameters: Mapping[str, str]
    zone: str = ""

    @classmethod
    def read(cls, stack: str, zone: str = "", root: Path = ROOT) -> "Plan":
        """The template's defaults, and over them what samconfig.toml says.

        Args:
            stack: its name.
            zone: instead of the parameter AvailabilityZone.
            root: the folder with both files.
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
        """How many one cluster has, On-Demand and on Spot.

        Raises:
            UnknownInstanceTypeError: the type is not in the project's table.
        """
        one = instance_type(self.parameters["InstanceType"]).vcpus
        core = one * int(self.parameters["CoreNodes"])
        return (one, core) if self.parameters["CoreMarket"] == "SPOT" else (one + core, 0)


def regional(service: str) -> Any:
    """A client of a service; of the free tier at the one address that it is documented to have."""
    make: Any = boto3.client
    if service == "freetier":
        dual = SHORT_TIMEOUTS.merge(Config(use_dualstack_endpoint=True))
        return make(service, region_name="us-east-1", config=dual)
    return make(service, config=SHORT_TIMEOUTS)


def preflight(plan: Plan, client: Client = regional) -> Iterator[Finding]:
    """All that is to be said before a first deploy.

    Args:
        plan: what is to be deployed.
        client: makes a client of a service.
    """
    who = credentials(client)
    yield who
    if who.verdict is Verdict.MISSING:
        return  # nobody would answer
    for subject, prefix, check in CHECKS:
        yield from _errors_as_findings(subject, prefix, check(plan, client))


def _errors_as_findings(subject: str, prefix: str, found: Iterable[Finding]) -> Iterator[Finding]:
    """What a check finds; where it cannot ask, that.

    Args:
        subject: of the check.
        prefix: of the actions that it needs.
        found: its findings.
    """
    try:
        yield from found
    except ClientError as error:
        action, told = f"{prefix}:{error.operation_name}", error.response["Error"]
        if told["Code"] in ACCESS_DENIED:
            yield Finding(subject, Verdict.UNKNOWN, f"needs the action {action}")
        else:
            answer = f"{action} answered {told['Code']}: {told.get('Message', '')}"
            yield Finding(subject, Verdict.UNKNOWN, answer)
    except BotoCoreError as error:
        yield Finding(subject, Verdict.UNKNOWN, f"AWS could not be asked: {error}")


def credentials(client: Client) -> Finding:
    """Who asks, in which region."""
    try:
        region = client("ec2").meta.region_name  # EC2 has no address without one, STS has
        who = client("sts").get_caller_identity()
    except NoRegionError:
        told = "no region is set: set AWS_REGION, or `region` by `aws configure`"
    except (NoCredentialsError, PartialCredentialsError, ProfileNotFound) as error:
        told = f"{error}: set AWS_PROFILE, or run `aws configure` or `aws sso login`"
    except ClientError as error:
        said = error.response["Error"]
        what = "expired or invalid: sign in again" if said["Code"] in BAD_CREDENTIALS else "refused"
        told = f"the credentials are {what} ({said['Code']}: {said.get('Message', '')})"
    except BotoCoreError as error:
        told = f"AWS could not be asked who you are: {error}"
    else:
        told = f"account {who['Account']} as {who['Arn']}, region {region}"
        return Finding("credentials", Verdict.OK, told)
    return Finding("credentials", Verdict.MISSING, told)


def stack_name(plan: Plan, client: Client) -> Iterator[Finding]:
    """Whether a stack can be made, or updated, under the name."""
    try:
        (stack,) = client("cloudformation").describe_stacks(StackName=plan.stack)["Stacks"]
        state = stack["StackStatus"]
    except ClientError as error:
        if not is_missing_stack(error):
            raise
        state = None
    yield Finding("stack", *state_verdict(plan.stack, state))


def state_verdict(stack: str, state: str | None) -> tuple[Verdict, str]:
    """What a stack's state, None where there is none, means for a deploy."""
    match state:
        case None:
            return Verdict.OK, f"the name {stack} is free"
        case "REVIEW_IN_PROGRESS":
            return Verdict.OK, f"{stack} has a change set that was not carried out; deploy anew"
        case "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" | "CREATE_FAILED" | "DELETE_FAILED":
            return Verdict.MISSING, (
                f"{stack} is {state}, of which CloudFormation makes no stack any more: `make "
                f"destroy STACK={stack}` deletes what there is, then deploy; why it failed: `aws "
                f"cloudformation describe-stack-events --stack-name {stack}`"
            )
        case "UPDATE_ROLLBACK_FAILED":
            return Verdict.MISSING, (
                f"{stack} is {state}: `aws cloudformation continue-update-rollback --stack-name "
                f"{stack}` first"
            )
        case _ if state.endswith("_IN_PROGRESS"):
            return Verdict.MISSING, f"{stack} is {state}: wait until that is over"
    return Verdict.OK, f"{stack} is there ({state}); a deploy updates it"


def instances(plan: Plan, client: Client) -> Iterator[Finding]:
    """Whether the zone, or which zones, have the instance type."""
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
    """What the zones that offer a type mean for a deploy into one, or into any.

    Args:
        wanted: the instance type.
        zone: the chosen one; empty for any.
        zones: the region's.
        offered: those that offer the type.
    """
    having = sorted(set(offered) & set(zones))
    lacking = sorted(set(zones) - set(having))
    if not having:
        return Verdict.MISSING, f"no zone here has {wanted}: choose another InstanceType or region"
    names = ", ".join(having)
    if zone and zone not in {*having, *lacking}:
        return Verdict.MISSING, f"{zone} is no zone of this region that is available: {names}"
    if zone in lacking:
        return Verdict.MISSING, f"{zone} has no {wanted}: set AvailabilityZone to one of {names}"
    if zone:
        return Verdict.OK, f"{zone} has {wanted}"
    if lacking:
        return Verdict.NOTE, (
            f"{', '.join(lacking)} has no {wanted}, and EC2 may choose it: set AvailabilityZone "
            f"to one of {names}"
        )
    return Verdict.OK, f"every zone has {wanted}: {names}"


def quota(plan: Plan, client: Client) -> Iterator[Finding]:
    """Whether the account's quota of vCPUs suffices for one cluster."""
    try:
        on_demand, spot = plan.vcpus
    except UnknownInstanceTypeError:
        return  # told already
    for code, market, needed in (
        (ON_DEMAND_VCPUS, "On-Demand", on_demand),
        (SPOT_VCPUS, "Spot", spot),
    ):
        if needed:
            yield Finding("quota", *quota_verdict(code, market, needed, _quota(client, code)))


def _quota(client: Client, code: str) -> float:
    """The account's quota; AWS' default where none is applied."""
    quotas, of = client("service-quotas"), {"ServiceCode": "ec2", "QuotaCode": code}
    try:
        return float(quotas.get_service_quota(**of)["Quota"]["Value"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchResourceException":
            raise
        return float(quotas.get_aws_default_service_quota(**of)["Quota"]["Value"])


def quota_verdict(code: str, market: str, needed: int, allowed: float) -> tuple[Verdict, str]:
    """What a quota of vCPUs means for a cluster that needs so many."""
    if allowed < needed:
        return Verdict.MISSING, (
            f"{allowed:.0f} vCPUs of {market} Standard instances are allowed, a cluster needs "
            f"{needed}: fewer CoreNodes, or `aws service-quotas request-service-quota-increase "
            f"--service-code ec2 --quota-code {code} --desired-value {2 * needed}`"
        )
    return Verdict.OK, (
        f"{allowed:.0f} vCPUs of {market} Standard instances are allowed, a cluster needs "
        f"{needed}; what else runs counts, too"
    )


def release(plan: Plan, client: Client) -> Iterator[Finding]:
    """Whether the region has the EMR release, and which Spark and Python it has."""
    label, emr = plan.parameters["ReleaseLabel"], client("emr")
    try:
        found = emr.describe_release_label(ReleaseLabel=label)
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidRequestException":
            raise
        family = label[: label.rfind("-") + 1]
        listed = emr.list_release_labels(Filters={"Prefix": family})["ReleaseLabels"]
        told = f"the region has no {label}; of {family}* it has {', '.join(listed) or 'none'}"
        yield Finding("EMR release", Verdict.MISSING, told)
        return
    versions = {each["Name"].lower(): each["Version"] for each in found["Applications"]}
    yield Finding("EMR release", *release_verdict(label, versions.get("spark")))
    if label in PYTHON_313:
        yield Finding("Python", Verdict.OK, f"{label} is documented to have Python 3.13")
    else:
        told = "is not known here: see its release guide; a node that lacks it says so at its start"
        yield Finding("Python", Verdict.NOTE, f"whether {label} has Python 3.13 {told}")


def release_verdict(label: str, spark: str | None) -> tuple[Verdict, str]:
    """What a release's Spark, None where it has none, means."""
    if spark is None:
        return Verdict.MISSING, f"{label} has no Spark: choose an emr-spark-8 release"
    if not spark.startswith(SPARK):
        return Verdict.NOTE, f"{label} has Spark {spark}; the project is tested with {SPARK}x"
    return Verdict.OK, f"{label} has Spark {spark}"


def service_roles(plan: Plan, client: Client) -> Iterator[Finding]:
    """Whether the service-linked roles are there; EMR's comes with the first run."""
    subject, command = "service-linked role", "aws iam create-service-linked-role"
    if _has_role(client, EMR_ROLE):
        yield Finding(subject, Verdict.OK, f"{EMR_ROLE} is there")
    else:
        told = (
            f"{EMR_ROLE} is not there yet: EMR makes it at the first run, the launcher has the "
            "right to. Where your organization forbids that: "
            f"`{command} --aws-service-name elasticmapreduce.amazonaws.com`"
        )
        yield Finding(subject, Verdict.NOTE, told)
    if plan.parameters["CoreMarket"] == "SPOT" and not _has_role(client, SPOT_ROLE):
        told = (
            f"{SPOT_ROLE} is not there, which Spot core nodes need: "
            f"`{command} --aws-service-name spot.amazonaws.com`"
        )
        yield Finding(subject, Verdict.NOTE, told)


def _has_role(client: Client, name: str) -> bool:
    try:
        client("iam").get_role(RoleName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchEntity":
            raise
        return False
    return True


def account_plan(_: Plan, client: Client) -> Iterator[Finding]:
    """Whether the account is on AWS' free plan, which leaves services and instance types out."""
    try:
        kind = client("freetier").get_account_plan_state()["accountPlanType"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        kind = "PAID"  # an account from before there were plans
    yield Finding("account plan", *plan_verdict(kind))


def plan_verdict(kind: str) -> tuple[Verdict, str]:
    """What the plan of an account means."""
    if kind == "FREE":
        return Verdict.NOTE, (
            "the account is on the free plan, which may have neither EMR nor m5 instances; if the "
            "first run fails for that, `aws freetier upgrade-account-plan --account-plan-type PAID`"
        )
    return Verdict.OK, "the account is not on the free plan"


def disk_key(plan: Plan, client: Client) -> Iterator[Finding]:
    """Whether new disks are encrypted with a key that EMR's roles would need rights to."""
    ec2 = client("ec2")
    key = None
    if ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"]:
        key = ec2.get_ebs_default_kms_key_id()["KmsKeyId"]
    yield Finding("disk key", *key_verdict(key, plan.parameters["DiskKeyArn"]))


def key_verdict(key: str | None, given: str) -> tuple[Verdict, str]:
    """What the key of new disks, None where they are not encrypted, means beside DiskKeyArn."""
    if key is None or key.endswith(AWS_KEY):
        return Verdict.OK, "new disks ask for no key of yours"
    if key == given:
        return Verdict.OK, f"new disks are encrypted with DiskKeyArn, {key}"
    return Verdict.NOTE, (
        f"the account encrypts new disks with a key of its own, {key}: set DiskKeyArn to it, or "
        "EMR's roles get no grants and its instances end as soon as they start; the nodes need a "
        "way to KMS, see docs/deploy.md"
    )


# Subject, the prefix of the actions that a check needs, the check; as a deploy meets them.
CHECKS: tuple[tuple[str, str, Callable[[Plan, Client], Iterator[Finding]]], ...] = (
    ("stack", "cloudformation", stack_name),
    ("zone", "ec2", instances),
    ("quota", "servicequotas", quota),
    ("EMR release", "elasticmapreduce", release),
    ("service-linked role", "iam", service_roles),
    ("account plan", "freetier", account_plan),
    ("disk key", "ec2", disk_key),
)
