"""Helpers of the test on AWS: wait for events, remove the stack, look for remains."""

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
# EventBridge delivers a bucket's events from about five minutes after they were enabled; earlier
# events may be lost. Dropping the same files again does not start a second run.
DROP_AGAIN_SECONDS, EVENT_LIMIT_SECONDS = 60, 15 * 60
RUN_LIMIT_SECONDS = 60 * 60
ALIVE = ("STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING", "TERMINATING")

type Run = dict[str, Any]


def ask(url: str) -> tuple[int, Any]:
    """Send a GET request and return status and body."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def run_of(api: str, folder: str) -> Run | None:
    """Return the latest run of a folder, or None if there is none or the API does not answer."""
    try:
        status, body = ask(f"{api}/runs")
    except (OSError, ValueError):  # no connection, or a response of a proxy
        return None
    runs: list[Run] = body["runs"] if status == 200 else []
    return next((each for each in runs if each["folder"] == folder), None)


def dropped_until_seen(drop: Callable[[], None], seen: Callable[[], Run | None]) -> Run:
    """Drop a folder every minute until it has a run, and return the run.

    Raises:
        AssertionError: the folder has no run after 15 minutes.
    """
    begun = dropped_at = time.monotonic()
    drop()
    while (found := seen()) is None:
        now = time.monotonic()
        assert now - begun < EVENT_LIMIT_SECONDS, (
            "no run has started: do the bucket's events arrive?"
        )
        if now - dropped_at >= DROP_AGAIN_SECONDS:
            sys.stderr.write(f"no run after {now - begun:.0f} s; dropping the folder again\n")
            drop()
            dropped_at = now
        time.sleep(POLL_SECONDS)
    return found


def finished(seen: Callable[[], Run | None]) -> Run:
    """Wait until a run has ended, and return it.

    Raises:
        AssertionError: the run has not ended after an hour.
    """
    deadline, found = time.monotonic() + RUN_LIMIT_SECONDS, None
    while time.monotonic() < deadline:
        found = seen() or found
        if found and found["state"] in {"LIVE", "FAILED"}:
            return found
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"the run did not end in time: {found}")


def removed(name: str, destroy: Callable[[], None]) -> list[str]:
    """Remove a stack, retry once after a failure, and return what is left."""
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
    """Yield what is left of a stack in the account, by the prefix of its names or by tag.

    It shares no code with the teardown. A lookup without permission is reported as unknown,
    because it does not prove that nothing is left.
    """
    for kind, look in LOOKS.items():
        try:
            yield from (f"{kind} {each}" for each in look(name))
        except (BotoCoreError, ClientError) as error:
            yield f"{kind}: unknown, {error}"


def _pages(service: str, operation: str, key: str, **asked: Any) -> Iterator[Any]:
    """Yield the items of a paginated operation."""
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
