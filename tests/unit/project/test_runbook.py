"""The documents match the code: every alarm, reason and parameter has a row."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.builders.aws import template
from tests.conftest import ROOT

CODE = sorted([*(ROOT / "functions").rglob("*.py"), *(ROOT / "spark").rglob("*.py")])
# Errors whose messages operators see, as the reason of a run or as a refusal.
SHOWN = {
    "BudgetError",
    "ClusterRefusedError",
    "DatasetError",
    "EnvironmentMissingError",
    "HopelessError",
    "IntakeError",
    "ManifestError",
    "PartError",
    "ReplacedError",
    "RunError",
}
FAILING = {"fail", "failed", "abandon"}  # kinds of Action and ClusterEvent that end a run


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
        case ast.FunctionDef(name="describe" | "_termination_reason" | "_overdue_reason"):
            return [each.value for each in ast.walk(node) if isinstance(each, ast.Return)]
        case ast.Assign(targets=[ast.Name(id="reason")], value=message):
            return [message]
        case ast.Call(args=arguments) if any(
            isinstance(each, ast.Constant) and each.value in FAILING for each in arguments
        ):
            return [each for each in arguments[2:] if fixed(each) not in FAILING]
    return []


def messages() -> Iterator[str]:
    """The constant pieces of all messages to operators."""
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            yield from filter(None, map(fixed, shown(node)))


@pytest.mark.parametrize("message", sorted(set(messages())))
def test_every_message_to_an_operator_is_in_the_runbook(message: str) -> None:
    assert message in document("runbook.md")


def test_messages_of_every_part_of_the_pipeline_are_checked() -> None:
    assert {
        "bytes; the limit is 5 GiB",  # the launcher
        "the launcher did not finish: drop the folder again",  # the sweep
        "the step FAILED:",  # the monitor
        "is in the manifest but not in S3",  # the indexer
        "ratings: the sums would overflow",  # the job
    } <= set(messages())


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
