"""The pipeline in a real AWS account: deployed, run once, removed. Opt-in, for it costs money.

`make test-aws SPEND=yes` makes one stack of its own, launches one cluster of four m5.xlarge for
about ten minutes, and deletes everything with its data, also where something fails.
"""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from local.cluster import ENDED
from tests.conftest import GIVEN, ROOT
from tests.e2e.test_pipeline import answers_are_exact, files, ratings

WARNING = (
    "SPENDS MONEY, about 0.20 USD: four m5.xlarge for ten minutes in the account of your "
    "credentials; `make test-aws SPEND=yes` does it"
)
PARAMETERS = ("SettleSeconds=5", "MaxRunCost=0.5", "DeadlineMinutes=45", "IdleMinutes=10")
LIMIT_SECONDS = 60 * 60
POLL_SECONDS = 15


def run(*command: str) -> None:
    """Run a tool in the project's folder; what it says is seen."""
    path = f"{ROOT / '.venv-sam' / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    subprocess.run(command, cwd=ROOT, env=os.environ | {"PATH": path}, check=True)


def ask(url: str) -> tuple[int, Any]:
    """What an API answers: status and body."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> str:
    """The account's number; skips where there is none or nobody has said that money may go."""
    if GIVEN.get("SIMILAR_TITLES_SPEND") != "yes":
        pytest.skip(WARNING)
    for name in os.environ.keys() - GIVEN.keys():
        monkeypatch.delenv(name)
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    # A session of its own: the usual one may have been made with the other tests' keys.
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    try:
        return boto3.client("sts").get_caller_identity()["Account"]
    except (BotoCoreError, ClientError) as error:
        pytest.skip(f"no AWS credentials and region to try it with: {error}")


@pytest.fixture
def outputs(account: str) -> Iterator[Mapping[str, str]]:
    """The outputs of a stack of its own, which is removed whatever comes."""
    name = f"similar-titles-{uuid.uuid4().hex[:8]}"
    sys.stderr.write(f"account {account}, stack {name}: {WARNING}\n")
    sam = [str(ROOT / ".venv-sam" / "bin" / "sam")]
    try:
        run(*sam, "build")
        deploy = [*sam, "deploy", "--stack-name", name, "--no-confirm-changeset"]
        run(*deploy, "--parameter-overrides", *PARAMETERS)
        run(sys.executable, "-m", "local.environment", "--upload", name)
        stack = boto3.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        yield {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    finally:
        run(str(ROOT / "similar-titles"), "destroy", "--with-data", "--yes", "--stack", name)
    assert not list(left(name))


def left(name: str) -> Iterator[str]:
    """What an account still has of a stack: by name, for everything of it begins with that."""
    buckets = boto3.client("s3").list_buckets()["Buckets"]
    yield from (each["Name"] for each in buckets if each["Name"].startswith(name))
    tables = boto3.client("dynamodb").list_tables()["TableNames"]
    yield from (each for each in tables if each.startswith(name))
    emr = boto3.client("emr")
    for each in emr.list_clusters()["Clusters"]:
        if each["Name"].startswith(name) and each["Status"]["State"] not in ENDED:
            yield each["Id"]
    listed = emr.list_security_configurations()["SecurityConfigurations"]
    yield from (each["Name"] for each in listed if each["Name"].startswith(name))


def finished(api: str, folder: str) -> dict[str, Any]:
    """The run of a folder once it has ended."""
    deadline, found = time.monotonic() + LIMIT_SECONDS, None
    while time.monotonic() < deadline:
        runs = ask(f"{api}/runs")[1].get("runs", [])
        found = next((each for each in runs if each["folder"] == folder), None)
        if found and found["state"] in {"LIVE", "FAILED"}:
            return found
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"the run of {folder} did not end in time: {found}")


def test_a_dropped_folder_is_answered_from_and_nothing_is_left(outputs: Mapping[str, str]) -> None:
    rated = ratings(seed=1)
    for name, text in files(rated).items():
        boto3.client("s3").put_object(
            Bucket=outputs["DatasetsBucket"], Key=f"films/{name}", Body=text.encode()
        )
    api = outputs["ApiUrl"]
    ended = finished(api, "films")
    assert ended["state"] == "LIVE", ended["reason"]
    answers_are_exact(lambda path: ask(api + path), rated, ended["run_id"])
