"""Finds dropped folders without a run, because their events were lost or they are not complete.

For about five minutes after notifications are enabled on a bucket, S3 may send no events; other
events may end in a dead-letter queue. So the sweep lists the bucket itself: a limited number of
keys each time, continuing where the last sweep stopped.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import runs
from datasets import (
    NAMES,
    DatasetFile,
    Folder,
    dataset_files,
    fingerprints_of,
    folder_of,
    listed_file,
    with_checksums,
)
from runs import claims
from runs.claims import Skip
from waiting import folder_like

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table
    from mypy_boto3_s3 import S3Client

MAX_PAGES = 20  # maximum list requests per scan, a thousand keys each
# A scan stops after this many complete folders. Each takes up to two HeadObject and four GetItem.
MAX_LOOKUPS = 500
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
        alike: prefixes of all folders that look like a data set, and their last change.
    """

    folders: tuple[Folder, ...]
    end: str
    alike: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def incomplete(self) -> dict[str, datetime]:
        """The folders of `alike` that have no complete format."""
        complete = {folder.prefix for folder in self.folders if folder.is_complete}
        return {prefix: at for prefix, at in self.alike.items() if prefix not in complete}


def scan_next(s3: "S3Client", bucket: str, runs_table: "Table") -> Scan:
    """Scan the part of the bucket after the one that was last scanned."""
    kept = runs_table.get_item(Key=CURSOR, ConsistentRead=True).get("Item", {})
    return scan(s3, bucket, str(kept.get("after", "")))


def keep_place(runs_table: "Table", scanned: Scan) -> None:
    """Store where a scan ended."""
    runs_table.update_item(
        Key=CURSOR,
        UpdateExpression="SET #after = :end",
        ExpressionAttributeNames={"#after": "after"},
        ExpressionAttributeValues={":end": scanned.end},
    )


def events(
    s3: "S3Client", scanned: Scan, runs_table: "Table", settle: timedelta, now: datetime
) -> Iterator[dict[str, Any]]:
    """Find the folders that should have a run.

    Args:
        s3: client.
        scanned: a part of the bucket.
        runs_table: the runs table.
        settle: how long a folder must be unchanged.
        now: the current time.

    Yields:
        For each lost drop the event that S3 would have sent for its newest file; the launcher
        ignores duplicates.
    """
    for folder in scanned.folders:
        age = folder.age(now)
        if folder.is_complete and settle + GRACE_PERIOD < age < MAX_AGE:
            newest = max(folder.files, key=lambda file: file.modified)
            files = dataset_files(with_checksums(s3, folder))
            run = claims.for_dataset(runs_table, *fingerprints_of(files))
            if not isinstance(claims.decide(run, newest.modified, now), Skip):
                yield {
                    "detail": {"bucket": {"name": folder.bucket}, "object": {"key": newest.key}},
                    "time": runs.format_time(newest.modified),
                }


def scan(s3: "S3Client", bucket: str, after: str) -> Scan:
    """List a part of a bucket and group its data files by folder.

    Args:
        s3: client.
        bucket: the datasets bucket.
        after: the key after which to start; empty for the first key.
    """
    found: dict[str, dict[str, DatasetFile]] = defaultdict(dict)
    alike: dict[str, datetime] = {}
    end = after
    for _ in range(MAX_PAGES):
        page = s3.list_objects_v2(Bucket=bucket, StartAfter=end)
        for item in page.get("Contents", []):
            end = item["Key"]
            prefix = folder_of(end)
            if prefix is not None:
                found[prefix][end] = listed_file(item)
            if (like := folder_like(end)) is not None:
                modified = listed_file(item).modified
                alike[like] = max(modified, alike.get(like, modified))
        if not page["IsTruncated"]:
            end = ""
            break
        if sum(folder.is_complete for folder in _folders(bucket, found)) >= MAX_LOOKUPS:
            break
    for prefix in (
        _folders_above(end) & found.keys()
    ):  # its other files may follow later in the bucket
        found[prefix] = _list_by_name(s3, bucket, prefix)
    return Scan(tuple(_folders(bucket, found)), end, alike)


def _folders(bucket: str, found: Mapping[str, Mapping[str, DatasetFile]]) -> Iterator[Folder]:
    for prefix, files in found.items():
        if files:
            yield Folder(bucket, prefix, tuple(files.values()))


def _list_by_name(s3: "S3Client", bucket: str, prefix: str) -> dict[str, DatasetFile]:
    """List the data files of one folder by name; the folder may hold any number of others.

    Names are looked for in lower case, in capitals, and with a capital first letter.
    """
    names = {cased for name in NAMES for cased in (name, name.upper(), name.capitalize())}
    files = {}
    for name in names:
        end, is_truncated = "", True
        while is_truncated:  # a file may have thousands of parts
            page = s3.list_objects_v2(Bucket=bucket, Prefix=prefix + name, StartAfter=end)
            for item in page.get("Contents", []):
                end = item["Key"]
                if folder_of(end) == prefix:
                    files[end] = listed_file(item)
            is_truncated = page["IsTruncated"]
    return files


def _folders_above(key: str) -> set[str]:
    """Return the folder of a key, its parent folders, and the root of the bucket."""
    parts = key.split("/")[:-1]
    return {"", *("/".join(parts[: depth + 1]) + "/" for depth in range(len(parts)))}
