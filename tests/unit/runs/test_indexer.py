"""The indexer: a run goes live complete and checked, or not at all."""

import gzip
import hashlib
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

import index_table
import live_pointer
import runs
from indexer import handler as indexer
from spark.contracts.strength import Curve
from tests.builders.aws import Cloud, movie_line, quality
from tests.builders.indexed import (
    PARTS,
    deliver,
    drain,
    finish_run,
    line_in,
    movies_of,
    start_run,
    state_of,
)
from tests.unit.dynalite import database  # noqa: F401
from tools.sample_events import event, manifest_written, messages


def test_a_finished_run_goes_live_with_every_movie(cloud: Cloud) -> None:
    run_id = finish_run(cloud)

    assert state_of(cloud, run_id) == "LIVE"
    pointer = live_pointer.read(cloud.index)
    assert pointer is not None
    assert (pointer.run_id, pointer.users) == (run_id, 20)
    assert movies_of(cloud, run_id) == [1, 2, 3]
    item = cloud.index.get_item(Key=index_table.movie_key(run_id, 1))["Item"]
    assert line_in(item) == PARTS[0][0]


def test_a_pointer_of_an_earlier_version_does_not_say_how_many_users_there_are(
    cloud: Cloud,
) -> None:
    run_id = finish_run(cloud)
    cloud.index.update_item(Key=dict(index_table.LIVE_KEY), UpdateExpression="REMOVE #users",
                            ExpressionAttributeNames={"#users": "users"})  # fmt: skip
    pointer = live_pointer.read(cloud.index)
    assert pointer is not None
    assert (pointer.run_id, pointer.users) == (run_id, None)


def test_the_pointer_says_what_the_scores_of_the_live_run_mean_also_after_a_rollback(
    cloud: Cloud,
) -> None:
    curves = {"damped": [Curve(12, [(0.5, 60.5), (0.9, 95)])]}
    finish_run(cloud, 0, quality=quality(1.5, strength=curves))
    pointer = live_pointer.read(cloud.index)
    assert pointer is not None
    assert pointer.strength == '{"damped":[[12,[[0.5,60.5],[0.9,95.0]]]]}'
    finish_run(cloud, 1)  # did not evaluate itself
    pointer = live_pointer.read(cloud.index)
    assert pointer is not None
    assert pointer.strength is None
    back = live_pointer.roll_back(cloud.runs, cloud.index, datetime.now(UTC))
    assert json.loads(back.strength or "") == {"damped": [[12, [[0.5, 60.5], [0.9, 95.0]]]]}


def test_nothing_is_live_before_the_last_part(cloud: Cloud) -> None:
    run_id = start_run(cloud)
    cloud.write_result(run_id, PARTS)
    deliver(manifest_written(run_id))
    first, second = cloud.messages("IndexQueue")

    deliver(messages(first))
    assert live_pointer.read(cloud.index) is None
    deliver(messages(first))
    assert live_pointer.read(cloud.index) is None, "the same part twice is one part"
    deliver(messages(second))
    assert state_of(cloud, run_id) == "LIVE"


@pytest.mark.parametrize("seed", range(5))
def test_duplicate_and_shuffled_messages_make_one_live_run(cloud: Cloud, seed: int) -> None:
    run_id = start_run(cloud)
    cloud.write_result(run_id, [[movie_line(number)] for number in range(1, 8)])
    deliver(manifest_written(run_id))
    deliver(manifest_written(run_id))
    waiting = cloud.messages("IndexQueue")
    random.Random(seed).shuffle(waiting)
    for message in waiting:
        deliver(messages(message))

    assert state_of(cloud, run_id) == "LIVE"
    assert movies_of(cloud, run_id) == list(range(1, 8))


def test_a_later_run_goes_live_and_the_previous_one_is_kept(cloud: Cloud) -> None:
    first, second = finish_run(cloud, 0), finish_run(cloud, 1)

    assert (state_of(cloud, first), state_of(cloud, second)) == ("SUPERSEDED", "LIVE")
    pointer = live_pointer.read(cloud.index)
    assert pointer is not None
    assert pointer.previous == first
    assert movies_of(cloud, first) == [1, 2, 3]


def test_the_run_before_the_previous_one_is_removed(cloud: Cloud) -> None:
    first, second, third = (finish_run(cloud, minute) for minute in range(3))

    assert movies_of(cloud, first) == []
    assert movies_of(cloud, second) == movies_of(cloud, third) == [1, 2, 3]


def test_the_pointer_never_goes_back_to_an_earlier_run(cloud: Cloud) -> None:
    early = start_run(cloud, 0)
    late = finish_run(cloud, 1)
    cloud.write_result(early, PARTS)
    deliver(manifest_written(early))
    drain(cloud)

    pointer = live_pointer.read(cloud.index)
    assert pointer is not None
    assert pointer.run_id == late
    assert state_of(cloud, early) == "SUPERSEDED"
    assert movies_of(cloud, early) == []


def test_an_event_of_a_live_run_changes_nothing(cloud: Cloud) -> None:
    first, second = finish_run(cloud, 0), finish_run(cloud, 1)
    for run_id in (first, second):
        deliver(manifest_written(run_id))
    drain(cloud)
    assert (state_of(cloud, first), state_of(cloud, second)) == ("SUPERSEDED", "LIVE")


def test_a_late_removal_spares_the_live_and_the_previous_run(cloud: Cloud) -> None:
    first, second = finish_run(cloud, 0), finish_run(cloud, 1)
    for run_id in (first, second):
        indexer.indexer._clear(run_id)
    drain(cloud)
    assert movies_of(cloud, first) == movies_of(cloud, second) == [1, 2, 3]


def test_items_of_an_unrecorded_part_are_removed_after_its_run_has_failed(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = start_run(cloud)
    cloud.write_result(run_id, PARTS)
    deliver(manifest_written(run_id))
    part, _ = cloud.messages("IndexQueue")
    with monkeypatch.context() as patch:  # the worker dies between the write and the note
        patch.setattr(runs, "record_indexed_part", lambda *_: 1 / 0)
        assert deliver(messages(part)) == ["0"]
    assert movies_of(cloud, run_id) != []
    runs.fail(cloud.runs, run_id, "given up", datetime.now(UTC))
    deliver(manifest_written(run_id))  # as the sweep asks
    drain(cloud)
    assert movies_of(cloud, run_id) == []


def test_a_late_duplicate_manifest_event_removes_nothing_twice(cloud: Cloud) -> None:
    first, *_ = (finish_run(cloud, minute) for minute in range(3))
    assert movies_of(cloud, first) == []
    deliver(manifest_written(first))
    assert cloud.messages("IndexQueue") == []


def test_a_part_written_after_its_run_was_removed_is_removed_as_well(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = start_run(cloud)
    cloud.write_result(run_id, PARTS)
    cloud.put(f"runs/{run_id}/neighbours/part-00001.json.gz", b"cut", "results")
    deliver(manifest_written(run_id))
    good, bad = cloud.messages("IndexQueue")
    write = index_table.write

    def slowly(*arguments: Any) -> None:
        monkeypatch.setattr(index_table, "write", write)
        deliver(messages(bad))  # another worker fails the run, and a third clears it
        drain(cloud)
        write(*arguments)

    monkeypatch.setattr(index_table, "write", slowly)
    deliver(messages(good))
    assert state_of(cloud, run_id) == "FAILED"
    assert movies_of(cloud, run_id) != []
    drain(cloud)
    assert movies_of(cloud, run_id) == []
    assert not cloud.runs.get_item(Key=runs.run_key(run_id))["Item"]["in_index"]


def test_a_changed_part_fails_the_run_and_the_old_one_stays_live(cloud: Cloud) -> None:
    old, run_id = finish_run(cloud, 0), start_run(cloud, 1)
    cloud.write_result(run_id, PARTS)
    cloud.put(f"runs/{run_id}/neighbours/part-00001.json.gz", b"cut", "results")
    deliver(manifest_written(run_id))
    drain(cloud)

    pointer = live_pointer.read(cloud.index)
    assert pointer is not None
    assert pointer.run_id == old
    item = cloud.runs.get_item(Key=runs.run_key(run_id))["Item"]
    assert item["state"] == "FAILED"
    assert "part-00001.json.gz does not match the manifest" in item["reason"]
    assert movies_of(cloud, old) == [1, 2, 3]


@contextmanager
def parts_of(cloud: Cloud, run_id: str) -> Iterator[list[dict[str, Any]]]:
    """The parts of `neighbours/` in a run's manifest, to be changed."""
    key = f"runs/{run_id}/manifest.json"
    manifest = json.loads(cloud.s3.get_object(Bucket="results", Key=key)["Body"].read())
    yield manifest["neighbours"]
    cloud.put(key, json.dumps(manifest), "results")


@pytest.mark.parametrize(
    ("blob", "reason"),
    [
        (b'{"movie_id": 3}\n', "is not a gzip file: "),
        (gzip.compress(b"three\n"), "has a line that cannot be read: "),
        (gzip.compress(b'{"movie": 3}\n'), "has a line that cannot be read: "),
    ],
    ids=["no gzip", "no json", "no movie"],
)
def test_an_unreadable_part_fails_the_run_although_its_checksum_is_right(
    cloud: Cloud, blob: bytes, reason: str
) -> None:
    run_id = start_run(cloud)
    cloud.write_result(run_id, PARTS)
    with parts_of(cloud, run_id) as (_, second):
        cloud.put(f"runs/{run_id}/{second['name']}", blob, "results")
        second |= {"bytes": len(blob), "sha256": hashlib.sha256(blob).hexdigest()}
    deliver(manifest_written(run_id))
    drain(cloud)
    item = cloud.runs.get_item(Key=runs.run_key(run_id))["Item"]
    assert item["state"] == "FAILED"
    assert f"part-00001.json.gz {reason}" in item["reason"]
    assert movies_of(cloud, run_id) == []
    assert not item["in_index"], "it need not be removed any more"


def test_a_part_with_other_lines_than_its_manifest_says_fails_the_run(cloud: Cloud) -> None:
    run_id = start_run(cloud)
    cloud.write_result(run_id, PARTS)
    with parts_of(cloud, run_id) as (first, second):
        first["records"], second["records"] = second["records"], first["records"]
    deliver(manifest_written(run_id))
    drain(cloud)
    item = cloud.runs.get_item(Key=runs.run_key(run_id))["Item"]
    assert item["state"] == "FAILED"
    assert "has 2 lines; the manifest says 1" in item["reason"]
    assert movies_of(cloud, run_id) == []


def test_a_missing_part_fails_the_run(cloud: Cloud) -> None:
    run_id = start_run(cloud)
    cloud.write_result(run_id, PARTS)
    cloud.s3.delete_object(Bucket="results", Key=f"runs/{run_id}/titles/part-00000.json.gz")
    deliver(manifest_written(run_id))

    item = cloud.runs.get_item(Key=runs.run_key(run_id))["Item"]
    assert item["reason"] == "titles/part-00000.json.gz is in the manifest but not in S3"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"schema_version": 3}, "schema version 3"),
        ({"neighbours": []}, "nothing to index"),
        ({"surprise": 1}, "does not fit its schema"),
    ],
)
def test_an_unknown_manifest_fails_the_run(
    cloud: Cloud, changes: dict[str, Any], reason: str
) -> None:
    run_id = start_run(cloud)
    cloud.write_result(run_id, PARTS, **changes)
    deliver(manifest_written(run_id))
    item = cloud.runs.get_item(Key=runs.run_key(run_id))["Item"]
    assert item["state"] == "FAILED"
    assert reason in item["reason"]


def test_a_manifest_outside_of_a_run_is_ignored(cloud: Cloud) -> None:
    unknown = "20261123T120000000Z-00000000"
    cloud.write_result(unknown, PARTS)
    deliver(manifest_written(unknown))
    deliver(event("indexer-manifest-written"))
    assert cloud.messages("IndexQueue") == []
    assert live_pointer.read(cloud.index) is None


def test_throttled_writes_are_redelivered(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = start_run(cloud)
    cloud.write_result(run_id, PARTS)
    deliver(manifest_written(run_id))
    waiting = cloud.messages("IndexQueue")

    def throttle(*_: object) -> None:
        raise OSError("throttled")

    with monkeypatch.context() as patch:
        patch.setattr(index_table, "write", throttle)
        assert deliver(messages(*waiting)) == ["0", "1"]
    assert state_of(cloud, run_id) == "INDEXING"
    deliver(messages(*waiting))
    assert state_of(cloud, run_id) == "LIVE"
