"""The quality gate: a run worse than the live one is held back until an operator promotes it."""

import json
from dataclasses import replace

import pytest

import live_pointer
import quality_gate
import runs
from indexer import handler as indexer
from notifications import run_message
from query import run_responses
from spark.contracts.quality import Quality, QualityError
from tests.builders.aws import Cloud, quality
from tests.builders.indexed import PARTS, deliver, drain, finish_run, movies_of, start_run, state_of
from tests.unit.runs.test_control import ask, live_run
from tools.sample_events import manifest_written

NOBODY = Quality("damped", 7, 9, None, {})


def run_of(cloud: Cloud, run_id: str) -> runs.Run:
    """A run's item."""
    run = runs.get(cloud.runs, run_id)
    assert run is not None
    return run


def test_a_run_worse_than_the_live_one_is_held_back_with_the_figures(cloud: Cloud) -> None:
    good = finish_run(cloud, 0, quality=quality(2.0))
    bad = finish_run(cloud, 1, quality=quality(1.0))

    assert (live_run(cloud), state_of(cloud, bad)) == (good, "FAILED")
    assert movies_of(cloud, bad) == []
    assert run_of(cloud, bad)["reason"] == (
        "quality: damped finds 1.00 times as many hidden liked movies as the most rated movies do "
        f"(recall@20 0.200, 500 users); in the live run {good} damped finds 2.00 times as many "
        "(recall@20 0.400). The loss exceeds MaxQualityLoss 0.2"
    )
    _, text = run_message(run_of(cloud, bad) | {"request": "{}"}, "stack")
    assert f"make promote RUN={bad} STACK=stack" in text
    assert "make rerun" not in text, "the same input gives the same figures"


def test_a_held_back_run_can_be_promoted_and_later_runs_are_compared_with_it(
    cloud: Cloud,
) -> None:
    good = finish_run(cloud, 0, quality=quality(2.0))
    bad = finish_run(cloud, 1, quality=quality(1.0))
    assert "is being indexed" in ask("promote", bad)["done"]
    drain(cloud)
    assert (live_run(cloud), movies_of(cloud, bad)) == (bad, [1, 2, 3])
    assert "reason" not in run_of(cloud, bad)

    middling = finish_run(cloud, 2, quality=quality(1.2))
    assert live_run(cloud) == middling
    ask("promote", good)
    drain(cloud)
    assert live_run(cloud) == good


def test_a_duplicate_manifest_event_does_not_change_a_held_back_run(cloud: Cloud) -> None:
    good = finish_run(cloud, 0, quality=quality(2.0))
    bad = finish_run(cloud, 1, quality=quality(1.0))
    before = run_of(cloud, bad)
    deliver(manifest_written(bad))
    drain(cloud)
    assert run_of(cloud, bad) == before
    assert live_run(cloud) == good


def test_a_run_that_failed_for_another_reason_cannot_be_promoted(cloud: Cloud) -> None:
    run_id = start_run(cloud)
    cloud.write_result(run_id, PARTS)
    runs.fail(cloud.runs, run_id, "why", runs.parse_time(run_of(cloud, run_id)["updated_at"]))
    assert "was held back" in ask("promote", run_id)["refused"]
    assert state_of(cloud, run_id) == "FAILED"


def test_a_run_is_compared_with_the_run_that_is_live_when_its_last_part_is_loaded(
    cloud: Cloud,
) -> None:
    finish_run(cloud, 0, quality=quality(1.0))
    late = start_run(cloud, 2)
    cloud.write_result(late, PARTS, quality(1.0))
    deliver(manifest_written(late))
    waiting = cloud.messages("IndexQueue")
    better = finish_run(cloud, 1, quality=quality(2.0))
    cloud.sqs.send_message_batch(
        QueueUrl=indexer.indexer.queue_url,
        Entries=[{"Id": str(n), "MessageBody": json.dumps(m)} for n, m in enumerate(waiting)],
    )
    drain(cloud)
    assert (live_run(cloud), state_of(cloud, late)) == (better, "FAILED")
    assert run_of(cloud, late)["held_back"]
    assert movies_of(cloud, late) == [], "what was loaded is removed"


def test_a_run_older_than_the_live_one_is_superseded_regardless_of_quality(cloud: Cloud) -> None:
    early = start_run(cloud, 0)
    finish_run(cloud, 1, quality=quality(2.0))
    cloud.write_result(early, PARTS, quality(1.0))
    deliver(manifest_written(early))
    drain(cloud)
    assert state_of(cloud, early) == "SUPERSEDED"


@pytest.mark.parametrize(
    ("before", "after"), [(None, quality(0.1)), (quality(2), None), (NOBODY, quality(0.1)),
                          (quality(2), NOBODY)],
)  # fmt: skip
def test_without_figures_of_both_runs_the_later_one_goes_live(
    cloud: Cloud, before: Quality | None, after: Quality | None
) -> None:
    finish_run(cloud, 0, quality=before)
    later = finish_run(cloud, 1, quality=after)
    assert live_run(cloud) == later


@pytest.mark.parametrize(
    ("ours", "theirs", "most", "passes"),
    [
        (quality(1.80, error=0), quality(2, error=0), 0.1, True),  # exactly a tenth
        (quality(1.79, error=0), quality(2, error=0), 0.1, False),
        (quality(2.5, error=0), quality(2, error=0), 0, True),
        # The errors 0.03 and 0.04 make 0.05 for the difference, of which two are chance.
        (quality(1.71, error=0.03), quality(2, error=0.04), 0.1, True),
        (quality(1.69, error=0.03), quality(2, error=0.04), 0.1, False),
        (quality(0.0, error=0), quality(2, error=0), 1, True),
    ],
)
def test_a_loss_counts_beyond_the_parameter_and_beyond_chance(
    ours: Quality, theirs: Quality, most: float, passes: bool
) -> None:
    one, other = ({"run_id": "r", "quality": quality_gate.to_item(each)} for each in (ours, theirs))
    assert (quality_gate.regression_reason(one, other, most) is None) == passes


def test_the_message_of_a_live_run_has_its_quality(cloud: Cloud) -> None:
    _, text = run_message(run_of(cloud, finish_run(cloud, quality=quality(2.0))), "stack")
    assert "damped finds 2.00 times as many hidden liked movies as the most rated movies do" in text


def test_the_api_returns_the_quality_of_a_held_back_run(cloud: Cloud) -> None:
    finish_run(cloud, 0, quality=quality(2.0))
    response = run_responses.run(run_of(cloud, finish_run(cloud, 1, quality=quality(1.0))))
    assert (response.state, response.held_back) == ("FAILED", True)
    assert response.quality is not None
    assert (response.quality.measure, response.quality.lift, response.quality.recall) == (
        "damped",
        1.0,
        0.2,
    )


def test_figures_are_read_as_they_were_written() -> None:
    for each in (quality(1.5), NOBODY, replace(quality(1.5), measure="cosine")):
        assert Quality.from_json(each.to_json()) == each


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{}", quality(float("nan")).to_json(),
             quality(1).to_json().replace('"schema_version": 1', '"schema_version": 2'),
             quality(1).to_json().replace("lift_error", "error")],
)  # fmt: skip
def test_a_malformed_quality_json_fails_the_run(cloud: Cloud, text: str) -> None:
    with pytest.raises(QualityError):
        Quality.from_json(text)
    run_id = start_run(cloud)
    cloud.write_result(run_id, PARTS, text)
    deliver(manifest_written(run_id))
    assert run_of(cloud, run_id)["reason"].startswith("quality.json ")
    assert live_pointer.read(cloud.index) is None


def test_a_changed_quality_json_fails_the_run(cloud: Cloud) -> None:
    run_id = start_run(cloud)
    cloud.write_result(run_id, PARTS, quality(1))
    cloud.put(f"runs/{run_id}/quality.json", quality(9).to_json(), "results")
    deliver(manifest_written(run_id))
    assert "quality.json does not match the manifest" in run_of(cloud, run_id)["reason"]
