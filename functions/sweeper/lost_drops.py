"""Finds dropped folders that have no run: their events were lost, or came before anybody listened.

S3's events reach nobody for some five minutes after a bucket's notifications were switched on, and
one that failed for good waits in a dead-letter queue. So the sweep looks into the bucket itself, a
bounded stretch of its keys each time, and goes on there the next time.
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

MAX_PAGES = 20  # requests for a thousand keys each that one look may take
MAX_LOOKUPS = (
    1000  # complete folders, whose run is looked up, after which a look takes no more pages
)
# Before that the folder's own event is on its way.
GRACE_PERIOD = timedelta(minutes=10)
# As long as dead-letter queues keep events. What has lain there longer was meant to have no run, or
# the runs table was lost, and then nobody wants a cluster for each folder there ever was.
MAX_AGE = timedelta(days=14)
CURSOR = {"pk": "SWEEP", "sk": "datasets"}


@dataclass(frozen=True)
class Scan:
    """A stretch of a bucket's keys.

    Attributes:
        folders: those with data files in it.
        end: its last key; empty where the bucket has no further ones.
    """

    folders: tuple[Folder, ...]
    end: str


def find(
    s3: "S3Client", bucket: str, runs_table: "Table", settle: timedelta, now: datetime
) -> Iterator[dict[str, Any]]:
    """Look at the next stretch of the bucket for folders that should have a run.

    Args:
        s3: client.
        bucket: the datasets bucket.
        runs_table: the runs table, which also keeps how far the last look went.
        settle: how long a folder has to be unchanged.
        now: the current time.

    Yields:
        For each lost drop what S3 would have said of its newest file; the launcher may hear it
        twice.
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
    """List a stretch of a bucket and gather its data files by folder.

    Args:
        s3: client.
        bucket: the datasets bucket.
        after: the key behind which it begins; empty for the bucket's first key.
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
    for prefix in _folders_above(end) & found.keys():  # its other files may lie behind the stretch
        found[prefix] = _looked_up(s3, bucket, prefix)
    folders = (
        Folder(bucket, prefix, tuple(files.values())) for prefix, files in found.items() if files
    )
    return Scan(tuple(folders), end)


def _names(files: Iterable[str]) -> set[str]:
    return {key.rpartition("/")[2] for key in files}


def _looked_up(s3: "S3Client", bucket: str, prefix: str) -> dict[str, DatasetFile]:
    """The data files of one folder, each asked for by its name."""
    answers = (
        s3.list_objects_v2(Bucket=bucket, Prefix=prefix + name, MaxKeys=1) for name in sorted(FILES)
    )
    items = [item for answer in answers for item in answer.get("Contents", [])]
    return {item["Key"]: _file(item) for item in items if folder_of(item["Key"]) == prefix}


def _file(item: "ObjectTypeDef") -> DatasetFile:
    modified = item["LastModified"].astimezone(UTC)
    return DatasetFile(item["Key"], item["ETag"], item["Size"], modified)


def _folders_above(key: str) -> set[str]:
    """The folder of a key, all folders that it is in, and the bucket's root."""
    parts = key.split("/")[:-1]
    return {"", *("/".join(parts[: depth + 1]) + "/" for depth in range(len(parts)))}
