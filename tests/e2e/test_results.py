"""What a run leaves in S3, where the job writes it by itself and with the rights of the nodes."""

import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

import boto3
import pyarrow.parquet as pq
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from local.cloud import STACK, Cloud
from spark.contracts.manifest import Manifest, Part
from tests.builders.world import World
from tests.e2e.test_pipeline import files, ratings
from tests.spark import oracle

pytestmark = pytest.mark.e2e


def content(world: World, key: str) -> bytes:
    """An object of the results bucket."""
    bucket = world.cloud.outputs["ResultsBucket"]
    return world.cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()


def names(world: World, run_id: str) -> set[str]:
    """What a run has below its prefix."""
    s3, prefix = world.cloud.client("s3"), f"runs/{run_id}/"
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=world.cloud.outputs["ResultsBucket"], Prefix=prefix
    )
    keys = [item["Key"] for page in pages for item in page["Contents"]]
    # pyarrow, when it has deleted something, marks the folder that it was in as there.
    return {key.removeprefix(prefix) for key in keys if not key.endswith("/")}


def test_what_the_job_writes_is_whole_is_what_its_manifest_says_and_nothing_else_is_left(
    world: World,
) -> None:
    rated = ratings(seed=7)
    world.drop("results", files(rated))
    run = world.wait_for_run("results", "LIVE", "FAILED")
    assert run["state"] == "LIVE", run.get("reason")
    prefix = f"runs/{run['run_id']}/"

    manifest = Manifest.from_json(content(world, prefix + "manifest.json"))
    assert manifest.quality is not None
    parts: list[Part] = [*manifest.neighbours, manifest.titles, manifest.quality]
    blobs = {part.name: content(world, prefix + part.name) for part in parts}
    told = {part.name: (part.bytes, part.sha256) for part in parts}
    assert told == {
        name: (len(blob), hashlib.sha256(blob).hexdigest()) for name, blob in blobs.items()
    }
    lines = [
        json.loads(line)
        for part in manifest.neighbours
        for line in gzip.decompress(blobs[part.name]).splitlines()
    ]
    assert len(lines) == manifest.counts["movies"] == 15

    written = names(world, run["run_id"])
    pairs = {name for name in written if name.startswith("similarities/")}
    rows = [
        tuple(row.values())
        for name in pairs
        for row in pq.read_table(io.BytesIO(content(world, prefix + name))).to_pylist()
    ]
    assert sorted(rows) == oracle.similarities(rated, 10, 0.95)
    ours = {name for name in written if not name.startswith(("input/", "code/"))}
    assert ours == blobs.keys() | pairs | {"manifest.json"}


def node_role(cloud: Cloud) -> str:
    """The name of EmrNodeRole."""
    detail = cloud.client("cloudformation").describe_stack_resource(
        StackName=STACK, LogicalResourceId="EmrNodeRole"
    )["StackResourceDetail"]
    return detail["PhysicalResourceId"]


def idle_rights(cloud: Cloud, role: str) -> set[tuple[str, str]]:
    """The rights of a role that no cluster has made use of by now: action and ARN, as given."""
    iam, used = cloud.client("iam"), cloud.access_decisions(f"{role}/j-*")
    given = {
        (action, arn)
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
        for statement in iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"][
            "Statement"
        ]
        for action in listed(statement["Action"])
        for arn in listed(statement["Resource"])
    }
    return {
        right for right in given if not any(all(map(fnmatchcase, each, right)) for each in used)
    }


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


# The local step does not need these: its Spark needs no archive and no bucket's region, and
# nothing goes wrong with it while it writes.
ONLY_OF_CLUSTERS = {"s3:GetBucketLocation", "s3:GetObjectTagging", "s3:AbortMultipartUpload"}


def test_the_nodes_role_has_no_right_that_no_run_uses(world: World) -> None:
    cloud, role = world.cloud, node_role(world.cloud)
    world.drop("rights", files(ratings(seed=9)))
    run = world.wait_for_run("rights", "LIVE", "FAILED")
    assert run["state"] == "LIVE", run.get("reason")
    bucket = f"arn:aws:s3:::{cloud.outputs['ResultsBucket']}"
    world.wait_for_cluster(run["run_id"], "TERMINATED")
    idle = idle_rights(cloud, role)
    assert {right for right in idle if right[0] not in ONLY_OF_CLUSTERS} == {
        ("s3:GetObject", f"{bucket}/environments/*")
    }


@contextmanager
def denied(world: World, action: str, below: str) -> Iterator[None]:
    """Take a right from the nodes' role."""
    iam, role = world.cloud.client("iam"), node_role(world.cloud)
    bucket = world.cloud.outputs["ResultsBucket"]
    resource = f"arn:aws:s3:::{bucket}/{below}"
    statement: dict[str, Any] = {"Effect": "Deny", "Action": action, "Resource": resource}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=role, PolicyName="denied", PolicyDocument=document)
    try:
        yield
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="denied")


def test_a_right_that_is_taken_from_the_nodes_role_fails_the_run_and_its_step_says_so(
    world: World,
) -> None:
    with denied(world, "s3:PutObject", "runs/*/neighbours/*"):
        world.drop("denied", files(ratings(seed=8)))
        run = world.wait_for_run("denied", "LIVE", "FAILED")
    assert run["state"] == "FAILED"
    emr = world.cloud.client("emr")
    cluster = world.wait_for_cluster(run["run_id"], "TERMINATED_WITH_ERRORS")["Id"]
    (step,) = emr.list_steps(ClusterId=cluster)["Steps"]
    said = step["Status"]["FailureDetails"]["Message"]
    assert f"runs/{run['run_id']}/neighbours/part-0" in said
    assert "ACCESS_DENIED" in said
    assert "manifest.json" not in names(world, run["run_id"])


def test_who_does_not_sign_is_refused_as_by_s3(world: World) -> None:
    access, bucket = world.cloud.access, world.cloud.outputs["ResultsBucket"]
    nobody = boto3.client(
        "s3", endpoint_url=access.endpoint, config=Config(signature_version=UNSIGNED)
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        nobody.list_objects_v2(Bucket=bucket)
