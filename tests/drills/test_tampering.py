"""What the job wrote is changed before it is indexed: refused with a reason, never live."""

import copy
import gzip
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import live_pointer
import runs
from indexer import handler as indexer
from runs import State
from spark.contracts.manifest import SCHEMA_VERSION
from tests.conftest import Observed
from tests.unit.conftest import CONTEXT, Cloud, account, manifest_written, movie_line
from tests.unit.runs.test_indexer import drain, finish_run, movies_of, start_run, state_of

PARTS = [[movie_line(1, 2), movie_line(2, 1)], [movie_line(3)]]
KEYS = (
    "neighbours/part-00000.json.gz",
    "neighbours/part-00001.json.gz",
    "titles/part-00000.json.gz",
)


def fate(cloud: Cloud, run_id: str) -> runs.Run:
    """Index a run; returns it afterwards."""
    indexer.lambda_handler(manifest_written(run_id), CONTEXT)
    drain(cloud)
    run = runs.get(cloud.runs, run_id)
    assert run is not None
    return run


def read(cloud: Cloud, run_id: str, name: str) -> bytes:
    """A file of a run's result."""
    key = f"runs/{run_id}/{name}"
    return cloud.s3.get_object(Bucket="results", Key=key)["Body"].read()


def assert_refused(cloud: Cloud, old: str, run: runs.Run) -> None:
    """The run has failed with a reason, nothing of it is left, and the old run is still live."""
    assert (run["state"], bool(run.get("reason"))) == (State.FAILED, True), run
    assert movies_of(cloud, run["run_id"]) == []
    pointer = live_pointer.read(cloud.index)
    assert pointer is not None
    assert (pointer.run_id, state_of(cloud, old)) == (old, State.LIVE)
    assert movies_of(cloud, old) == [1, 2, 3]


def tamperings(blob: bytes) -> dict[str, bytes | None]:
    """What may be done to a file; None: it is taken away."""
    lines = gzip.decompress(blob).splitlines(keepends=True)
    other = gzip.compress(b"".join(reversed(lines)) + b"{}\n")
    return {
        "missing": None,
        "empty": b"",
        "cut by half": blob[: len(blob) // 2],
        "cut by its last byte": blob[:-1],
        "a byte longer": blob + b"\0",
        "one bit turned": bytes([*blob[:20], blob[20] ^ 1, *blob[21:]]),
        "other lines": other,
        "no gzip": b"".join(lines),
    }


@pytest.mark.drill(
    "Tampered results",
    injected="each file of a result missing, empty, cut, longer, with one bit turned, with other "
    "lines, or not compressed",
    promised="FAILED with a reason that names the file; nothing of it in the index; the run before "
    "still answers",
)
def test_a_changed_file_never_goes_live(observed: Observed) -> None:
    count = 0
    for name in KEYS:
        for how in tamperings(gzip.compress(b"a line of some length, for it is to be cut\n" * 9)):
            with account() as cloud:
                old, run_id = finish_run(cloud, 0, PARTS), start_run(cloud, 1)
                cloud.write_result(run_id, PARTS)
                changed = tamperings(read(cloud, run_id, name))[how]
                if changed is None:
                    cloud.s3.delete_object(Bucket="results", Key=f"runs/{run_id}/{name}")
                else:
                    cloud.put(f"runs/{run_id}/{name}", changed, "results")
                run = fate(cloud, run_id)
                assert_refused(cloud, old, run)
                assert name in run["reason"], how
                count += 1
    observed(count, f"{count} refused by name, 0 live")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


def places(document: Any, path: tuple = ()) -> list[tuple]:
    """The path of everything in a JSON document."""
    found = [path] if path else []
    if isinstance(document, dict):
        for key, value in document.items():
            found += places(value, (*path, key))
    elif isinstance(document, list):
        for number, value in enumerate(document):
            found += places(value, (*path, number))
    return found


def changed(document: Any, path: tuple, change: str, value: Any) -> Any:
    """A copy of a document in which one thing was taken out, doubled, or replaced."""
    copied = copy.deepcopy(document)
    holder = copied
    for step in path[:-1]:
        holder = holder[step]
    last = path[-1]
    if change == "remove":
        del holder[last]
    elif change == "double" and isinstance(holder, list):
        holder.append(holder[last])
    else:
        holder[last] = value
    return copied


@pytest.mark.drill(
    "Tampered results",
    injected="one thing in manifest.json, anywhere, taken out, doubled or replaced by any other, "
    "by hypothesis",
    promised="FAILED with a reason, or live with exactly the movies that the job wrote; the "
    "function itself never fails",
)
@pytest.mark.parametrize("times", [25, pytest.param(400, marks=pytest.mark.slow)])
def test_a_changed_manifest_is_refused_or_harmless(observed: Observed, times: int) -> None:
    said = {"FAILED": 0, "LIVE": 0}
    with account() as cloud:
        run_id = start_run(cloud, 1)
        cloud.write_result(run_id, PARTS)
        document = json.loads(read(cloud, run_id, "manifest.json"))

    @settings(max_examples=times, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        path=st.sampled_from(places(document)),
        change=st.sampled_from(["remove", "double", "replace", "replace"]),
        value=ANYTHING,
    )
    def tamper(path: tuple, change: str, value: Any) -> None:
        with account() as cloud:
            start_run(cloud, 1)
            cloud.write_result(run_id, PARTS)
            text = json.dumps(changed(document, path, change, value))
            cloud.put(f"runs/{run_id}/manifest.json", text, "results")
            run = fate(cloud, run_id)
            said[run["state"]] += 1
            if run["state"] == State.FAILED:
                assert run["reason"]
                assert movies_of(cloud, run_id) == []
            else:
                assert run["state"] == State.LIVE
                assert movies_of(cloud, run_id) == [1, 2, 3]

    tamper()
    observed(sum(said.values()), f"{said['FAILED']} refused, {said['LIVE']} harmless")


@pytest.mark.drill(
    "Tampered results",
    injected="manifest.json cut at each of fifty places, or of a newer schema",
    promised="FAILED with a reason that says which",
)
def test_half_a_manifest_and_one_of_tomorrow_are_refused(cloud: Cloud, observed: Observed) -> None:
    old, run_id = finish_run(cloud, 0, PARTS), start_run(cloud, 1)
    cloud.write_result(run_id, PARTS, schema_version=SCHEMA_VERSION + 1)
    run = fate(cloud, run_id)
    assert_refused(cloud, old, run)
    assert f"has schema version {SCHEMA_VERSION + 1}" in run["reason"]
    whole = read(cloud, old, "manifest.json").strip()
    for number in range(50):
        run_id = start_run(cloud, 2 + number)
        cloud.write_result(run_id, PARTS)
        cut = whole[: len(whole) * number // 50]
        cloud.put(f"runs/{run_id}/manifest.json", cut, "results")
        run = fate(cloud, run_id)
        assert_refused(cloud, old, run)
        assert "is not readable" in run["reason"]
    observed(51, "51 refused with the reason, 0 live")
