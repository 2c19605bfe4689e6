"""Drops a folder and follows its run, with the bucket and the API only."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import convert

from local.cloud import Cloud
from local.emr.cluster import ENDED
from query.run_responses import Run, Runs
from runs.states import State
from tools.data_sets import ReportBytes, files_of

POLL_SECONDS = 0.5
# By the checksum of a whole file the launcher knows it again, however it was uploaded; without this
# a file in several parts would have the checksum of these.
WHOLE_CHECKSUM = {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"}
# The longest time without a change of a run while no cluster is at work.
STALL_LIMIT_SECONDS = 180


class RunError(Exception):
    """A run did not finish; the message gives its state."""


def drop(s3: Any, bucket: str, source: Path, name: str, report: ReportBytes | None = None) -> None:
    """Upload the files of a data set.

    Args:
        s3: a client of S3.
        bucket: the datasets bucket.
        source: a MovieLens folder, or a zip of one.
        name: name of the folder in the bucket; key of the zip.
        report: receives the progress in bytes.
    """
    if source.is_file():
        files = {name: source}
    else:
        files = {f"{name}/{path.name}": path for path in files_of(source)}
    total = sum(path.stat().st_size for path in files.values())
    done = 0
    lock = threading.Lock()  # boto3 uploads the parts of a file in parallel

    def add(count: int) -> None:
        nonlocal done
        with lock:
            done += count
            if report:
                report(done, total)

    for key, path in files.items():
        s3.upload_file(str(path), bucket, key, Callback=add, ExtraArgs=WHOLE_CHECKSUM)


def follow(cloud: Cloud, folder: str) -> Iterator[Run]:
    """Yield the newest run of a folder after every change, until it is finished.

    Raises:
        RunError: the run has not changed for too long.
    """
    seen: Run | None = None
    quiet_since = time.monotonic()
    while seen is None or not State[seen.state].is_final:
        run = next((run for run in all_runs(cloud) if run.folder == folder), None)
        if run != seen and run is not None:
            seen, quiet_since = run, time.monotonic()
            yield run
            continue
        if any(cluster.state not in ENDED for cluster in cloud.emr.clusters):
            quiet_since = time.monotonic()
        if time.monotonic() - quiet_since > STALL_LIMIT_SECONDS:
            state = f"still {seen.state}" if seen else "not started"
            raise RunError(f"the run of {folder} is {state} and no longer changes")
        time.sleep(POLL_SECONDS)


def all_runs(cloud: Cloud) -> list[Run]:
    """Return the latest runs from the API, newest first.

    Raises:
        RunError: the API answered with an error.
    """
    status, body = cloud.get("/runs")
    if status != 200:
        raise RunError(f"GET /runs returned {status}: {body}")
    return convert(body, type=Runs).runs
