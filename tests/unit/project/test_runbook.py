"""The documents match the code: every alarm, reason and parameter has a row."""

import ast
import importlib
import json
import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import product

import pytest
from aws_lambda_powertools.utilities.data_classes import EventBridgeEvent

import emr_events
import run_states
import runs
from emr_events import TRANSIENT
from launcher import handler as launcher
from launcher import launch
from run_results import PartError
from runs import RunError
from spark.contracts.manifest import ManifestError
from spark.contracts.quality import QualityError
from sweeper import reconcile
from tests.builders.aws import CONTEXT, Cloud
from tests.conftest import ROOT
from tests.unit.runs import test_reconcile
from tools.function_environment import STACK
from tools.sample_events import dropped, event
from tools.template import template

CODE = sorted([*(ROOT / "functions").rglob("*.py"), *(ROOT / "spark").rglob("*.py")])
# What fails a run in the launcher and the job, in the indexer, and what control refuses with.
FAILURES = (*launch.PERMANENT_ERRORS, ManifestError, PartError, QualityError, RunError)


def import_all() -> None:
    """Import all modules: a class of errors exists when its module is imported."""
    for path in CODE:
        if path.name != "similarity_job.py":  # the program of the job
            root = ROOT / "functions" if path.is_relative_to(ROOT / "functions") else ROOT
            module = ".".join(path.relative_to(root).with_suffix("").parts)
            importlib.import_module(module.removesuffix(".__init__"))


def names_of(errors: Iterable[type[Exception]]) -> Iterator[str]:
    """The names of some classes of errors and of all their subclasses."""
    for error in errors:
        yield error.__name__
        yield from names_of(error.__subclasses__())


import_all()
SHOWN = frozenset(names_of(FAILURES))  # errors whose messages operators see
SHOWN_ACTIONS = {
    "terminate",
    "fail",
    "relaunch",
    "abandon",
}  # of the sweep: people see their reason


def document(name: str) -> str:
    """The text of a document without line breaks and backquotes."""
    return " ".join((ROOT / "docs" / name).read_text().replace("`", "").split())


def fixed(message: ast.expr | None) -> str | None:
    """The longest constant piece of a message, or None."""
    match message:
        case ast.Constant(value=str(text)):
            pieces = [text]
        case ast.JoinedStr(values=values):
            pieces = [each.value for each in values if isinstance(each, ast.Constant)]
        case _:
            return None
    return " ".join(max(map(str, pieces), key=len).replace("`", "").split())


def shown(node: ast.AST) -> list[ast.expr | None]:
    """The messages to operators in one node of the code."""
    match node:
        case ast.Raise(exc=ast.Call(func=ast.Name(id=name), args=[message, *_])) if name in SHOWN:
            return [message]
        case ast.ClassDef(name=name) if name in SHOWN:
            return [
                call.args[0]
                for call in ast.walk(node)
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__"
            ]
    return []


def messages() -> Iterator[str]:
    """The constant pieces of all messages to operators."""
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            yield from filter(None, map(fixed, shown(node)))


@pytest.mark.parametrize("message", sorted(set(messages())))
def test_every_message_to_an_operator_is_in_the_runbook(message: str) -> None:
    assert message in document("runbook.md")


def test_errors_of_every_part_of_the_pipeline_are_checked() -> None:
    assert {
        "bytes; the limit is 5 GiB",  # the launcher
        "is in the manifest but not in S3",  # the indexer
        "ratings: the sums would overflow",  # the job
    } <= set(messages())


def rows(*headings: str) -> list[str]:
    """The first cells of the tables below some headings of the runbook."""
    text = (ROOT / "docs" / "runbook.md").read_text()
    sections = {
        part.partition("\n")[0]: part for part in re.split(r"^#+ ", text, flags=re.MULTILINE)
    }
    found = [row for name in headings
             for row in re.findall(r"^\| (.*?) \|", sections[name], re.MULTILINE)]  # fmt: skip
    return [row for row in found if "`" in row]


def quotes(row: str, reason: str) -> bool:
    """Whether a row of the runbook quotes a reason; `...` stands for the parts that vary."""
    return any(
        re.fullmatch(".*".join(map(re.escape, quoted.split("..."))), reason, re.DOTALL)
        for quoted in re.findall(r"`([^`]+)`", row)
    )


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
        for state in run_states.State
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
