"""Runs that the indexer has indexed, and what it left behind."""

import json
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import runs
from indexer import handler as indexer
from runs import claims
from runs.states import State
from spark.contracts.quality import Quality
from tests.builders.aws import CONTEXT, Cloud, movie_line
from tools.sample_events import manifest_written, messages

PARTS = [[movie_line(1, 2), movie_line(2, 1)], [movie_line(3)]]


def deliver(trigger: dict[str, Any]) -> list[str]:
    """Run the indexer on its queue's event; returns the messages to redeliver."""
    answer = indexer.lambda_handler(trigger, CONTEXT)
    return [item["itemIdentifier"] for item in answer["batchItemFailures"]]


def drain(cloud: Cloud) -> None:
    """Deliver the indexer's messages to itself until none is left."""
    while waiting := cloud.messages("IndexQueue"):
        deliver(messages(*waiting))


def start_run(cloud: Cloud, minute: int = 0, state: State = State.RUNNING) -> str:
    """A run that is computing; later minutes make later runs."""
    now = datetime(2026, 11, 23, 12, minute, tzinfo=UTC)
    run = claims.claim(cloud.runs, f"{minute:064d}", "ml", None, now, timedelta(0))
    assert run is not None
    for step in (State.LAUNCHING, State.STARTING, State.RUNNING):
        if state != State.CHECKING:
            runs.advance(cloud.runs, run["run_id"], step, now)
    return run["run_id"]


def finish_run(
    cloud: Cloud,
    minute: int = 0,
    parts: list[list[dict]] = PARTS,
    quality: Quality | None = None,
    **manifest: Any,
) -> str:
    """A run that is computed and indexed."""
    run_id = start_run(cloud, minute)
    cloud.write_result(run_id, parts, quality, **manifest)
    deliver(manifest_written(run_id))
    drain(cloud)
    return run_id


def line_in(item: Mapping[str, Any]) -> dict[str, Any]:
    """The line of `neighbours/` that an item of the index holds."""
    return json.loads(zlib.decompress(bytes(item["movie"])))


def state_of(cloud: Cloud, run_id: str) -> str:
    """The state in the runs table."""
    return cloud.runs.get_item(Key=runs.run_key(run_id))["Item"]["state"]


def movies_of(cloud: Cloud, run_id: str) -> list[int]:
    """The ids of a run's movies in the index."""
    keys = [item["pk"] for item in cloud.index.scan()["Items"]]
    return sorted(int(key.split("#")[1]) for key in keys if key.startswith(run_id))
