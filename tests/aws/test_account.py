"""The pipeline in a real AWS account: deploy, run once, remove. Opt-in, because it costs money.

`make test-aws SPEND=yes` creates a separate stack, launches one cluster of four m5.xlarge for about
ten minutes, and deletes everything with its data, even after a failure. It fails if anything is
left, and names it.
"""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.aws.account import ask, dropped_until_seen, finished, removed, run_of
from tests.conftest import GIVEN, ROOT
from tests.e2e.test_pipeline import answers_are_exact, files, ratings

WARNING = (
    "SPENDS MONEY, about 0.20 USD: four m5.xlarge for ten minutes in the account of your "
    "credentials; run it with `make test-aws SPEND=yes`"
)
PARAMETERS = ("SettleSeconds=5", "MaxRunCost=0.5", "DeadlineMinutes=45", "IdleMinutes=10")


def run(*command: str) -> None:
    """Run a tool in the project's folder with visible output."""
    path = f"{ROOT / '.venv-sam' / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    subprocess.run(command, cwd=ROOT, env=os.environ | {"PATH": path}, check=True)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> str:
    """The account's number; skips without credentials or without SPEND=yes."""
    if GIVEN.get("SIMILAR_TITLES_SPEND") != "yes":
        pytest.skip(WARNING)
    for name in os.environ.keys() - GIVEN.keys():
        monkeypatch.delenv(name)
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    # A new session, because the default one may have the other tests' keys.
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    try:
        return boto3.client("sts").get_caller_identity()["Account"]
    except (BotoCoreError, ClientError) as error:
        pytest.skip(f"no AWS credentials or region: {error}")


@pytest.fixture
def outputs(account: str) -> Iterator[Mapping[str, str]]:
    """The outputs of a separate stack, which is always removed."""
    name = f"similar-titles-{uuid.uuid4().hex[:8]}"
    sys.stderr.write(f"account {account}, stack {name}: {WARNING}\n")
    sam, operate = [str(ROOT / ".venv-sam" / "bin" / "sam")], str(ROOT / "similar-titles")
    run(operate, "preflight", "--stack", name)  # before anything costs money
    try:
        run(*sam, "build")
        deploy = [*sam, "deploy", "--stack-name", name, "--no-confirm-changeset"]
        run(*deploy, "--parameter-overrides", *PARAMETERS)
        run("make", "environment", f"STACK={name}")
        run(*deploy, "--parameter-overrides", *PARAMETERS)  # without changes, which must succeed
        stack = boto3.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        yield {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    finally:
        destroy = [operate, "destroy", "--with-data", "--yes", "--stack", name]
        remains = removed(name, lambda: run(*destroy))
    assert not remains


def test_a_dropped_folder_is_answered_from_and_nothing_is_left(outputs: Mapping[str, str]) -> None:
    rated, s3 = ratings(seed=1), boto3.client("s3")

    def drop() -> None:
        for name, text in files(rated).items():
            s3.put_object(Bucket=outputs["DatasetsBucket"], Key=f"films/{name}", Body=text.encode())

    api = outputs["ApiUrl"]
    dropped_until_seen(drop, lambda: run_of(api, "films"))
    ended = finished(lambda: run_of(api, "films"))
    assert ended["state"] == "LIVE", ended["reason"]
    answers_are_exact(lambda path: ask(api + path), rated, ended["run_id"])
