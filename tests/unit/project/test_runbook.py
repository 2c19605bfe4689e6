"""The documents match the code: every alarm, reason and parameter has a row."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import product

import numpy as np
import pytest
from aws_lambda_powertools.utilities.data_classes import EventBridgeEvent

import emr_events
import runs
from control import handler as control
from emr_events import TRANSIENT
from launcher import handler as launcher
from runs import RunError, states
from spark.contracts.manifest import Manifest, ManifestError
from spark.contracts.movielens import DatasetError
from spark.engine.blocks import choose_blocks
from sweeper import reconcile
from tests.builders.aws import CONTEXT, Cloud
from tests.conftest import ROOT
from tests.unit.runbook import has_row, quotes, rows
from tests.unit.runs import test_reconcile
from tools.function_environment import STACK
from tools.sample_events import dropped, event
from tools.template import template

SHOWN_ACTIONS = {
    "terminate",
    "fail",
    "relaunch",
    "abandon",
}  # of the sweep: people see their reason


@pytest.mark.parametrize("message", ["", "...", "a disk failed", "run 7 exists: look elsewhere"])
def test_the_runbook_has_no_row_for_just_anything(message: str) -> None:
    assert not has_row(message)


def test_errors_of_every_part_of_the_pipeline_are_checked(cloud: Cloud, raised: set[str]) -> None:
    cloud.put("ml/ratings.csv", "userId,movieId,rating,timestamp\n")
    cloud.put("ml/movies.csv", "movieId,title,genres\n1,Heat (1995),Crime\n")
    launcher.lambda_handler(dropped("ml/ratings.csv"), CONTEXT)
    with pytest.raises(ManifestError, match="not readable") as of_result:
        Manifest.from_json("cut off")
    with pytest.raises(DatasetError, match="overflow") as of_job:
        choose_blocks(*(np.array([number]) for number in (1, 2**31, 1)), 10, 1)
    with pytest.raises(RunError, match="unknown command") as of_control:
        control.carry_out("erase", None)
    seen = [str(error.value) for error in (of_result, of_job, of_control)]
    assert raised == {cloud.all_runs()[0]["reason"], *seen}


def sweeps() -> Iterator[tuple[runs.Run | None, reconcile.Cluster | None, bool]]:
    """Runs and their clusters as a sweep may find them, and whether there is a result."""
    times = [timedelta(minutes=minutes) for minutes in (1, 31, 61, 421)]
    clusters = [
        test_reconcile.cluster(state, age, interactive, code, started_in)
        for state in test_reconcile.STATES
        for age in times
        for interactive in (False, True)
        for code in ("VALIDATION_ERROR", "INTERNAL_ERROR")
        for started_in in (None, timedelta(0))
    ]
    found = [None] + [
        test_reconcile.run(state, idle) | {"index_attempts": attempts}
        for state in states.State
        for idle in times
        for attempts in (0, reconcile.MAX_INDEX_ATTEMPTS)
    ]
    return product(found, [None, *clusters], (False, True))


def test_every_reason_of_the_sweep_has_a_row_and_every_row_a_reason() -> None:
    expected = rows("Failures found by the sweep", "Clusters that the sweep terminated")
    expected += [row for row in rows("Failures while indexing") if "could not be indexed" in row]
    reasons = {
        reason
        for run, cluster, has_result in sweeps()
        for kind, reason in test_reconcile.decisions(run, cluster, has_result)
        if kind in SHOWN_ACTIONS
    }
    for reason in sorted(reasons):
        assert any(quotes(row, reason) for row in expected), reason
    for row in expected:
        assert any(quotes(row, reason) for reason in reasons), row


@pytest.mark.parametrize("name", ["monitor-step-failed", "monitor-cluster-failed"])
@pytest.mark.parametrize("code", [*sorted(TRANSIENT), "VALIDATION_ERROR", "STEP_FAILURE", "NEW"])
def test_every_reason_of_emr_has_a_row(name: str, code: str) -> None:
    sample = event(name)
    if "stateChangeReason" in sample["detail"]:
        reason = json.dumps({"code": code, "message": "the message of EMR"})
        sample["detail"]["stateChangeReason"] = reason
    parsed = emr_events.parse(EventBridgeEvent(sample), STACK)
    assert parsed is not None
    assert parsed.status == "failed"
    expected = rows("Failures reported by EMR")
    assert any(quotes(row, parsed.reason) for row in expected), parsed.reason


@pytest.mark.parametrize(
    ("lines", "words"),
    [("", "has no line of data"), ("1,x,4.0,1\n" * 9, "sampled lines are malformed")],
)
def test_every_reason_of_the_samples_has_a_row(cloud: Cloud, lines: str, words: str) -> None:
    cloud.put("ml/ratings.csv", "userId,movieId,rating,timestamp\n" + lines)
    cloud.put("ml/movies.csv", "movieId,title,genres\n1,Heat (1995),Crime\n")
    launcher.lambda_handler(dropped("ml/ratings.csv"), CONTEXT)
    (run,) = cloud.all_runs()
    (row,) = [row for row in rows("Before the cluster starts") if words in row]
    assert quotes(row, run["reason"]), run["reason"]


def test_every_alarm_is_in_the_runbook() -> None:
    resources = template()["Resources"]
    alarms = [name for name, each in resources.items() if each["Type"] == "AWS::CloudWatch::Alarm"]
    rows = re.findall(r"^\| `(\w+Alarm)` \|", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    assert sorted(alarms) == sorted(rows)


def test_every_parameter_is_in_the_table_of_parameters() -> None:
    rows = re.findall(r"^\| (`.+?) \|", (ROOT / "docs/deploy.md").read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([A-Z]\w+)`", row)}
    assert set(template()["Parameters"]) == named


def test_every_output_that_the_documents_use_exists() -> None:
    outputs = template()["Outputs"]
    for name in ("runbook.md", "deploy.md"):
        text = (ROOT / "docs" / name).read_text()
        queues = re.findall(r"QUEUE=(\w+)\s+# or (.+)", text)
        named = {each for one, others in queues for each in [one, *others.split(", ")]}
        named |= set(re.findall(r"\$\(output ([A-Z]\w+)\)", text))
        named |= set(re.findall(r"the stack's output `(\w+)`", text))
        assert named
        assert named <= set(outputs), name
