"""What the test on AWS does with an account: waits for events, removes, looks for remains."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

POLL_SECONDS = 15
# EventBridge tells of a bucket's objects from about five minutes after that was switched on; what
# is dropped sooner may be lost. The same files dropped again make no second run.
DROP_AGAIN_SECONDS, EVENT_LIMIT_SECONDS = 60, 15 * 60
RUN_LIMIT_SECONDS = 60 * 60
ALIVE = ("STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING", "TERMINATING")

type Run = dict[str, Any]


def ask(url: str) -> tuple[int, Any]:
    """What an API answers: status and body."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def run_of(api: str, folder: str) -> Run | None:
    """The latest run of a folder, or None where there is none, or the API did not answer."""
    try:
        status, body = ask(f"{api}/runs")
    except (OSError, ValueError):  # no connection, or an answer of something in between
        return None
    runs: list[Run] = body["runs"] if status == 200 else []
    return next((each for each in runs if each["folder"] == folder), None)


def dropped_until_seen(drop: Callable[[], None], seen: Callable[[], Run | None]) -> Run:
    """Drop a folder, each minute anew, until it has its run; returns that.

    Raises:
        AssertionError: it has none after a quarter of an hour.
    """
    begun = dropped_at = time.monotonic()
    drop()
    while (found := seen()) is None:
        now = time.monotonic()
        assert now - begun < EVENT_LIMIT_SECONDS, "no drop was seen: do the bucket's events arrive?"
        if now - dropped_at >= DROP_AGAIN_SECONDS:
            sys.stderr.write(f"no run after {now - begun:.0f} s, the folder is dropped again\n")
            drop()
            dropped_at = now
        time.sleep(POLL_SECONDS)
    return found


def finished(seen: Callable[[], Run | None]) -> Run:
    """A run once it has ended.

    Raises:
        AssertionError: it does not end within an hour.
    """
    deadline, found = time.monotonic() + RUN_LIMIT_SECONDS, None
    while time.monotonic() < deadline:
        found = seen() or found
        if found and found["state"] in {"LIVE", "FAILED"}:
            return found
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"the run did not end in time: {found}")


def removed(name: str, destroy: Callable[[], None]) -> list[str]:
    """Remove a stack, by a second try where the first fails; returns what is left all the same."""
    for _ in range(2):
        try:
            destroy()
            break
        except subprocess.CalledProcessError as error:
            sys.stderr.write(f"destroying {name} failed: {error}\n")
    remains = list(left(name))
    sys.stderr.write(
        "".join(f"LEFT of {name}: {each}\n" for each in remains) or f"nothing is left of {name}\n"
    )
    return remains


def left(name: str) -> Iterator[str]:
    """What an account still has of a stack: by name, with which everything of it begins, or tag.

    It shares nothing with what destroys a stack. Where it may not look it says so: that is no
    proof that nothing is there.
    """
    for kind, look in LOOKS.items():
        try:
            yield from (f"{kind} {each}" for each in look(name))
        except (BotoCoreError, ClientError) as error:
            yield f"{kind}: not known, {error}"


def _pages(service: str, operation: str, key: str, **asked: Any) -> Iterator[Any]:
    """All that a paginated operation lists."""
    make: Any = boto3.client
    for page in make(service).get_paginator(operation).paginate(**asked):
        yield from page.get(key, [])


def _stacks(name: str) -> Iterator[str]:
    for each in _pages("cloudformation", "describe_stacks", "Stacks"):
        if each["StackName"] == name:
            yield each["StackStatus"]


def _buckets(name: str) -> Iterator[str]:
    for each in _pages("s3", "list_buckets", "Buckets"):
        if each["Name"].startswith(f"{name}-"):
            yield each["Name"]


def _tables(name: str) -> Iterator[str]:
    for each in _pages("dynamodb", "list_tables", "TableNames"):
        if each.startswith(f"{name}-"):
            yield each


def _log_groups(name: str) -> Iterator[str]:
    for each in _pages("logs", "describe_log_groups", "logGroups"):
        group = each["logGroupName"]
        if f"/{name}/" in group or f"/{name}-" in f"/{group}":
            yield group


def _clusters(name: str) -> Iterator[str]:
    emr = boto3.client("emr")
    for each in _pages("emr", "list_clusters", "Clusters", ClusterStates=list(ALIVE)):
        tags = emr.describe_cluster(ClusterId=each["Id"])["Cluster"].get("Tags", [])
        if {"Key": "similar-titles:stack", "Value": name} in tags:
            yield f"{each['Id']} is {each['Status']['State']}"


def _security_configurations(name: str) -> Iterator[str]:
    for each in _pages("emr", "list_security_configurations", "SecurityConfigurations"):
        if each["Name"].startswith(f"{name}-"):
            yield each["Name"]


def _networks(name: str) -> Iterator[str]:
    named = [{"Name": "tag:Name", "Values": [name]}]
    yield from (each["VpcId"] for each in _pages("ec2", "describe_vpcs", "Vpcs", Filters=named))


def _endpoints(name: str) -> Iterator[str]:
    networks = set(_networks(name))
    for each in _pages("ec2", "describe_vpc_endpoints", "VpcEndpoints"):
        if each["VpcId"] in networks and each["State"].lower() != "deleted":
            yield f"{each['VpcEndpointId']} in {each['VpcId']}"


def _roles(name: str) -> Iterator[str]:
    for each in _pages("iam", "list_roles", "Roles"):
        if each["RoleName"].startswith(f"{name}-"):
            yield each["RoleName"]


LOOKS: dict[str, Callable[[str], Iterator[str]]] = {
    "stack": _stacks,
    "bucket": _buckets,
    "table": _tables,
    "log group": _log_groups,
    "cluster": _clusters,
    "security configuration": _security_configurations,
    "network": _networks,
    "endpoint": _endpoints,
    "role": _roles,
}
