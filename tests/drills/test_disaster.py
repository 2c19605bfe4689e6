"""A table or a result is lost: restored with one command, or refused with a reason."""

import time
from datetime import UTC, datetime

import pytest

import live_pointer
import runs
from control import handler as control
from query import handler as query
from runs.states import State
from tests.builders.aws import CONTEXT, Cloud, movie_line
from tests.builders.indexed import drain, finish_run, movies_of, state_of
from tests.builders.requests import get
from tests.conftest import Observed

MOVIES = 300
PARTS = [
    [movie_line(number) for number in range(first, first + 100)]
    for first in range(1, MOVIES + 1, 100)
]


def empty(cloud: Cloud) -> None:
    """Delete all items of the index table."""
    with cloud.index.batch_writer() as batch:
        for item in cloud.index.scan()["Items"]:
            batch.delete_item(Key={"pk": item["pk"]})


@pytest.mark.drill(
    "Disaster",
    injected="every item of the index table is lost; then `rebuild`, once",
    promised="the live run is loaded again from the results bucket, without a cluster",
)
def test_a_lost_index_is_rebuilt_with_one_command(cloud: Cloud, observed: Observed) -> None:
    run_id = finish_run(cloud, 0, PARTS)
    clusters = len(cloud.clusters())
    while cloud.index.scan()["Items"]:
        empty(cloud)
    start = time.monotonic()
    assert "done" in control.lambda_handler({"command": "rebuild"}, CONTEXT)
    drain(cloud)
    seconds = time.monotonic() - start
    pointer = live_pointer.read(cloud.index)
    assert pointer is not None
    assert (pointer.run_id, state_of(cloud, run_id)) == (run_id, State.LIVE)
    assert len(cloud.clusters()) == clusters
    keys = [f"{run_id}#{number}" for number in range(1, MOVIES + 1)]
    assert all("Item" in cloud.index.get_item(Key={"pk": key}) for key in keys)
    observed(MOVIES, f"{MOVIES} movies again in {seconds:.1f} s, in process")


@pytest.mark.drill(
    "Disaster",
    injected="all or part of a run's result is deleted; then promote and rebuild",
    promised="refused with a reason that names the missing objects; nothing changes",
)
@pytest.mark.parametrize("what", ["manifest.json", "neighbours/part-00001.json.gz", "everything"])
def test_a_run_whose_result_is_gone_is_refused(cloud: Cloud, observed: Observed, what: str) -> None:
    parts = [[movie_line(1)], [movie_line(2)]]
    first, second, third = (finish_run(cloud, minute, parts) for minute in range(3))
    for run_id in (first, third):
        found = cloud.s3.list_objects_v2(Bucket="results", Prefix=f"runs/{run_id}/")["Contents"]
        for item in found:
            if what in ("everything", item["Key"].split("/", 2)[2]):
                cloud.s3.delete_object(Bucket="results", Key=item["Key"])
    for asked in ({"command": "promote", "run_id": first}, {"command": "rebuild"}):
        refused = control.lambda_handler(asked, CONTEXT)["refused"]
        missing = f"lacks {what}" if "part" in what else "no longer exists"
        assert missing in refused
        assert what in refused or f"result of run {asked.get('run_id', third)}" in refused
    assert [state_of(cloud, each) for each in (first, second, third)] == [
        State.SUPERSEDED, State.SUPERSEDED, State.LIVE,
    ]  # fmt: skip
    assert movies_of(cloud, third) == [1, 2]
    observed(2, "refused with the reason; the live run answers")


@pytest.mark.drill(
    "Disaster",
    injected="all results of the live run are deleted",
    promised="the API still serves the index, and a rollback still works",
)
def test_the_index_answers_without_the_results(cloud: Cloud, observed: Observed) -> None:
    parts = [[movie_line(1)], [movie_line(2)]]
    first, second = (finish_run(cloud, minute, parts) for minute in range(2))
    for run_id in (first, second):
        found = cloud.s3.list_objects_v2(Bucket="results", Prefix=f"runs/{run_id}/")["Contents"]
        for item in found:
            cloud.s3.delete_object(Bucket="results", Key=item["Key"])
    query.reader._last = query.reader._titles = None  # a function that has just started
    for run_id in (second, first):
        for movie_id in (1, 2):
            status, answer = get(f"/movies/{movie_id}/similar")
            assert (status, answer["run_id"]) == (200, run_id)
        if run_id == second:
            live_pointer.roll_back(cloud.runs, cloud.index, datetime.now(UTC))
    assert runs.get(cloud.runs, second)["state"] == State.SUPERSEDED
    observed(2, "both runs answer")
