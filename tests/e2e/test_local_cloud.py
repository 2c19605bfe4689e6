"""`make local`: a second cloud beside the first, of which nothing is left however it ends."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from local.cloud import Cloud
from local.up import DOCKER_DESKTOP, HOST_FOR_CONTAINERS
from tests.builders.world import LIMIT_SECONDS
from tests.conftest import ROOT

pytestmark = pytest.mark.e2e
FUNCTIONS = "Control Indexer Launcher Monitor Notifier Query Sweeper"
NAMES = (
    "AWS_ENDPOINT_URL AWS_ENDPOINT_URL_EMR AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_REGION"
    " AWS_DEFAULT_REGION DATASETS_BUCKET RESULTS_BUCKET RUNS_TABLE INDEX_TABLE API_URL"
)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def processes_of(folder: Path) -> list[str]:
    """The command lines that name a folder."""
    listed = subprocess.run(
        ["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True
    )
    return [line for line in listed.stdout.splitlines() if str(folder) in line]


def exported(path: Path) -> dict[str, str]:
    lines = path.read_text().splitlines()
    return dict(shlex.split(line.removeprefix("export "))[0].split("=", 1) for line in lines)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`python -m local up`, its temporary files in the test's own folder."""
    process = subprocess.Popen(
        [sys.executable, "-m", "local", "up"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != HOST_FOR_CONTAINERS}
        | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_second_cloud_works_beside_the_first_and_leaves_nothing(
    cloud: Cloud, up: subprocess.Popen[str], tmp_path: Path, number: signal.Signals
) -> None:
    assert up.stdout is not None
    said = next((line for line in up.stdout if "source" in line), "")
    path = ROOT / re.sub(r".*source ", "", said.strip())
    page = next((line for line in up.stdout if line.startswith("Page: ")), "").split()[-1]
    environment = exported(path)
    assert set(environment) == set(NAMES.split())
    assert path.stat().st_mode & 0o777 == 0o600
    assert {urlsplit(environment[name]).hostname for name in environment if "URL" in name} == {
        "127.0.0.1"
    }
    assert environment["AWS_ENDPOINT_URL"] != cloud.access.endpoint
    variables = path.with_name(f"{path.name}.json")
    functions = json.loads(variables.read_text())
    assert set(functions) == {f"{name}Function" for name in FUNCTIONS.split()}
    query = functions["QueryFunction"]
    assert query["RUNS_TABLE"] == environment["RUNS_TABLE"]
    port = urlsplit(environment["AWS_ENDPOINT_URL"]).port
    assert query["AWS_ENDPOINT_URL"] == f"http://{DOCKER_DESKTOP}:{port}"
    with urllib.request.urlopen(f"{environment['API_URL']}/health") as answer:  # noqa: S310
        body = json.load(answer)
        assert (body["status"], body["live_run_id"]) == ("ok", None)
    with urllib.request.urlopen(page) as answer:  # noqa: S310
        assert "<title>Similar titles</title>" in answer.read().decode()
    assert processes_of(tmp_path)
    up.send_signal(number)
    up.wait(LIMIT_SECONDS)
    wait_for(lambda: not processes_of(tmp_path), "processes are left")
    wait_for(lambda: not list(tmp_path.iterdir()), "files are left")
    for left in (path, variables):
        # A file that a killed cloud leaves is taken over by the next one.
        assert number == signal.SIGKILL or not left.exists()
        left.unlink(missing_ok=True)
    assert cloud.get("/health")[0] == 200


@pytest.mark.parametrize(
    ("dataset", "sentence"),
    [
        ("no/such/folder", "Error: no/such/folder is neither a folder nor one of sample, "),
        ("functions", "Error: functions is not a MovieLens folder: it needs one of "),
    ],
)
def test_a_data_set_that_is_not_there_is_one_sentence(dataset: str, sentence: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "local", "demo", "--dataset", dataset],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert answer.stderr.startswith(sentence)
    assert answer.stderr.count("\n") == 1
