"""What an account lacks is found before a deploy, by calls that change nothing."""

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
from cli.preflight import Finding, Plan, Verdict, preflight
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
    """An account that is as it should be, told by stubs of botocore; `says` makes it another.

    Each answer is a response, which botocore's model of the service holds, or code and message of
    a refusal.
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
        """Have it answer so, one after the other."""
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
        """Answer each operation from its own queue: the order of a check's calls is its own."""
        queue = stub._queue

        def next_of(model: Any, _: Any) -> None:
            position = next(
                i for i, each in enumerate(queue) if each["operation_name"] == model.name
            )
            queue.rotate(-position)

        stub._assert_expected_call_order = next_of


def offered(*zones: str) -> dict[str, Any]:
    """An answer of DescribeInstanceTypeOfferings."""
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
    """All findings on an account."""
    return list(preflight(Plan("similar-titles", PARAMETERS | parameters, zone), account.client))


def found(account: Account, subject: str, **asked: str) -> Finding:
    """The one finding on a subject."""
    (finding,) = [each for each in looked(account, **asked) if each.subject == subject]
    return finding


def test_an_account_that_has_everything_lacks_nothing(account: Account) -> None:
    findings = looked(account, zone="us-east-1a")
    assert {each.verdict for each in findings} == {Verdict.OK}
    assert {each.subject for each in findings} == {
        "credentials", "stack", "zone", "quota", "EMR release", "Python", "service-linked role",
        "account plan", "disk key",
    }  # fmt: skip


def test_without_a_zone_it_is_said_which_ones_have_the_instance_type(account: Account) -> None:
    told = found(account, "zone")
    assert told.verdict is Verdict.NOTE
    assert "us-east-1e has no m5.xlarge" in told.told
    assert "AvailabilityZone to one of us-east-1a, us-east-1b" in told.told
    everywhere = Account().says("ec2", "describe_instance_type_offerings", offered(*ZONES))
    assert found(everywhere, "zone").verdict is Verdict.OK


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ("us-east-1e", "us-east-1e has no m5.xlarge: set AvailabilityZone to one of us-east-1a"),
        ("eu-west-1a", "eu-west-1a is no zone of this region"),
    ],
)
def test_a_chosen_zone_that_cannot_do_is_missing(account: Account, zone: str, words: str) -> None:
    told = found(account, "zone", zone=zone)
    assert (told.verdict, words in told.told) == (Verdict.MISSING, True)


def test_a_region_without_the_instance_type_is_missing(account: Account) -> None:
    account.says("ec2", "describe_instance_type_offerings", offered())
    told = found(account, "zone")
    assert (told.verdict, "no zone here has m5.xlarge" in told.told) == (Verdict.MISSING, True)


def test_a_subnet_of_ones_own_says_which_zone_counts(account: Account) -> None:
    subnet = {"Subnets": [{"SubnetId": "subnet-0abc", "AvailabilityZone": "us-east-1e"}]}
    account.says("ec2", "describe_subnets", subnet)
    told = found(account, "zone", SubnetId="subnet-0abc")
    assert (told.verdict, "us-east-1e has no m5.xlarge" in told.told) == (Verdict.MISSING, True)


def test_an_instance_type_that_the_project_does_not_know_is_missing(account: Account) -> None:
    told = found(account, "instance type", InstanceType="c7i.large")
    assert told.verdict is Verdict.MISSING
    assert "functions/instance_types.py" in told.told


@pytest.mark.parametrize(
    ("allowed", "core_nodes", "instance", "needed", "verdict"),
    [
        (16.0, "3", "m5.xlarge", 16, Verdict.OK),
        (15.0, "3", "m5.xlarge", 16, Verdict.MISSING),
        (5.0, "1", "m5.xlarge", 8, Verdict.MISSING),
        (100.0, "12", "m5.2xlarge", 104, Verdict.MISSING),
    ],
)
def test_the_quota_is_held_against_the_primary_node_and_the_core_nodes(
    account: Account,
    allowed: float,
    core_nodes: str,
    instance: str,
    needed: int,
    verdict: Verdict,
) -> None:
    account.says("service-quotas", "get_service_quota", {"Quota": QUOTA | {"Value": allowed}})
    told = found(account, "quota", CoreNodes=core_nodes, InstanceType=instance)
    assert told.verdict is verdict
    assert f"needs {needed}" in told.told
    assert ("request-service-quota-increase" in told.told) == (verdict is Verdict.MISSING)


def test_spot_nodes_have_a_quota_of_their_own(account: Account) -> None:
    account.says(
        "service-quotas",
        "get_service_quota",
        {"Quota": QUOTA | {"Value": 4.0}},
        {"Quota": QUOTA | {"QuotaCode": "L-34B43A08", "Value": 11.0}},
    )
    one_client = account.client("service-quotas")
    others = account.client
    account.client = lambda name: one_client if name == "service-quotas" else others(name)  # type: ignore[method-assign]
    told = [each for each in looked(account, CoreMarket="SPOT") if each.subject == "quota"]
    assert [each.verdict for each in told] == [Verdict.OK, Verdict.MISSING]
    assert "11 vCPUs of Spot Standard instances are allowed, a cluster needs 12" in told[1].told


def test_a_quota_that_was_never_applied_is_aws_default(account: Account) -> None:
    account.says("service-quotas", "get_service_quota", ("NoSuchResourceException", "not found"))
    default = {"Quota": QUOTA | {"Value": 5.0}}
    account.says("service-quotas", "get_aws_default_service_quota", default)
    assert "5 vCPUs of On-Demand" in found(account, "quota").told


def test_a_release_that_the_region_lacks_is_missing_with_those_it_has(account: Account) -> None:
    account.says("emr", "describe_release_label", ("InvalidRequestException", "is invalid"))
    account.says("emr", "list_release_labels", {"ReleaseLabels": ["emr-spark-8.0.0"]})
    told = found(account, "EMR release")
    assert told.verdict is Verdict.MISSING
    assert "no emr-spark-8.1.0; of emr-spark-* it has emr-spark-8.0.0" in told.told


@pytest.mark.parametrize(
    ("applications", "verdict"),
    [
        ([{"Name": "Spark", "Version": "4.1.1-amzn-0"}], Verdict.OK),
        ([{"Name": "Spark", "Version": "3.5.6"}], Verdict.NOTE),
        ([{"Name": "Hive", "Version": "3.1.3"}], Verdict.MISSING),
    ],
)
def test_a_releases_spark_is_the_one_that_the_project_is_tested_with(
    account: Account, applications: list[dict[str, str]], verdict: Verdict
) -> None:
    account.says("emr", "describe_release_label", RELEASE | {"Applications": applications})
    assert found(account, "EMR release").verdict is verdict


def test_a_release_of_which_no_python_is_known_is_told(account: Account) -> None:
    later = found(account, "Python", ReleaseLabel="emr-spark-8.9.0")
    assert later.verdict is Verdict.NOTE
    assert found(Account(), "Python").verdict is Verdict.OK


def test_emrs_role_may_come_with_the_first_run(account: Account) -> None:
    account.says("iam", "get_role", ("NoSuchEntity", "cannot be found"))
    told = found(account, "service-linked role")
    assert told.verdict is Verdict.NOTE
    assert "EMR makes it at the first run" in told.told


@pytest.mark.parametrize(("kind", "verdict"), [("FREE", Verdict.NOTE), ("PAID", Verdict.OK)])
def test_the_free_plan_is_told(account: Account, kind: str, verdict: Verdict) -> None:
    plan = {"accountId": "123456789012", "accountPlanType": kind, "accountPlanStatus": "ACTIVE"}
    account.says("freetier", "get_account_plan_state", plan)
    assert found(account, "account plan").verdict is verdict


def test_an_account_from_before_there_were_plans_is_not_on_the_free_one(account: Account) -> None:
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
def test_a_key_of_the_accounts_own_for_all_disks_is_told(
    account: Account, key: str, given: str, verdict: Verdict
) -> None:
    account.says("ec2", "get_ebs_encryption_by_default", {"EbsEncryptionByDefault": True})
    account.says("ec2", "get_ebs_default_kms_key_id", {"KmsKeyId": key})
    assert found(account, "disk key", DiskKeyArn=given).verdict is verdict


@pytest.mark.parametrize(
    ("state", "verdict", "words"),
    [
        ("CREATE_COMPLETE", Verdict.OK, "a deploy updates it"),
        ("UPDATE_ROLLBACK_COMPLETE", Verdict.OK, "a deploy updates it"),
        ("REVIEW_IN_PROGRESS", Verdict.OK, "not carried out"),
        ("ROLLBACK_COMPLETE", Verdict.MISSING, "`make destroy STACK=similar-titles`"),
        ("CREATE_FAILED", Verdict.MISSING, "`make destroy STACK=similar-titles`"),
        ("DELETE_FAILED", Verdict.MISSING, "`make destroy STACK=similar-titles`"),
        ("UPDATE_ROLLBACK_FAILED", Verdict.MISSING, "continue-update-rollback"),
        ("DELETE_IN_PROGRESS", Verdict.MISSING, "wait"),
    ],
)
def test_a_stack_of_the_name_is_told_with_the_way_out(
    account: Account, state: str, verdict: Verdict, words: str
) -> None:
    stack = {"StackName": "similar-titles", "StackStatus": state, "CreationTime": "2026-11-26"}
    account.says("cloudformation", "describe_stacks", {"Stacks": [stack]})
    told = found(account, "stack")
    assert (told.verdict, words in told.told) == (verdict, True)


def test_what_may_not_be_asked_is_not_checked_and_hides_nothing(account: Account) -> None:
    refused = "User is not authorized to perform this"
    account.says("service-quotas", "get_service_quota", ("AccessDeniedException", refused))
    account.says("ec2", "describe_instance_type_offerings", ("UnauthorizedOperation", refused))
    account.says("iam", "get_role", ("AccessDenied", refused))
    account.says("freetier", "get_account_plan_state", ("AccessDeniedException", refused))
    findings = looked(account)
    unknown = {each.told for each in findings if each.verdict is Verdict.UNKNOWN}
    assert unknown == {
        "needs the action servicequotas:GetServiceQuota",
        "needs the action ec2:DescribeInstanceTypeOfferings",
        "needs the action iam:GetRole",
        "needs the action freetier:GetAccountPlanState",
    }
    assert {"stack", "EMR release", "disk key"} <= {
        each.subject for each in findings if each.verdict is Verdict.OK
    }


def test_another_answer_is_told_in_aws_words(account: Account) -> None:
    account.says("emr", "describe_release_label", ("InternalServerException", "try later"))
    told = found(account, "EMR release")
    assert told.verdict is Verdict.UNKNOWN
    assert "DescribeReleaseLabel answered InternalServerException: try later" in told.told


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (("ExpiredToken", "The security token is expired"), "sign in again"),
        (("InvalidClientTokenId", "The token is invalid"), "sign in again"),
        (("AccessDenied", "by a policy"), "refused"),
    ],
)
def test_without_good_credentials_nothing_else_is_asked(
    account: Account, refusal: tuple[str, str], words: str
) -> None:
    account.says("sts", "get_caller_identity", refusal)
    (told,) = looked(account)
    assert (told.verdict, words in told.told) == (Verdict.MISSING, True)


def test_no_credentials_at_all_are_told_with_what_to_do() -> None:
    def client(_: str) -> Any:
        raise NoCredentialsError

    (told,) = preflight(Plan("similar-titles", PARAMETERS), client)
    assert (told.verdict, "AWS_PROFILE" in told.told) == (Verdict.MISSING, True)


def test_no_region_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    session = boto3.session.Session()
    (told,) = preflight(Plan("similar-titles", PARAMETERS), lambda name: session.client(name))
    assert (told.verdict, "AWS_REGION" in told.told) == (Verdict.MISSING, True)


def test_the_free_tier_is_asked_at_its_one_address() -> None:
    # https://docs.aws.amazon.com/cli/latest/reference/freetier/
    assert module.regional("freetier").meta.endpoint_url == "https://freetier.us-east-1.api.aws"


def test_the_plan_is_what_make_deploy_would_deploy(tmp_path: Path) -> None:
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


def test_what_moto_plays_of_an_empty_account_is_as_it_should_be() -> None:
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
def test_the_command_ends_with_1_only_where_something_is_missing(
    account: Account, monkeypatch: pytest.MonkeyPatch, zone: str, status: int
) -> None:
    run: Callable[[Plan], Any] = lambda plan: preflight(plan, account.client)  # noqa: E731
    monkeypatch.setattr(module, "preflight", run)
    answer = CliRunner().invoke(cli, ["preflight", "--zone", zone])
    assert answer.exit_code == status
    assert f"{zone} has" in answer.output
    as_json = CliRunner().invoke(cli, ["preflight", "--zone", zone, "--json"])
    findings = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert as_json.exit_code == status
    assert any(each["verdict"] == "missing" for each in findings) == bool(status)
