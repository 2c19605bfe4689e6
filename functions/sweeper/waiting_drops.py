"""Keeps the records of waiting drops true, and finds those that deserve a notice.

A deleted file and an aborted upload bring no event, and events may be lost. So each sweep looks
again at a limited number of the recorded folders, and at incomplete ones that its scan has found.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

import waiting
from datasets import list_folder
from runs import parse_time
from waiting import SHOWN_FOR, WaitingItem

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table
    from mypy_boto3_s3 import S3Client

MAX_LOOKS = 100  # at recorded folders, and at as many new ones, per sweep
MAX_NOTICED = 1000  # folders in one notice, each a write; the next sweep sends a notice of the rest
NOTICE_AFTER = timedelta(minutes=30)  # a large upload may take that long


def refresh(
    s3: "S3Client",
    bucket: str,
    runs_table: "Table",
    found: Mapping[str, datetime],
    settle: timedelta,
    now: datetime,
) -> None:
    """Look at waiting folders, and record or forget each.

    Args:
        s3: client.
        bucket: the datasets bucket.
        runs_table: the runs table.
        found: prefixes of incomplete folders that the scan has found, and their last change.
        settle: how long a folder must be unchanged.
        now: the current time.
    """
    recorded = sorted(waiting.stored(runs_table), key=lambda item: item["seen_at"])
    known = [waiting.prefix_of(item) for item in recorded]
    new = [prefix for prefix, at in found.items() if now - at < SHOWN_FOR]
    new = sorted({*new} - {*known}, key=lambda prefix: found[prefix], reverse=True)
    for prefix in known[:MAX_LOOKS] + new[:MAX_LOOKS]:
        drop = waiting.find(s3, list_folder(s3, bucket, prefix, now), settle, now)
        if drop and now - drop.changed_at < SHOWN_FOR:
            waiting.record(runs_table, drop, now)
        elif prefix in known:
            waiting.forget(runs_table, prefix)


def overdue(runs_table: "Table", now: datetime) -> list[WaitingItem]:
    """Return folders that have waited for long without a notice, a limited number."""
    late = (
        item
        for item in waiting.stored(runs_table)
        if not item["noticed_at"] and now - parse_time(item["since"]) > NOTICE_AFTER
    )
    return list(islice(late, MAX_NOTICED))
