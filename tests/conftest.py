"""What all tests share: an environment in which the functions' modules can be imported."""

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import moto  # noqa: F401  (must be there before the modules make their clients)
import pytest

# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

ROOT = Path(__file__).parent.parent
STACK = "similar-titles"

NOTES = "DRILL_NOTES"  # names the file that takes the notes of drills; without it none are taken

type Observed = Callable[[int, str], None]

GIVEN = dict(os.environ)  # as it was: tests/aws takes its credentials from there

os.environ |= {
    # As pytest does: programs that tests start find the code in the same two folders.
    "PYTHONPATH": f"{ROOT / 'functions'}{os.pathsep}{ROOT}",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "STACK_NAME": STACK,
    "RUNS_TABLE": "RunsTable",
    "INDEX_TABLE": "IndexTable",
    "RESULTS_BUCKET": "results",
    "LAUNCH_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/LaunchQueue",
    "INDEX_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/IndexQueue",
    "TOPIC_ARN": "arn:aws:sns:eu-central-1:123456789012:Topic",
    "DATASETS_BUCKET": "datasets",
    "START_MINUTES": "30",
    "DEADLINE_MINUTES": "120",
    "POWERTOOLS_METRICS_NAMESPACE": STACK,
    "POWERTOOLS_SERVICE_NAME": STACK,
    "AWS_RETRY_MODE": "standard",
    "AWS_MAX_ATTEMPTS": "3",
    "SETTLE_SECONDS": "0",
    "RELEASE_LABEL": "emr-spark-8.1.0",
    "INSTANCE_TYPE": "m5.xlarge",
    "CORE_NODES": "3",
    "EMR_SERVICE_ROLE": "arn:aws:iam::123456789012:role/EmrServiceRole",
    "EMR_INSTANCE_PROFILE": "EmrInstanceProfile",
    "SUBNET_ID": "subnet-0abc",
    "PRIMARY_GROUP": "sg-0a",
    "CORE_GROUP": "sg-0b",
    "ACCESS_GROUP": "sg-0c",
    "DISK_KEY_ARN": "",
    "IDLE_MINUTES": "60",
    "INTERACTIVE": "false",
    "CORE_MARKET": "ON_DEMAND",
    "COST_TAG": "similar-titles",
    "MAX_RUN_COST": "0",
    "JOB_SETTINGS": json.dumps(
        {
            "min_co_raters": 10,
            "min_score": 0.95,
            "neighbours": 50,
            "default_measure": "blend",
            "max_ratings_per_user": 0,
            "similar_users": 0,
        }
    ),
    "GATE_LIMITS": json.dumps(
        {
            "rejected_share": 0.01,
            "doubled_users": 0.01,
            "quality_loss": 0.1,
            "titles_lost": 0.2,
            "ratings_lost": 0.25,
            "titles_changed": 0.1,
            "lists_moved": 0.6,
        }
    ),
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",  # half the time of a test that launches a cluster
}
for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
    os.environ.pop(name, None)


def event(name: str) -> dict[str, Any]:
    """One of the files in events/, the very ones that `sam local invoke` takes."""
    return json.loads((ROOT / "events" / f"{name}.json").read_text())


def movielens(release: str) -> Path:
    """A real data set's folder; the test skips where MOVIELENS_DIR does not have it."""
    folder = Path(os.environ.get("MOVIELENS_DIR", "no such folder")) / release
    if not folder.is_dir():
        pytest.skip(f"MOVIELENS_DIR names no folder with {release}")
    return folder


@pytest.fixture
def observed(request: pytest.FixtureRequest) -> Observed:
    """Notes what a drill has seen: how often something was injected, and what came of it.

    What was injected and what is promised its mark says: `@pytest.mark.drill(AREA, ...)`.
    """
    marker = request.node.get_closest_marker("drill")
    module = request.node.path.relative_to(ROOT / "tests").as_posix()
    row = {"area": marker.args[0], "module": module}
    row |= {"drill": request.node.originalname, **marker.kwargs}

    def note(times: int, said: str) -> None:
        if notes := os.environ.get(NOTES):
            with Path(notes).open("a") as file:
                file.write(json.dumps({**row, "times": times, "observed": said}) + "\n")

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how long each layer of tests took, with what it set up."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.split("/")[1]] += report.duration
    told = ", ".join(f"{layer} {round(taken)} s" for layer, taken in seconds.most_common())
    terminalreporter.write_line(f"by layer: {told}")
