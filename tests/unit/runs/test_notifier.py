"""The notifier: one message for each run that goes live or fails, with what to do."""

import json
from typing import Any

import pytest

from notifications import run_message, sweep_message
from notifier import handler as notifier
from tests.builders.aws import CONTEXT
from tools.sample_events import event

RUN: dict[str, Any] = {"run_id": "20261123T120500000Z-5f2a9c01", "folder": "ml", "state": "FAILED"}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The messages that people receive."""
    messages: list[dict[str, Any]] = []
    monkeypatch.setattr(notifier.sns, "publish", lambda **message: messages.append(message))
    return messages


def changed(old: str | None, new: str) -> dict[str, Any]:
    """The stream event of a run that changed state."""
    trigger = event("notifier-run-live")
    change = trigger["Records"][0]["dynamodb"]
    change["NewImage"]["state"]["S"] = new
    if old is None:
        del change["OldImage"]
    else:
        change["OldImage"]["state"]["S"] = old
    return trigger


def test_the_message_of_a_live_run_has_its_figures(sent: list) -> None:
    assert notifier.lambda_handler(event("notifier-run-live"), CONTEXT)["batchItemFailures"] == []
    (message,) = sent
    assert message["TopicArn"] == notifier.topic
    assert message["Subject"] == "similar-titles: LIVE ml-10M100K"
    assert "10,000,054 ratings, 22,245,920 pairs" in message["Message"]
    assert "make rollback STACK=similar-titles" in message["Message"]
    assert "0.15 USD" in message["Message"]


@pytest.mark.parametrize(
    ("old", "new", "count"),
    [
        ("RUNNING", "FAILED", 1),
        (None, "FAILED", 1),
        ("SUPERSEDED", "LIVE", 1),
        ("LIVE", "LIVE", 0),
        ("FAILED", "FAILED", 0),
        ("STARTING", "RUNNING", 0),
        ("LIVE", "SUPERSEDED", 0),
    ],
)
def test_only_a_change_to_live_or_failed_sends_a_message(
    sent: list, old: str | None, new: str, count: int
) -> None:
    notifier.lambda_handler(changed(old, new), CONTEXT)
    assert len(sent) == count


def test_the_claim_of_a_data_set_is_not_a_run(sent: list) -> None:
    trigger = changed(None, "FAILED")
    trigger["Records"][0]["dynamodb"]["NewImage"]["pk"]["S"] = "DATASET"
    notifier.lambda_handler(trigger, CONTEXT)
    assert sent == []


def test_metrics_count_runs_by_state_and_what_went_live(
    sent: list, capsys: pytest.CaptureFixture
) -> None:
    notifier.lambda_handler(event("notifier-run-live"), CONTEXT)
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    assert (line["RunsLive"], line["TitlesIndexed"], line["RowsRejected"]) == ([1], [10681], [0])
    assert len(sent) == 1


def test_a_message_that_could_not_be_sent_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(notifier.sns, "publish", refuse)
    trigger = event("notifier-run-live")
    trigger["Records"].append(json.loads(json.dumps(trigger["Records"][0])))
    trigger["Records"][1]["dynamodb"] |= {"SequenceNumber": "2"}
    trigger["Records"][1]["dynamodb"]["NewImage"]["state"]["S"] = "RUNNING"
    answer = notifier.lambda_handler(trigger, CONTEXT)
    failed = [item["itemIdentifier"] for item in answer["batchItemFailures"]]
    assert failed == [trigger["Records"][0]["dynamodb"]["SequenceNumber"]]


def test_the_message_of_a_failed_run_has_its_reason_its_logs_and_what_to_do() -> None:
    run = RUN | {"reason": "the step FAILED", "log_uri": "s3://results/logs/r/"}
    subject, text = run_message(run, "stack")
    assert subject == "stack: FAILED ml"
    assert "Reason: the step FAILED" in text
    assert "make rerun" not in text, "it never requested a cluster: there is nothing to run again"
    assert "Logs: s3://results/logs/r/" in text
    _, text = run_message(run | {"request": "{}"}, "stack")
    assert f"make rerun RUN={RUN['run_id']} STACK=stack" in text


def test_a_subject_is_valid_for_sns_with_any_folder_name() -> None:
    assert len(run_message(RUN | {"folder": "ü" * 900}, "stack")[0]) < 100
    assert len(sweep_message("why", "r" * 900, "stack")[0]) < 100
    subject, text = run_message(RUN | {"folder": "my\nfilms\x00\u202e ü"}, "stack")
    assert subject.endswith(" my?films?? ü")
    assert "my\nfilms" in text
