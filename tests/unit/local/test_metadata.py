"""The instance metadata service, from which the local cloud's nodes get credentials."""

import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, cast
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.utils import InstanceMetadataFetcher
from moto import mock_aws

from local.access import Access, clean_environment
from local.emr.metadata import Credentials, InstanceMetadata, MetadataError, profile_credentials

ROLE = "/latest/meta-data/iam/security-credentials/"
TRUSTED = "ec2.amazonaws.com"


class Sts:
    """Returns credentials with another key at each call.

    Attributes:
        minutes_old: age of the next session.
        asked: number of calls.
        error: raised instead of returning credentials.
    """

    def __init__(self) -> None:
        self.minutes_old = 0
        self.asked = 0
        self.error: Exception | None = None

    def __call__(self) -> Credentials:
        if self.error:
            raise self.error
        self.asked += 1
        began = datetime.now(UTC) - timedelta(minutes=self.minutes_old)
        ends = began + timedelta(hours=1)
        return Credentials("nodes", f"ASIA{self.asked}", "secret", "session", began, ends)


@pytest.fixture
def sts() -> Sts:
    return Sts()


@pytest.fixture
def metadata(sts: Sts) -> Iterator[InstanceMetadata]:
    with InstanceMetadata(sts, "eu-north-1") as metadata:
        yield metadata


def ask(metadata: InstanceMetadata, method: str, path: str, **headers: str) -> tuple[int, str]:
    """Return status and text; `ttl` and `token` are short for the names of the headers."""
    names = {"ttl": "X-aws-ec2-metadata-token-ttl-seconds", "token": "X-aws-ec2-metadata-token"}
    connection = http.client.HTTPConnection(urlsplit(metadata.endpoint).netloc, timeout=10)
    connection.request(method, path, headers={names[name]: headers[name] for name in headers})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def session(metadata: InstanceMetadata) -> str:
    status, token = ask(metadata, "PUT", "/latest/api/token", ttl="60")
    assert status == 200
    return token


def fetched(metadata: InstanceMetadata) -> dict[str, str]:
    """Return the credentials that boto3 fetches."""
    fetcher = InstanceMetadataFetcher(base_url=metadata.endpoint, env={})
    return fetcher.retrieve_iam_role_credentials()


def test_the_three_steps_of_the_protocol_give_credentials(metadata: InstanceMetadata) -> None:
    token = session(metadata)
    assert ask(metadata, "GET", ROLE, token=token) == (200, "nodes")
    status, text = ask(metadata, "GET", ROLE + "nodes", token=token)
    said = json.loads(text)
    times = [datetime.fromisoformat(said.pop(name)) for name in ("LastUpdated", "Expiration")]
    assert times[1] - times[0] == timedelta(hours=1)
    assert (status, said) == (
        200,
        {
            "Code": "Success",
            "Type": "AWS-HMAC",
            "AccessKeyId": "ASIA1",
            "SecretAccessKey": "secret",
            "Token": "session",
        },
    )
    assert ask(metadata, "GET", ROLE + "somebody", token=token)[0] == 404
    assert ask(metadata, "GET", "/latest/user-data", token=token)[0] == 404


def test_requests_without_a_session_token_are_refused(
    metadata: InstanceMetadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [ROLE, ROLE + "nodes", "/latest/meta-data/placement/region", "/latest/user-data"]
    for path in paths:
        assert ask(metadata, "GET", path)[0] == 401
        assert ask(metadata, "GET", path, token="invented")[0] == 401
    token = session(metadata)
    monkeypatch.setattr("local.emr.metadata.time.monotonic", lambda: float("inf"))
    assert [ask(metadata, "GET", path, token=token)[0] for path in paths] == [401] * 4


@pytest.mark.parametrize("ttl", ["", "0", "21601", "-1", "an hour"])
def test_a_session_token_lasts_from_a_second_to_six_hours(
    metadata: InstanceMetadata, ttl: str
) -> None:
    headers = {"ttl": ttl} if ttl else {}
    assert ask(metadata, "PUT", "/latest/api/token", **headers)[0] == 400


def test_the_region_is_served(metadata: InstanceMetadata) -> None:
    token = session(metadata)
    region, zone, identity = (
        ask(metadata, "GET", f"/latest/{path}", token=token)[1]
        for path in (
            "meta-data/placement/region",
            "meta-data/placement/availability-zone",
            "dynamic/instance-identity/document",
        )
    )
    assert (region, zone, json.loads(identity)["region"]) == (
        "eu-north-1",
        "eu-north-1a",
        "eu-north-1",
    )


def test_credentials_are_renewed_after_half_of_their_session(
    sts: Sts, metadata: InstanceMetadata
) -> None:
    sts.minutes_old = 29
    assert fetched(metadata)["access_key"] == fetched(metadata)["access_key"] == "ASIA1"
    assert sts.asked == 1
    sts.minutes_old = 31
    with InstanceMetadata(sts) as another:
        assert fetched(another)["access_key"] != fetched(another)["access_key"]


def test_boto3_gets_no_credentials_during_an_outage_and_gets_them_afterwards(
    metadata: InstanceMetadata,
) -> None:
    metadata.outage = True
    assert fetched(metadata) == {}
    assert ask(metadata, "PUT", "/latest/api/token", ttl="60") == (503, "")
    metadata.outage = False
    assert fetched(metadata)["token"] == "session"


def test_a_role_that_cannot_be_assumed_is_reported_as_ec2_does(
    sts: Sts, metadata: InstanceMetadata
) -> None:
    refusal = {"Error": {"Code": "AccessDenied", "Message": "not you"}}
    sts.error = ClientError(cast("Any", refusal), "AssumeRole")
    status, text = ask(metadata, "GET", ROLE + "nodes", token=session(metadata))
    said = json.loads(text)
    assert (status, said["Code"]) == (200, "AssumeRoleUnauthorizedAccess")
    assert "not you" in said["Message"]
    assert fetched(metadata) == {}
    sts.error = EndpointConnectionError(endpoint_url="http://127.0.0.1")
    assert ask(metadata, "GET", ROLE, token=session(metadata)) == (503, "")


class Bucket(BaseHTTPRequestHandler):
    """An empty S3 that records the keys of the requests."""

    keys: list[str]

    def do_GET(self) -> None:
        key = self.headers["Authorization"].partition("Credential=")[2].partition("/")[0]
        self.keys.append(f"{key} {self.headers['X-Amz-Security-Token']}")
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def bucket() -> Iterator[tuple[str, list[str]]]:
    """Yield an S3's URL and the keys of its requests."""
    handler = type("Handler", (Bucket,), {"keys": []})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", handler.keys
        server.shutdown()


CLIENTS = {
    "boto3": """
import boto3, botocore, sys
try:
    boto3.client("s3", endpoint_url=sys.argv[1]).head_object(Bucket="bucket", Key="key")
except botocore.exceptions.ClientError:
    pass
""",
    "pyarrow": """
import sys
from pyarrow import fs
s3 = fs.S3FileSystem(region="eu-central-1", endpoint_override=sys.argv[1])
assert s3.get_file_info("bucket/key").type == fs.FileType.NotFound
""",
}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_without_keys_signs_with_the_nodes_credentials(
    metadata: InstanceMetadata, client: str
) -> None:
    environment = clean_environment() | {
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.endpoint,
        "AWS_EC2_METADATA_DISABLED": "false",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }
    with bucket() as (url, keys):
        subprocess.run([sys.executable, "-c", CLIENTS[client], url], env=environment, check=True)
        assert set(keys) == {"ASIA1 session"}


class Aws:
    """An `Access` to moto."""

    def client(self, service: str) -> Any:
        make: Any = boto3.client
        return make(service)


@pytest.fixture
def access() -> Iterator[Access]:
    with mock_aws():
        yield cast("Access", Aws())


def make_profile(access: Access, service: str) -> None:
    """Create the profile `nodes` with the role `node-role`, which trusts a service."""
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam = access.client("iam")
    iam.create_role(RoleName="node-role", AssumeRolePolicyDocument=document)
    iam.create_instance_profile(InstanceProfileName="nodes")
    iam.add_role_to_instance_profile(InstanceProfileName="nodes", RoleName="node-role")


@pytest.mark.parametrize("name", ["nodes", "arn:aws:iam::123456789012:instance-profile/nodes"])
def test_a_profile_gives_its_roles_credentials(access: Access, name: str) -> None:
    make_profile(access, TRUSTED)
    given = profile_credentials(access, name, "j-CLUSTER")()
    assert given.role == "node-role"
    assert given.is_fresh
    assert given.expires - given.issued > timedelta(minutes=59)
    who = boto3.client(
        "sts",
        aws_access_key_id=given.access_key,
        aws_secret_access_key=given.secret_key,
        aws_session_token=given.token,
    ).get_caller_identity()
    assert who["Arn"].endswith(":assumed-role/node-role/j-CLUSTER")


def test_a_profile_that_ec2_cannot_use_is_refused(access: Access) -> None:
    with pytest.raises(MetadataError, match="Invalid InstanceProfile: nodes"):
        profile_credentials(access, "nodes", "j-CLUSTER")
    make_profile(access, "lambda.amazonaws.com")
    with pytest.raises(MetadataError, match=r"no role that ec2\.amazonaws\.com may assume"):
        profile_credentials(access, "nodes", "j-CLUSTER")
