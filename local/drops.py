"""A drop and its run, as somebody sees them who has the bucket and the API."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from local.cloud import Cloud
from local.emr.cluster import ENDED
from runs import State
from tools.data_sets import ReportBytes, files_of

POLL_SECONDS = 0.5
# So long nothing may happen to a run while no cluster works for it.
STALL_LIMIT_SECONDS = 180

type Run = dict[str, Any]


class RunError(Exception):
    """A run that did not come to its end; the message says how far it came."""


def drop(s3: Any, bucket: str, folder: Path, name: str, report: ReportBytes | None = None) -> None:
    """Upload a data set's files.

    Args:
        s3: client.
        bucket: the datasets bucket.
        folder: a MovieLens folder.
        name: of the folder in the bucket.
        report: receives the progress in bytes.
    """
    files = files_of(folder)
    total = sum(path.stat().st_size for path in files)
    done = 0
    lock = threading.Lock()  # parts of a file are uploaded side by side

    def add(count: int) -> None:
        nonlocal done
        with lock:
            done += count
            if report:
                report(done, total)

    for path in files:
        s3.upload_file(str(path), bucket, f"{name}/{path.name}", Callback=add)


def follow(cloud: Cloud, folder: str) -> Iterator[Run]:
    """The newest run of a folder, each time that something of it changed, to its end.

    Raises:
        RunError: nothing happened to it for too long.
    """
    seen: Run | None = None
    quiet_since = time.monotonic()
    while seen is None or not State[seen["state"]].is_final:
        run = next((run for run in all_runs(cloud) if run["folder"] == folder), None)
        if run != seen and run is not None:
            seen, quiet_since = run, time.monotonic()
            yield run
            continue
        if any(cluster.state not in ENDED for cluster in cloud.emr.clusters):
            quiet_since = time.monotonic()
        if time.monotonic() - quiet_since > STALL_LIMIT_SECONDS:
            state = seen["state"] if seen else "not begun"
            raise RunError(f"the run of {folder} is {state} and nothing more happens")
        time.sleep(POLL_SECONDS)


def all_runs(cloud: Cloud) -> list[Run]:
    """The latest runs as the API tells them, the newest first.

    Raises:
        RunError: the API does not answer.
    """
    status, body = cloud.get("/runs")
    if status != 200:
        raise RunError(f"the API answers {status} to GET /runs: {body}")
    return body["runs"]
