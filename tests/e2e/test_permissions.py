"""Least privilege: each function may do what its work needs, and is denied what others' work needs.

That each does its work is what the other tests here show. These borrow credentials of a function or
of a cluster's nodes, as an intruder would have them, and try a table of actions. The emulator
judges neither iam:PassRole nor the making of service-linked roles.
"""

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local.cloud import STACK, Cloud
from local.emr.metadata import profile_credentials
from tests.conftest import Observed

pytestmark = pytest.mark.e2e

DENIED = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"}
LENDER = """import os
def handler(event, context):
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    return {name.lower(): os.environ[name] for name in names}
"""
FUNCTIONS = ("Launcher", "Monitor", "Sweeper", "Notifier", "Indexer", "Query", "Control")
NODES = "Nodes"
RUN = "runs/20990101T000000000Z-00000000/"
KEY = {"pk": {"S": "nothing"}, "sk": {"S": "nothing"}}
MOVIE = {"pk": {"S": "nothing"}}
# Even a permitted write changes nothing: IAM is checked before the condition.
NEVER = {"ConditionExpression": "attribute_exists(pk) AND attribute_not_exists(pk)"}
SET = {"UpdateExpression": "SET a = :a", "ExpressionAttributeValues": {":a": {"S": "x"}}, **NEVER}
# What the functions that take these messages pass over.
NO_DROP = json.dumps({"detail": {"bucket": {"name": "x"}, "object": {"key": "x"}}})


class Attempt(NamedTuple):
    """An action on a resource, and who may: functions, and the nodes of clusters.

    A value that is a resource's logical id stands for the resource.
    """

    who: str
    service: str
    method: str
    arguments: Mapping[str, Any]


def s3(who: str, method: str, bucket: str, key: str | None = None) -> Attempt:
    """Something done to a bucket or an object of it."""
    never = {"IfMatch": "nothing"} if method == "put_object" else {}
    return Attempt(who, "s3", method, {"Bucket": bucket} | ({"Key": key} if key else {}) | never)


def table(who: str, method: str, name: str, **arguments: object) -> Attempt:
    """Something done to a table."""
    return Attempt(who, "dynamodb", method, {"TableName": name, **arguments})


def queue(who: str, method: str, name: str, **arguments: object) -> Attempt:
    """Something done to a queue."""
    return Attempt(who, "sqs", method, {"QueueUrl": name, **arguments})


ATTEMPTS = [
    s3("Launcher Sweeper", "list_objects_v2", "DatasetsBucket"),
    s3("Launcher Sweeper", "list_multipart_uploads", "DatasetsBucket"),
    s3("Launcher Sweeper", "get_object", "DatasetsBucket", "ml/ratings.dat"),
    s3("", "put_object", "DatasetsBucket", "ml/ratings.dat"),
    s3("", "delete_object", "DatasetsBucket", "ml/ratings.dat"),
    s3("", "list_object_versions", "ResultsBucket"),
    s3("Launcher Monitor Sweeper Indexer Control Nodes", "list_objects_v2", "ResultsBucket"),
    s3("Launcher Nodes", "head_object", "ResultsBucket", "environments/x.tar.gz"),
    s3("", "put_object", "ResultsBucket", "environments/x.tar.gz"),
    s3("Launcher Nodes", "get_object", "ResultsBucket", RUN + "input/x"),
    s3("Launcher Nodes", "put_object", "ResultsBucket", RUN + "input/x"),
    Attempt(
        "Launcher Nodes",
        "s3",
        "abort_multipart_upload",
        {"Bucket": "ResultsBucket", "Key": RUN + "input/x", "UploadId": "x"},
    ),
    s3("Launcher Nodes", "put_object", "ResultsBucket", RUN + "code/x"),
    s3(
        "Monitor Sweeper Indexer Control Nodes",
        "get_object",
        "ResultsBucket",
        RUN + "manifest.json",
    ),
    s3("Nodes", "put_object", "ResultsBucket", RUN + "manifest.json"),
    s3("Monitor Sweeper Nodes", "get_object", "ResultsBucket", RUN + "failure.json"),
    s3("Indexer Nodes", "get_object", "ResultsBucket", RUN + "neighbours/x"),
    s3("Nodes", "put_object", "ResultsBucket", RUN + "neighbours/x"),
    s3("Indexer Query Nodes", "get_object", "ResultsBucket", RUN + "titles/x"),
    s3("Nodes", "get_object", "ResultsBucket", RUN + "rejects/x"),
    s3("", "get_object", "ResultsBucket", "logs/x"),
    s3("Nodes", "put_object", "ResultsBucket", "logs/x"),
    s3("Nodes", "delete_object", "ResultsBucket", RUN + "input/x"),
    s3("", "put_bucket_versioning", "ResultsBucket")._replace(
        arguments={
            "Bucket": "ResultsBucket",
            "VersioningConfiguration": {"Status": "Enabled"},
        }
    ),
    table("Launcher Monitor Sweeper Indexer Query Control", "get_item", "RunsTable", Key=KEY),
    table(
        "Sweeper Query Control",
        "query",
        "RunsTable",
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": KEY["pk"]},
    ),
    table("", "scan", "RunsTable"),
    table("Launcher", "put_item", "RunsTable", Item=KEY, **NEVER),
    table("Launcher Monitor Sweeper Indexer Control", "update_item", "RunsTable", Key=KEY, **SET),
    # On AWS only waiting drops; the emulator does not judge dynamodb:LeadingKeys.
    table("Launcher Sweeper", "delete_item", "RunsTable", Key=KEY, **NEVER),
    table("Indexer Query Control Sweeper", "get_item", "IndexTable", Key=MOVIE),
    Attempt(
        "Query", "dynamodb", "batch_get_item", {"RequestItems": {"IndexTable": {"Keys": [MOVIE]}}}
    ),
    table("", "scan", "IndexTable"),
    table("Indexer Control", "put_item", "IndexTable", Item=MOVIE, **NEVER),
    table("", "update_item", "IndexTable", Key=MOVIE, **SET),
    table("", "delete_item", "IndexTable", Key=MOVIE, **NEVER),
    Attempt(
        "Indexer",
        "dynamodb",
        "batch_write_item",
        {"RequestItems": {"IndexTable": [{"DeleteRequest": {"Key": MOVIE}}]}},
    ),
    queue("Launcher Monitor Sweeper Control", "send_message", "LaunchQueue", MessageBody=NO_DROP),
    queue("Sweeper Indexer Control", "send_message", "IndexQueue", MessageBody=NO_DROP),
    queue("Launcher", "delete_message", "LaunchQueue", ReceiptHandle="x"),
    queue("Indexer", "delete_message", "IndexQueue", ReceiptHandle="x"),
    queue("", "delete_message", "LaunchDeadLetterQueue", ReceiptHandle="x"),
    queue(
        "Launcher",
        "change_message_visibility",
        "LaunchQueue",
        ReceiptHandle="x",
        VisibilityTimeout=1,
    ),
    queue(
        "Indexer",
        "change_message_visibility",
        "IndexQueue",
        ReceiptHandle="x",
        VisibilityTimeout=1,
    ),
    queue("", "get_queue_url", "")._replace(arguments={"QueueName": "x"}),
    Attempt("Sweeper Notifier", "sns", "publish", {"TopicArn": "Topic", "Message": "a test"}),
    Attempt("", "sns", "list_subscriptions", {}),
    Attempt("", "lambda", "invoke", {"FunctionName": "ControlFunction", "Payload": b"{}"}),
    Attempt("", "lambda", "get_function", {"FunctionName": "LauncherFunction"}),
    Attempt("Launcher Sweeper", "emr", "list_clusters", {}),
    Attempt("Monitor Sweeper", "emr", "describe_cluster", {"ClusterId": "own cluster"}),
    Attempt("Monitor", "emr", "describe_step", {"ClusterId": "own cluster", "StepId": "s-1"}),
    Attempt(
        "Launcher", "emr", "add_tags", {"ResourceId": "own cluster", "Tags": []}
    ),  # when it asks
    Attempt("", "emr", "terminate_job_flows", {"JobFlowIds": ["cluster of another stack"]}),
    Attempt("Sweeper", "emr", "terminate_job_flows", {"JobFlowIds": ["own cluster"]}),
    Attempt(
        "Launcher",
        "emr",
        "run_job_flow",
        {"Name": "x", "Instances": {}, "ServiceRole": "x", "JobFlowRole": "x"},
    ),
    Attempt("", "iam", "list_roles", {}),
    Attempt("", "ec2", "describe_vpcs", {}),
    Attempt("", "cloudformation", "describe_stacks", {}),
]


@pytest.fixture(scope="module")
def resources(cloud: Cloud) -> Iterator[dict[str, str]]:
    """Names of what the stack has made, by logical id, and two clusters."""
    cloudformation = cloud.client("cloudformation")
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=STACK)
    named = {
        each["LogicalResourceId"]: each["PhysicalResourceId"]
        for page in pages
        for each in page["StackResourceSummaries"]
    }
    # The emulator's EMR, not the fake one: these never run.
    emr = cloud.access.client("emr", cloud.access.endpoint)
    for name, stack in (("own cluster", STACK), ("cluster of another stack", f"{STACK}-prod")):
        named[name] = emr.run_job_flow(
            Name="nobody's",
            Instances={"KeepJobFlowAliveWhenNoSteps": True},
            ServiceRole="x",
            JobFlowRole="x",
            Tags=[{"Key": "similar-titles:stack", "Value": stack}],
        )["JobFlowId"]
    yield named
    living = [each["Id"] for each in emr.list_clusters()["Clusters"] if each["Name"] == "x"]
    ours = [named["own cluster"], named["cluster of another stack"]]
    emr.terminate_job_flows(JobFlowIds=[*ours, *living])


@pytest.fixture(scope="module")
def sessions(cloud: Cloud, resources: Mapping[str, str]) -> Iterator[dict[str, boto3.Session]]:
    """Sessions with the own credentials of the functions and of the nodes."""
    functions = cloud.client("lambda")
    blob = io.BytesIO()
    with zipfile.ZipFile(blob, "w") as archive:
        archive.writestr("lender.py", LENDER)
    for name in FUNCTIONS:
        configuration = functions.get_function_configuration(
            FunctionName=resources[f"{name}Function"]
        )
        functions.create_function(
            FunctionName=f"lender-{name}",
            Runtime=configuration["Runtime"],
            Role=configuration["Role"],
            Handler="lender.handler",
            Code={"ZipFile": blob.getvalue()},
        )
    lent = {}
    for name in FUNCTIONS:
        functions.get_waiter("function_active_v2").wait(FunctionName=f"lender-{name}")
        answer = functions.invoke(FunctionName=f"lender-{name}")
        keys = json.loads(answer["Payload"].read())
        lent[name] = boto3.Session(**keys, region_name=functions.meta.region_name)
    nodes = profile_credentials(cloud.access, resources["EmrInstanceProfile"], "a-test")()
    lent[NODES] = boto3.Session(
        nodes.access_key, nodes.secret_key, nodes.token, functions.meta.region_name
    )
    yield lent
    for name in FUNCTIONS:
        functions.delete_function(FunctionName=f"lender-{name}")


def with_names(value: Any, names: Mapping[str, str]) -> Any:
    """Arguments with the names of resources in place of their logical ids."""
    match value:
        case str():
            return names.get(value, value)
        case list():
            return [with_names(each, names) for each in value]
        case dict():
            return {names.get(key, key): with_names(each, names) for key, each in value.items()}
    return value


def is_denied(client: Any, method: str, arguments: Mapping[str, Any]) -> bool:
    """Whether an action is refused for want of the right to it."""
    try:
        getattr(client, method)(**arguments)
    except ClientError as error:
        # What has no body to say it in has the status alone.
        return error.response["Error"]["Code"] in DENIED | {"403"}
    return False


@pytest.mark.drill(
    "Access",
    injected="with each function's own credentials every action that any function may do, and some "
    "that none may",
    promised="exactly the actions that are its own are allowed",
)
@pytest.mark.parametrize("function", [*FUNCTIONS, NODES])
def test_a_function_may_do_its_own_work_and_nothing_else(
    cloud: Cloud,
    resources: Mapping[str, str],
    sessions: Mapping[str, boto3.Session],
    function: str,
    observed: Observed,
) -> None:
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    clients = {
        service: sessions[function].client(
            service, endpoint_url=cloud.access.endpoint, config=config
        )
        for service in {attempt.service for attempt in ATTEMPTS}
    }
    wrong = [
        f"{'denied' if denied else 'not denied'}: {attempt.method} {attempt.arguments}"
        for attempt in ATTEMPTS
        if (
            denied := is_denied(
                clients[attempt.service], attempt.method, with_names(attempt.arguments, resources)
            )
        )
        == (function in attempt.who.split())
    ]
    assert not wrong, "\n".join(wrong)
    denied = sum(function not in attempt.who.split() for attempt in ATTEMPTS)
    observed(len(ATTEMPTS), f"{function}: {denied} denied, {len(ATTEMPTS) - denied} allowed")
