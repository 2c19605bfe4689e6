"""Events as AWS sends them to the functions: the files in events/, as they are or filled in."""

import json
from datetime import UTC, datetime
from typing import Any

from tools.function_environment import DATASETS
from tools.paths import ROOT


def event(name: str) -> dict[str, Any]:
    """One of the files in events/, the very ones that `sam local invoke` takes."""
    return json.loads((ROOT / "events" / f"{name}.json").read_text())


def dropped(key: str, at: datetime | None = None) -> dict[str, Any]:
    """The launcher's event for a file that was dropped (by default: now)."""
    trigger = event("launcher-dataset-dropped")
    body = json.loads(trigger["Records"][0]["body"])
    body["detail"]["bucket"]["name"] = DATASETS
    body["detail"]["object"]["key"] = key
    body["time"] = f"{at or datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    trigger["Records"][0]["body"] = json.dumps(body)
    return trigger


def manifest_written(run_id: str) -> dict[str, Any]:
    """The indexer's event for a run's manifest."""
    trigger = event("indexer-manifest-written")
    body = json.loads(trigger["Records"][0]["body"])
    body["detail"]["object"]["key"] = f"runs/{run_id}/manifest.json"
    trigger["Records"][0]["body"] = json.dumps(body)
    return trigger


def messages(*bodies: dict[str, Any]) -> dict[str, Any]:
    """The indexer's event for messages of its queue."""
    trigger = event("indexer-part")
    record = trigger["Records"][0]
    trigger["Records"] = [
        record | {"messageId": str(number), "body": json.dumps(body)}
        for number, body in enumerate(bodies)
    ]
    return trigger
