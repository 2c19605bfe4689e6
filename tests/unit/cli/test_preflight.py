"""Preflight finds what an account lacks before a deployment, by read-only calls."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import NoCredentialsError
from botocore.stub import Stubber
from click.testing import CliRunner
from moto import mock_aws

from cli import preflight as module
from cli.commands import cli
from cli.preflight import Finding, Plan, Verdict, findings
from tests.conftest import ROOT

PARAMETERS = {
    "InstanceType": "m5.xlarge",
    "CoreNodes": "3",
    "CoreMarket": "ON_DEMAND",
    "ReleaseLabel": "emr-spark-8.1.0",
    "SubnetId": "",
    "DiskKeyArn": "",
}
KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ZONES = ("us-east-1a", "us-east-1b", "us-east-1e")
QUOTA = {
    "ServiceCode": "ec2",
    "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
    "QuotaCode": "L-1216C47A",
    "QuotaName": "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
    "Unit": "None",
    "Adjustable": True,
    "GlobalQuota": False,
}
RELEASE = {
    "ReleaseLabel": "emr-spark-8.1.0",
    "Applications": [
        {"Name": "JupyterEnterpriseGateway", "Version": "2.6.0"},
        {"Name": "Spark", "Version": "4.1.1"},
    ],
}
ROLE = {
    "Path": "/aws-service-role/elasticmapreduce.amazonaws.com/",
    "RoleName": "AWSServiceRoleForEMRCleanup",
    "RoleId": "AROA1234567890EXAMPLE",
    "Arn": "arn:aws:iam::123456789012:role/aws-service-role/x/AWSServiceRoleForEMRCleanup",
    "CreateDate": "2026-11-26T12:00:00Z",
}

type Answer = dict[str, Any] | tuple[str, str]


class Account:
    """An account that is ready, faked by botocore's stubs; `says` changes its answers.

    Each answer is a response that botocore's model validates, or the code and message of an error.
    """

    def __init__(self) -> None:
        self.stubs: dict[str, Stubber] = {}
        self.answers: dict[str, dict[str, list[Answer]]] = {
            "sts": {
                "get_caller_identity": [
                    {
                        "UserId": "AIDA",
                        "Account": "123456789012",
                        "Arn": "arn:aws:iam::123456789012:user/operator",
                    }
                ]
            },
            "cloudformation": {
                "describe_stacks": [
                    ("ValidationError", "Stack with id similar-titles does not exist")
                ]
            },
            "ec2": {
                "describe_availability_zones": [
                    {
                        "AvailabilityZones": [
                            {
                                "ZoneName": zone,
                                "ZoneType": "availability-zone",
                                "State": "available",
                            }
                            for zone in ZONES
                        ]
                    }
                ],
                "describe_instance_type_offerings": [offered("us-east-1a", "us-east-1b")],
                "get_ebs_encryption_by_default": [{"EbsEncryptionByDefault": False}],
            },
            "service-quotas": {"get_service_quota": [{"Quota": QUOTA | {"Value": 32.0}}]},
            "emr": {"describe_release_label": [RELEASE]},
            "iam": {"get_role": [{"Role": ROLE}]},
            "freetier": {
                "get_account_plan_state": [
                    {
                        "accountId": "123456789012",
                        "accountPlanType": "PAID",
                        "accountPlanStatus": "ACTIVE",
                    }
                ]
            },
        }

    def says(self, service: str, operation: str, *answers: Answer) -> "Account":
        """Make an operation return these answers, one after another."""
        self.answers[service][operation] = list(answers)
        return self

    def client(self, service: str) -> Any:
        made = boto3.client(service, region_name="us-east-1")
        stub = Stubber(made)
        for operation, answers in self.answers[service].items():
            for answer in answers:
                if isinstance(answer, dict):
                    stub.add_response(operation, answer)
                else:
                    stub.add_client_error(operation, *answer)
        self._in_any_order(stub)
        stub.activate()
        return made

    @staticmethod
    def _in_any_order(stub: Stubber) -> None:
        """Answer each operation from its own queue, in whatever order a check calls them."""
        queue = stub._queue

        def next_of(model: Any, _: Any) -> None:
            position = next(
                i for i, each in enumerate(queue) if each["operation_name"] == model.name
            )
            queue.rotate(-position)

        stub._assert_expected_call_order = next_of


def offered(*zones: str) -> dict[str, Any]:
    """Return an answer of DescribeInstanceTypeOfferings."""
    return {
        "InstanceTypeOfferings": [
            {"InstanceType": "m5.xlarge", "LocationType": "availability-zone", "Location": zone}
            for zone in zones
        ]
    }


@pytest.fixture
def account() -> Account:
    return Account()


def looked(account: Account, zone: str = "", **parameters: str) -> list[Finding]:
    """Return all findings on an account."""
    return list(findings(Plan("similar-titles", PARAMETERS | parameters, zone), account.client))


def found(account: Account, subject: str, **asked: str) -> Finding:
    """Return the one finding on a subject."""
    (finding,) = [each for each in looked(account, **asked) if each.subject == subject]
    return finding


def test_a_ready_account_passes_every_check(account: Account) -> None:
    findings = looked(account, zone="us-east-1a")
    assert {each.verdict for each in findings} == {Verdict.OK}
    assert {each.subject for each in findings} == {
        "credentials", "stack", "zone", "quota", "EMR release", "Python", "service-linked role",
        "account plan", "disk key",
    }  # fmt: skip


def test_without_a_chosen_zone_the_zones_that_have_the_instance_type_are_listed(
    account: Account,
) -> None:
    finding = found(account, "zone")
    assert finding.verdict is Verdict.NOTE
    assert "us-east-1e has no m5.xlarge" in finding.told
    assert "AvailabilityZone to one of us-east-1a, us-east-1b" in finding.told
    everywhere = Account().says("ec2", "describe_instance_type_offerings", offered(*ZONES))
    assert found(everywhere, "zone").verdict is Verdict.OK


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ("us-east-1e", "us-east-1e has no m5.xlarge: set AvailabilityZone to one of us-east-1a"),
        ("eu-west-1a", "eu-west-1a is not an available zone of this region"),
    ],
)
def test_a_chosen_zone_without_the_instance_type_is_missing(
    account: Account, zone: str, words: str
) -> None:
    finding = found(account, "zone", zone=zone)
    assert (finding.verdict, words in finding.told) == (Verdict.MISSING, True)


def test_a_region_without_the_instance_type_is_missing(account: Account) -> None:
    account.says("ec2", "describe_instance_type_offerings", offered())
    finding = found(account, "zone")
    assert (finding.verdict, "no zone of this region has m5" in finding.told) == (
        Verdict.MISSING,
        True,
    )


def test_the_zone_of_an_existing_subnet_is_checked(account: Account) -> None:
    subnet = {"Subnets": [{"SubnetId": "subnet-0abc", "AvailabilityZone": "us-east-1e"}]}
    account.says("ec2", "describe_subnets", subnet)
    finding = found(account, "zone", SubnetId="subnet-0abc")
    assert (finding.verdict, "us-east-1e has no m5.xlarge" in finding.told) == (
        Verdict.MISSING,
        True,
    )


def test_an_instance_type_unknown_to_the_project_is_missing(account: Account) -> None:
    finding = found(account, "instance type", InstanceType="c7i.large")
    assert finding.verdict is Verdict.MISSING
    assert "functions/instance_types.py" in finding.told


@pytest.mark.parametrize(
    ("allowed", "core_nodes", "instance", "needed", "verdict"),
    [
        (16.0, "3", "m5.xlarge", 16, Verdict.OK),
        (15.0, "3", "m5.xlarge", 16, Verdict.MISSING),
        (5.0, "1", "m5.xlarge", 8, Verdict.MISSING),
        (100.0, "12", "m5.2xlarge", 104, Verdict.MISSING),
    ],
)
def test_the_quota_is_compared_with_the_primary_and_the_core_nodes(
    account: Account,
    allowed: float,
    core_nodes: str,
    instance: str,
    needed: int,
    verdict: Verdict,
) -> None:
    account.says("service-quotas", "get_service_quota", {"Quota": QUOTA | {"Value": allowed}})
    finding = found(account, "quota", CoreNodes=core_nodes, InstanceType=instance)
    assert finding.verdict is verdict
    assert f"needs {needed}" in finding.told
    assert ("request-service-quota-increase" in finding.told) == (verdict is Verdict.MISSING)


def test_spot_nodes_are_compared_with_the_spot_quota(account: Account) -> None:
    account.says(
        "service-quotas",
        "get_service_quota",
        {"Quota": QUOTA | {"Value": 4.0}},
        {"Quota": QUOTA | {"QuotaCode": "L-34B43A08", "Value": 11.0}},
    )
    one_client = account.client("service-quotas")
    others = account.client
    account.client = lambda name: one_client if name == "service-quotas" else others(name)  # type: ignore[method-assign]
    finding = [each for each in looked(account, CoreMarket="SPOT") if each.subject == "quota"]
    assert [each.verdict for each in finding] == [Verdict.OK, Verdict.MISSING]
    assert "allows 11 vCPUs of Spot Standard instances, a cluster needs 12" in finding[1].told


def test_an_account_without_its_own_quota_has_awss_default(account: Account) -> None:
    account.says("service-quotas", "get_service_quota", ("NoSuchResourceException", "not found"))
    default = {"Quota": QUOTA | {"Value": 5.0}}
    account.says("service-quotas", "get_aws_default_service_quota", default)
    assert "5 vCPUs of On-Demand" in found(account, "quota").told


def test_a_release_that_the_region_lacks_is_missing_and_the_available_ones_are_listed(
    account: Account,
) -> None:
    account.says("emr", "describe_release_label", ("InvalidRequestException", "is invalid"))
    account.says("emr", "list_release_labels", {"ReleaseLabels": ["emr-spark-8.0.0"]})
    finding = found(account, "EMR release")
    assert finding.verdict is Verdict.MISSING
    assert "no emr-spark-8.1.0; available emr-spark-* releases: emr-spark-8.0.0" in finding.told


@pytest.mark.parametrize(
    ("applications", "verdict"),
    [
        ([{"Name": "Spark", "Version": "4.1.1-amzn-0"}], Verdict.OK),
        ([{"Name": "Spark", "Version": "3.5.6"}], Verdict.NOTE),
        ([{"Name": "Hive", "Version": "3.1.3"}], Verdict.MISSING),
    ],
)
def test_a_release_must_have_a_spark_that_the_project_is_tested_with(
    account: Account, applications: list[dict[str, str]], verdict: Verdict
) -> None:
    account.says("emr", "describe_release_label", RELEASE | {"Applications": applications})
    assert found(account, "EMR release").verdict is verdict


def test_a_release_whose_python_is_unknown_is_noted(account: Account) -> None:
    later = found(account, "Python", ReleaseLabel="emr-spark-8.9.0")
    assert later.verdict is Verdict.NOTE
    assert found(Account(), "Python").verdict is Verdict.OK


def test_emr_may_create_its_role_at_the_first_run(account: Account) -> None:
    account.says("iam", "get_role", ("NoSuchEntity", "cannot be found"))
    finding = found(account, "service-linked role")
    assert finding.verdict is Verdict.NOTE
    assert "EMR creates it at the first run" in finding.told


@pytest.mark.parametrize(("kind", "verdict"), [("FREE", Verdict.NOTE), ("PAID", Verdict.OK)])
def test_the_free_plan_is_noted(account: Account, kind: str, verdict: Verdict) -> None:
    plan = {"accountId": "123456789012", "accountPlanType": kind, "accountPlanStatus": "ACTIVE"}
    account.says("freetier", "get_account_plan_state", plan)
    assert found(account, "account plan").verdict is verdict


def test_an_account_older_than_the_plans_is_not_on_the_free_plan(account: Account) -> None:
    account.says("freetier", "get_account_plan_state", ("ResourceNotFoundException", "none"))
    assert found(account, "account plan").verdict is Verdict.OK


@pytest.mark.parametrize(
    ("key", "given", "verdict"),
    [
        ("alias/aws/ebs", "", Verdict.OK),
        ("arn:aws:kms:us-east-1:123456789012:alias/aws/ebs", "", Verdict.OK),
        (KEY, "", Verdict.NOTE),
        (KEY, KEY, Verdict.OK),
    ],
)
def test_an_accounts_own_key_for_new_disks_is_noted(
    account: Account, key: str, given: str, verdict: Verdict
) -> None:
    account.says("ec2", "get_ebs_encryption_by_default", {"EbsEncryptionByDefault": True})
    account.says("ec2", "get_ebs_default_kms_key_id", {"KmsKeyId": key})
    assert found(account, "disk key", DiskKeyArn=given).verdict is verdict


@pytest.mark.parametrize(
    ("state", "verdict", "words"),
    [
        ("CREATE_COMPLETE", Verdict.OK, "a deployment updates it"),
        ("UPDATE_ROLLBACK_COMPLETE", Verdict.OK, "a deployment updates it"),
        ("REVIEW_IN_PROGRESS", Verdict.OK, "not executed"),
        ("ROLLBACK_COMPLETE", Verdict.MISSING, "`make destroy STACK=similar-titles`"),
        ("CREATE_FAILED", Verdict.MISSING, "`make destroy STACK=similar-titles`"),
        ("DELETE_FAILED", Verdict.MISSING, "`make destroy STACK=similar-titles`"),
        ("UPDATE_ROLLBACK_FAILED", Verdict.MISSING, "continue-update-rollback"),
        ("DELETE_IN_PROGRESS", Verdict.MISSING, "wait"),
    ],
)
def test_an_existing_stack_is_reported_with_the_next_step(
    account: Account, state: str, verdict: Verdict, words: str
) -> None:
    stack = {"StackName": "similar-titles", "StackStatus": state, "CreationTime": "2026-11-26"}
    account.says("cloudformation", "describe_stacks", {"Stacks": [stack]})
    finding = found(account, "stack")
    assert (finding.verdict, words in finding.told) == (verdict, True)


def test_a_check_without_permission_is_not_checked_and_hides_no_other(account: Account) -> None:
    refused = "User is not authorized to perform this"
    account.says("service-quotas", "get_service_quota", ("AccessDeniedException", refused))
    account.says("ec2", "describe_instance_type_offerings", ("UnauthorizedOperation", refused))
    account.says("iam", "get_role", ("AccessDenied", refused))
    account.says("freetier", "get_account_plan_state", ("AccessDeniedException", refused))
    findings = looked(account)
    unknown = {each.told for each in findings if each.verdict is Verdict.UNKNOWN}
    assert unknown == {
        "requires permission for servicequotas:GetServiceQuota",
        "requires permission for ec2:DescribeInstanceTypeOfferings",
        "requires permission for iam:GetRole",
        "requires permission for freetier:GetAccountPlanState",
    }
    assert {"stack", "EMR release", "disk key"} <= {
        each.subject for each in findings if each.verdict is Verdict.OK
    }


def test_another_error_is_reported_in_awss_words(account: Account) -> None:
    account.says("emr", "describe_release_label", ("InternalServerException", "try later"))
    finding = found(account, "EMR release")
    assert finding.verdict is Verdict.UNKNOWN
    assert "DescribeReleaseLabel returned InternalServerException: try later" in finding.told


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (("ExpiredToken", "The security token is expired"), "sign in again"),
        (("InvalidClientTokenId", "The token is invalid"), "sign in again"),
        (("AccessDenied", "by a policy"), "refused"),
    ],
)
def test_with_invalid_credentials_no_other_check_runs(
    account: Account, refusal: tuple[str, str], words: str
) -> None:
    account.says("sts", "get_caller_identity", refusal)
    (finding,) = looked(account)
    assert (finding.verdict, words in finding.told) == (Verdict.MISSING, True)


def test_without_credentials_the_finding_says_what_to_do() -> None:
    def client(_: str) -> Any:
        raise NoCredentialsError

    (finding,) = findings(Plan("similar-titles", PARAMETERS), client)
    assert (finding.verdict, "AWS_PROFILE" in finding.told) == (Verdict.MISSING, True)


def test_without_a_region_the_finding_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    session = boto3.session.Session()
    (finding,) = findings(Plan("similar-titles", PARAMETERS), lambda name: session.client(name))
    assert (finding.verdict, "AWS_REGION" in finding.told) == (Verdict.MISSING, True)


def test_the_free_tier_is_called_at_its_global_endpoint() -> None:
    # https://docs.aws.amazon.com/cli/latest/reference/freetier/
    assert module.regional("freetier").meta.endpoint_url == "https://freetier.us-east-1.api.aws"


def test_the_plan_has_the_parameters_of_make_deploy(tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text((ROOT / "template.yaml").read_text())
    config = (ROOT / "samconfig.toml").read_text()
    (tmp_path / "samconfig.toml").write_text(config)
    plain = Plan.read("films", root=tmp_path)
    assert (plain.parameters["InstanceType"], plain.vcpus) == ("m5.xlarge", (16, 0))
    given = "parameter_overrides = \"CoreNodes=1 CoreMarket=SPOT NotifyEmail='a b'\""
    deploy = "[default.deploy.parameters]\n"
    (tmp_path / "samconfig.toml").write_text(config.replace(deploy, f"{deploy}{given}\n"))
    changed = Plan.read("films", root=tmp_path)
    assert (changed.vcpus, changed.parameters["NotifyEmail"]) == ((4, 4), "a b")
    assert Plan.read("films", "us-east-1a", tmp_path).zone == "us-east-1a"


def test_an_empty_account_in_moto_passes() -> None:
    plan = Plan("similar-titles", PARAMETERS, "eu-central-1a")
    checks = (module.stack_name, module.instances, module.service_roles, module.disk_key)
    with mock_aws():
        findings = [each for check in checks for each in check(plan, module.regional)]
        assert module.credentials(module.regional).verdict is Verdict.OK
    assert {each.subject: each.verdict for each in findings} == {
        "stack": Verdict.OK,
        "zone": Verdict.OK,
        "service-linked role": Verdict.NOTE,
        "disk key": Verdict.OK,
    }


@pytest.mark.parametrize(("zone", "status"), [("us-east-1a", 0), ("us-east-1e", 1)])
def test_the_exit_status_is_1_only_if_something_is_missing(
    account: Account, monkeypatch: pytest.MonkeyPatch, zone: str, status: int
) -> None:
    run: Callable[[Plan], Any] = lambda plan: findings(plan, account.client)  # noqa: E731
    monkeypatch.setattr(module, "findings", run)
    answer = CliRunner().invoke(cli, ["preflight", "--zone", zone])
    assert answer.exit_code == status
    assert f"{zone} has" in answer.output
    as_json = CliRunner().invoke(cli, ["preflight", "--zone", zone, "--json"])
    printed = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert as_json.exit_code == status
    assert any(each["verdict"] == "missing" for each in printed) == bool(status)
