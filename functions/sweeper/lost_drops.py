"""Finds dropped folders without a run, because their events were lost.

For about five minutes after notifications are enabled on a bucket, S3 may send no events; other
events may end in a dead-letter queue. So the sweep lists the bucket itself: a limited number of
keys each time, continuing where the last sweep stopped.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import runs
from datasets import DatasetFile, Folder, dataset_files, fingerprint_of, folder_of
from runs import Skip
from spark.contracts.movielens import FILES, formats_in

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

MAX_PAGES = 20  # maximum list requests per scan, a thousand keys each
MAX_LOOKUPS = 1000  # a scan stops after this many complete folders, whose runs must be looked up
# Before this age the event of a folder may still arrive.
GRACE_PERIOD = timedelta(minutes=10)
# The retention of the dead-letter queues. If an older folder has no run, this is intended or the
# runs table was lost; then nobody wants a cluster for every folder ever dropped.
MAX_AGE = timedelta(days=14)
CURSOR = {"pk": "SWEEP", "sk": "datasets"}


@dataclass(frozen=True)
class Scan:
    """A part of a bucket's keys.

    Attributes:
        folders: the folders with data files.
        end: the last key, or empty at the end of the bucket.
    """

    folders: tuple[Folder, ...]
    end: str


def find(
    s3: "S3Client", bucket: str, runs_table: "Table", settle: timedelta, now: datetime
) -> Iterator[dict[str, Any]]:
    """Scan the next part of the bucket for folders that should have a run.

    Args:
        s3: client.
        bucket: the datasets bucket.
        runs_table: the runs table; it also stores where the last scan ended.
        settle: how long a folder must be unchanged.
        now: the current time.

    Yields:
        For each lost drop the event that S3 would have sent for its newest file; the launcher
        ignores duplicates.
    """
    kept = runs_table.get_item(Key=CURSOR, ConsistentRead=True).get("Item", {})
    scanned = scan(s3, bucket, str(kept.get("after", "")))
    for folder in scanned.folders:
        age = folder.age(now)
        if folder.is_complete and settle + GRACE_PERIOD < age < MAX_AGE:
            newest = max(folder.files, key=lambda file: file.modified)
            run = runs.for_dataset(runs_table, fingerprint_of(dataset_files(folder)))
            if not isinstance(runs.decide(run, newest.modified, now), Skip):
                yield {
                    "detail": {"bucket": {"name": bucket}, "object": {"key": newest.key}},
                    "time": runs.format_time(newest.modified),
                }
    if scanned.end != kept.get("after", ""):
        runs_table.update_item(
            Key=CURSOR,
            UpdateExpression="SET #after = :end",
            ExpressionAttributeNames={"#after": "after"},
            ExpressionAttributeValues={":end": scanned.end},
        )


def scan(s3: "S3Client", bucket: str, after: str) -> Scan:
    """List a part of a bucket and group its data files by folder.

    Args:
        s3: client.
        bucket: the datasets bucket.
        after: the key after which to start; empty for the first key.
    """
    found: dict[str, dict[str, DatasetFile]] = defaultdict(dict)
    end = after
    for _ in range(MAX_PAGES):
        page = s3.list_objects_v2(Bucket=bucket, StartAfter=end)
        for item in page.get("Contents", []):
            end = item["Key"]
            prefix = folder_of(end)
            if prefix is not None:
                found[prefix][end] = _file(item)
        if not page["IsTruncated"]:
            end = ""
            break
        if sum(bool(formats_in(_names(files))) for files in found.values()) >= MAX_LOOKUPS:
            break
    for prefix in (
        _folders_above(end) & found.keys()
    ):  # its other files may follow later in the bucket
        found[prefix] = _list_by_name(s3, bucket, prefix)
    folders = (
        Folder(bucket, prefix, tuple(files.values())) for prefix, files in found.items() if files
    )
    return Scan(tuple(folders), end)


def _names(files: Iterable[str]) -> set[str]:
    return {key.rpartition("/")[2] for key in files}


def _list_by_name(s3: "S3Client", bucket: str, prefix: str) -> dict[str, DatasetFile]:
    """List the data files of one folder by name."""
    responses = (
        s3.list_objects_v2(Bucket=bucket, Prefix=prefix + name, MaxKeys=1) for name in sorted(FILES)
    )
    items = [item for response in responses for item in response.get("Contents", [])]
    return {item["Key"]: _file(item) for item in items if folder_of(item["Key"]) == prefix}


def _file(item: "ObjectTypeDef") -> DatasetFile:
    modified = item["LastModified"].astimezone(UTC)
    return DatasetFile(item["Key"], item["ETag"], item["Size"], modified)


def _folders_above(key: str) -> set[str]:
    """Return the folder of a key, its parent folders, and the root of the bucket."""
    parts = key.split("/")[:-1]
    return {"", *("/".join(parts[: depth + 1]) + "/" for depth in range(len(parts)))}
