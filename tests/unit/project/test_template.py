"""The transformed template: no cycles, no shared names."""

import logging
import re
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from typing import Any

import boto3
from freezegun import freeze_time
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

from tests.conftest import ROOT

TEXT = (ROOT / "template.yaml").read_text()
# Properties that name something of AWS' own, or something inside a resource.
NO_NAMES = {"MetricName", "ServiceName", "StageName"}


@cache
def transformed(**parameters: str) -> dict[str, Any]:
    """The template after SAM's transform."""
    fragment = yaml_parse(TEXT)
    fragment["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    session = boto3.Session(region_name="eu-central-1")
    return Translator({}, Parser(), boto_session=session).translate(fragment, parameters)


def references(value: Any) -> Iterator[str]:
    """The logical ids that a part of the template refers to."""
    match value:
        case {"Ref": name}:
            yield name
        case {"Fn::GetAtt": [name, *_]}:
            yield name
        case {"Fn::GetAtt": str(name)}:
            yield name.split(".")[0]
        case {"Fn::Sub": text}:
            words, more = (text, {}) if isinstance(text, str) else text
            yield from re.findall(r"\$\{(\w+)[.}]", words)
            yield from references(more)
        case dict():
            for each in value.values():
                yield from references(each)
        case list():
            for each in value:
                yield from references(each)


def test_no_resource_depends_on_itself() -> None:
    resources = transformed()["Resources"]
    assert len(resources) > len(yaml_parse(TEXT)["Resources"]), "SAM has made more of it"
    waits_for = {}
    for name, resource in resources.items():
        needs = resource.get("DependsOn", [])
        needs = {needs} if isinstance(needs, str) else set(needs)
        needs |= set(references(resource.get("Properties", {})))
        waits_for[name] = needs & resources.keys()
    TopologicalSorter(waits_for).prepare()


def test_two_stacks_share_no_name() -> None:
    resources = transformed()["Resources"]
    names = {
        f"{resource}.{name}": value
        for resource, body in resources.items()
        for name, value in body.get("Properties", {}).items()
        if name.endswith("Name") and name not in NO_NAMES
    }
    assert {"Dashboard.DashboardName", "Api.Name"} <= names.keys()
    shared = [
        where
        for where, value in names.items()
        if "AWS::StackName" not in str(value) and not set(references(value)) & resources.keys()
    ]
    assert not shared
    assert not [each for each in transformed()["Outputs"].values() if "Export" in each]


def test_a_stack_in_another_region_has_a_dashboard_of_its_own() -> None:
    # All dashboards of an account are global; the second stack would take the first one's.
    assert properties("Dashboard")["DashboardName"] == {
        "Fn::Sub": "${AWS::StackName}-${AWS::Region}"
    }


def properties(name: str, **parameters: str) -> dict[str, Any]:
    """The properties of a resource."""
    return transformed(**parameters)["Resources"][name]["Properties"]


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    """The resources of a type."""
    resources = transformed()["Resources"]
    return {name: body for name, body in resources.items() if body["Type"] == kind}


def test_the_nodes_reach_emr_by_the_addresses_of_their_network() -> None:
    rules = properties("ServiceAccessGroup")["SecurityGroupIngress"]
    assert {"Ref": "VpcCidr"} in [
        rule.get("CidrIp") for rule in rules if (rule["FromPort"], rule["ToPort"]) == (443, 443)
    ]


def test_your_own_network_needs_its_address_range() -> None:
    (rule,) = transformed()["Rules"]["OwnVpcNeedsItsAddresses"]["Assertions"]
    default = transformed()["Parameters"]["VpcCidr"]["Default"]
    assert rule["Assert"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "VpcCidr"}, default]}]}


def test_only_emr_logs_can_be_written_to_buckets_of_other_accounts() -> None:
    statements = properties("S3Endpoint")["PolicyDocument"]["Statement"]
    own = [each for each in statements if "Condition" in each]
    assert [each["Condition"]["StringEquals"] for each in own] == [
        {"aws:ResourceAccount": {"Ref": "AWS::AccountId"}}
    ]
    writing = [
        each["Resource"]
        for each in statements
        if each not in own and any("Put" in action or "*" in action for action in listed(each))
    ]
    assert [[arn["Fn::Sub"].split(":::")[1] for arn in arns] for arns in writing] == [
        ["aws157-logs-prod/*", "aws157-logs-prod-${AWS::Region}/*"]
    ]


def listed(statement: dict[str, Any]) -> list[str]:
    """The actions of a statement."""
    action = statement["Action"]
    return [action] if isinstance(action, str) else action


def test_the_api_has_one_stage_and_its_limits_apply_to_it() -> None:
    (stage,) = of_type("AWS::ApiGateway::Stage").values()
    assert stage["Properties"]["StageName"] == "v1"
    (limits,) = stage["Properties"]["MethodSettings"]
    assert limits["ThrottlingRateLimit"] == 100
    (deployment,) = of_type("AWS::ApiGateway::Deployment").values()
    assert "StageName" not in deployment["Properties"]


def test_every_deployment_updates_the_api() -> None:
    def deployment(on: str, **parameters: str) -> object:
        with freeze_time(on):
            return properties("Apiv1Stage", **parameters)["DeploymentId"]

    before = deployment("2026-11-23", RequireApiKey="false")
    assert deployment("2026-11-24", RequireApiKey="true") != before


def test_a_failed_first_deployment_leaves_nothing_and_a_deleted_stack_keeps_its_data() -> None:
    policies = {
        name: (body["DeletionPolicy"], body["UpdateReplacePolicy"])
        for name, body in transformed()["Resources"].items()
        if body.get("DeletionPolicy", "Delete") != "Delete"
    }
    assert policies.keys() == {
        "DatasetsBucket", "ResultsBucket", "RunsTable", "ApiLogsRole", "ApiAccount",
    }  # fmt: skip
    assert set(policies.values()) == {("RetainExceptOnCreate", "Retain")}


def test_the_accounts_log_role_is_not_changed_unless_requested() -> None:
    conditions = transformed()["Conditions"]
    assert transformed()["Parameters"]["AccessLogs"]["Default"] == "off"
    assert conditions["SetsLogsRole"] == {"Fn::Equals": [{"Ref": "AccessLogs"}, "set-role"]}
    for name in ("ApiLogsRole", "ApiAccount"):
        assert transformed()["Resources"][name]["Condition"] == "SetsLogsRole"
    condition, *_ = properties("Apiv1Stage")["AccessLogSetting"]["Fn::If"]
    assert condition == transformed()["Resources"]["ApiLogs"]["Condition"] == "LogsRequests"


def test_no_log_group_has_a_fixed_name() -> None:
    for body in of_type("AWS::Logs::LogGroup").values():
        assert "LogGroupName" not in body["Properties"]


def test_the_index_is_loaded_by_few_functions_at_once() -> None:
    mapping = properties("IndexerFunctionIndex")
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 2}


def test_every_star_resource_has_a_comment() -> None:
    stars = [line for line in TEXT.splitlines() if re.search(r"Resource: \"\*\"", line)]
    assert stars
    # The gateway endpoint's two have a Sid that gives the reason.
    unexplained = [line for line in stars if "#" not in line]
    assert len(unexplained) == TEXT.count("- Sid: OwnBuckets #") + TEXT.count(
        "- Sid: ReadSoftwareOfAws #"
    )


def test_every_queue_but_a_dead_letter_queue_has_one() -> None:
    queues = {name: body["Properties"] for name, body in of_type("AWS::SQS::Queue").items()}
    with_one = {name for name, each in queues.items() if "RedrivePolicy" in each}
    assert with_one
    assert {name for name in queues if not name.endswith("DeadLetterQueue")} == with_one
