"""Each function may do what its requests need; other rights have a comment in the template.

The requests of all functions are recorded while data sets run through the whole pipeline.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from http import HTTPStatus
from types import ModuleType
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.client import BaseClient
from botocore.stub import Stubber
from samtranslator.yaml_helper import yaml_parse

from control import handler as control
from indexer import handler as indexer
from launcher import handler as launcher
from monitor import handler as monitor
from notifier import handler as notifier
from query import handler as query
from sweeper import handler as sweeper
from tests.builders.aws import CONTEXT, RATINGS, Cloud, account, quality
from tests.builders.indexed import PARTS, deliver, drain
from tests.builders.requests import get, post
from tests.conftest import ROOT
from tests.unit.runs.test_control import ask
from tests.unit.runs.test_indexer import manifest_written
from tests.unit.runs.test_sweeper import sweep
from tools.function_environment import DATASETS
from tools.sample_events import event

TEXT = (ROOT / "template.yaml").read_text()
HANDLERS: dict[str, ModuleType] = {
    "Launcher": launcher, "Monitor": monitor, "Sweeper": sweeper, "Notifier": notifier,
    "Indexer": indexer, "Query": query, "Control": control,
}  # fmt: skip
FUNCTIONS = re.findall(r"^  (\w+)Function:\n    Type:", TEXT, re.MULTILINE)
BUCKETS = {"datasets": "DatasetsBucket", "results": "ResultsBucket"}
# Operations whose right has another name; all others have their own.
RIGHTS = {
    "HeadObject": "GetObject",
    "ListObjectsV2": "ListBucket",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "SendMessageBatch": "SendMessage",
}
PREFIXES = {"emr": "elasticmapreduce"}


class Use(NamedTuple):
    """A right that a request needs; resources go by their logical ids."""

    action: str
    resource: str


class Right(NamedTuple):
    """A right of a function, as patterns, and whether its statement has a comment."""

    sid: str
    action: str
    resource: str
    is_explained: bool

    def permits(self, use: Use) -> bool:
        return fnmatchcase(use.action, self.action) and fnmatchcase(use.resource, self.resource)


def uses(service: str, operation: str, parameters: Mapping[str, Any]) -> Iterator[Use]:
    """The rights that a request needs."""
    prefix = PREFIXES.get(service, service)
    match parameters:
        case {"CopySource": source, "Bucket": bucket, "Key": key}:
            taken = f"{source['Bucket']}/{source['Key']}" if isinstance(source, dict) else source
            yield Use("s3:GetObject", in_bucket(*taken.split("/", 1)))
            yield Use("s3:PutObject", in_bucket(bucket, key))
        case {"TransactItems": items}:
            for kind, body in (pair for item in items for pair in item.items()):
                yield Use(f"dynamodb:{kind}Item", body["TableName"])
        case {"RequestItems": tables}:
            yield from (Use(f"dynamodb:{operation}", table) for table in tables)
        case _:
            yield Use(f"{prefix}:{RIGHTS.get(operation, operation)}", resource(parameters))


def in_bucket(bucket: str, key: str | None = None) -> str:
    """A bucket or an object of it."""
    return f"{BUCKETS[bucket]}/{key}" if key else BUCKETS[bucket]


def resource(parameters: Mapping[str, Any]) -> str:
    """The resource that a request names."""
    match parameters:
        case {"TableName": table}:
            return str(table)
        case {"Bucket": bucket}:
            return in_bucket(bucket, parameters.get("Key"))
        case {"QueueUrl": url}:
            return str(url).rpartition("/")[2]
        case {"TopicArn": arn}:
            return str(arn).rpartition(":")[2]
        case {"ClusterId": cluster} | {"JobFlowIds": [cluster]}:
            return f"cluster/{cluster}"
    return ""


def pattern(named: Any) -> str:
    """A resource of the template, as a pattern of `Use.resource`."""
    match named:
        case {"Ref": name} | {"Fn::GetAtt": [name, *_]}:
            return str(name)
        case {"Fn::Sub": text}:
            return re.sub(r"\$\{(\w+)\.Arn\}", r"\1", text).rpartition(":")[2]
    return str(named)


def listed(value: Any) -> list[Any]:
    """A value of the template that may be one or a list."""
    return value if isinstance(value, list) else [value]


def rights(function: str) -> list[Right]:
    """The rights in a function's own statements."""
    _, _, rest = TEXT.partition(f"\n  {function}Function:\n")
    own = re.split(r"\n  (?=[\w#])", rest)[0]
    written = {text.split()[0]: text for text in own.split("- Sid: ")[1:]}
    policies = yaml_parse(TEXT)["Resources"][f"{function}Function"]["Properties"]["Policies"]
    return [
        Right(each["Sid"], action, pattern(resource), "#" in written[each["Sid"]])
        for policy in policies
        for each in policy["Statement"]
        if each["Effect"] == "Allow"
        for action in listed(each["Action"])
        for resource in listed(each["Resource"])
    ]


def recorded(patch: pytest.MonkeyPatch) -> dict[str, set[Use]]:
    """The rights that each function needs from now on."""
    needed: dict[str, set[Use]] = defaultdict(set)
    running: list[str] = []
    send = BaseClient._make_api_call

    def note(client: Any, operation: str, parameters: Any) -> Any:
        if running:
            service = client.meta.service_model.service_name
            needed[running[-1]] |= set(uses(service, operation, parameters))
        return send(client, operation, parameters)

    def named(function: str, handler: Any) -> Any:
        def handle(trigger: Any, context: Any) -> Any:
            running.append(function)
            try:
                return handler(trigger, context)
            finally:
                running.pop()

        return handle

    patch.setattr(BaseClient, "_make_api_call", note)
    for function, module in HANDLERS.items():
        patch.setattr(module, "lambda_handler", named(function, module.lambda_handler))
    return needed


def launched(cloud: Cloud, folder: str) -> dict[str, Any]:
    """A run of a new folder whose cluster was launched."""
    launcher.lambda_handler(cloud.drop(folder, ratings=f"1::1::4::{len(folder)}\n" * 9), CONTEXT)
    return next(run for run in cloud.all_runs() if run["folder"] == folder)


def finished(cloud: Cloud, folder: str) -> str:
    """A run that is live."""
    run_id = launched(cloud, folder)["run_id"]
    cloud.write_result(run_id, PARTS, quality(2.0))
    deliver(manifest_written(run_id))
    drain(cloud)
    return run_id


def of_run(name: str, run: Mapping[str, Any]) -> dict[str, Any]:
    """A sample event of EMR, of this run's cluster."""
    trigger = event(name)
    detail = trigger["detail"]
    detail |= {"clusterId": run["cluster_id"], "name": f"similar-titles-{run['run_id']}"}
    return trigger


def let_everything_happen(cloud: Cloud) -> None:
    """Data sets go live, fail, get lost and are run again; people read and give commands."""
    boto3.client("sns").create_topic(Name="Topic")
    first, *_ = [finished(cloud, folder) for folder in ("a", "bb", "ccc")]
    for command, run_id in (
        ("rollback", None), ("rebuild", None), ("promote", first), ("rerun", first),
    ):  # fmt: skip
        assert "done" in ask(command, run_id)
        drain(cloud)
    for body in cloud.messages("LaunchQueue"):
        trigger = event("launcher-rerun")
        trigger["Records"][0]["body"] = json.dumps(body)
        launcher.lambda_handler(trigger, CONTEXT)

    for path in ("/movies/1/similar", "/runs", f"/runs/{first}"):
        assert get(path)[0] == HTTPStatus.OK
    assert get("/movies", title="movie")[0] == HTTPStatus.OK
    assert post("/recommendations", {"liked": [1, 2]})[0] == HTTPStatus.OK

    assert post("/similar", {"movie_ids": [1, 2]})[0] == HTTPStatus.OK

    failed = launched(cloud, "dddd")
    monitor.lambda_handler(of_run("monitor-step-failed", failed), CONTEXT)
    never_ready = launched(cloud, "eeeee")
    with Stubber(monitor.emr) as emr:
        created = {"Timeline": {"CreationDateTime": datetime.now(UTC)}}
        emr.add_response("describe_cluster", {"Cluster": {"Status": created}})
        monitor.lambda_handler(of_run("monitor-cluster-failed", never_ready), CONTEXT)

    unindexed = launched(cloud, "ffffff")
    cloud.write_result(unindexed["run_id"], PARTS)
    cloud.emr.terminate_job_flows(JobFlowIds=[unindexed["cluster_id"]])
    cloud.drop("lost")
    launched(cloud, "hanging")
    cloud.put("alone/ratings.dat", RATINGS)
    sweep(after=timedelta(hours=1))
    cloud.s3.delete_object(Bucket=DATASETS, Key="alone/ratings.dat")
    sweep(after=timedelta(hours=3))
    notifier.lambda_handler(event("notifier-run-live"), CONTEXT)


@pytest.fixture(scope="module")
def needed() -> Iterator[dict[str, set[Use]]]:
    """The rights that each function needs."""
    with account() as cloud, pytest.MonkeyPatch.context() as patch:
        patch.setattr(query.reader, "_last", None)
        patch.setattr(query.reader, "_titles", None)
        made = recorded(patch)
        let_everything_happen(cloud)
        yield made


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_may_do_everything_that_its_requests_need(
    needed: dict[str, set[Use]], function: str
) -> None:
    own = rights(function)
    assert needed[function]
    assert not [use for use in needed[function] if not any(each.permits(use) for each in own)]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_right_of_a_function_is_used_or_has_a_comment(
    needed: dict[str, set[Use]], function: str
) -> None:
    idle = [
        right
        for right in rights(function)
        if not right.is_explained and not any(map(right.permits, needed[function]))
    ]
    assert not idle
