"""Waiting drops: folders that look like a data set but have no run, and what each waits for.

Items of the runs table: `WAITING / /<prefix>`. The launcher writes one when it looks at a folder
and launches nothing, and deletes it when the folder is complete. The sweep corrects both. DynamoDB
deletes an item two weeks after the folder's last change.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, TypedDict

from boto3.dynamodb.conditions import Key

from datasets import Folder, folder_of
from runs import format_time
from spark.contracts.movielens import FORMATS

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table
    from mypy_boto3_s3 import S3Client

SHOWN_FOR = timedelta(days=14)  # after the folder's last change
MAX_SHOWN = 50
MAX_NAMED = 3  # names of which a sentence says something
MAX_REQUESTS = 10  # for the records of all folders, a megabyte each: thousands of folders
MAX_PAGES = 5  # maximum list requests per folder, a thousand keys each

_KIND = re.compile(r"(rating|movie|tag)s?(?![a-z])")
_TABLE = r"csv|tsv|txt|dat|data|item|jsonl?|ndjson|parquet|avro|orc|feather|arrow|xlsx?|pkl|pickle"
_PACKED = r"gz|bz2|xz|zst"
_DATA_NAME = re.compile(rf".*\.({_TABLE})(\.({_PACKED}))?")
_ARCHIVE = re.compile(r".*\.(zip|tar|tgz|7z|rar|tar\.(gz|bz2|xz|zst))")
_100K = re.compile(r"u\.(data|item)(\.(gz|bz2|xz|zst))?")


class WaitingItem(TypedDict):
    """A waiting drop as it is stored.

    Attributes:
        pk: always `WAITING`.
        sk: a slash and the folder's prefix.
        folder: the folder, for display.
        since: when the folder was last changed when it was first seen waiting.
        waits_for: one sentence.
        seen_at: when somebody last looked at the folder.
        noticed_at: when people got a notice; empty before.
        expires: seconds of the epoch.
    """

    pk: str
    sk: str
    folder: str
    since: str
    waits_for: str
    seen_at: str
    noticed_at: str
    expires: int


@dataclass(frozen=True)
class Waiting:
    """A folder that waits.

    Attributes:
        folder: the folder with its data files.
        changed_at: its last change.
        waits_for: what it waits for or why it is not taken, for people.
    """

    folder: Folder
    changed_at: datetime
    waits_for: str


def folder_like(key: str) -> str | None:
    """Return the folder prefix of a key that is a data file's or looks like one, or None.

    A key with such a name may also be one of Spark's part files, in a folder that is named like a
    data file, or an archive.
    """
    if (prefix := folder_of(key)) is not None:
        return prefix
    prefix, slash, name = key.rpartition("/")
    if name.startswith("part-"):
        above, above_slash, parts = prefix.rpartition("/")
        if slash and _looks_like(parts + "/"):
            return above + above_slash
    return prefix + slash if name and _looks_like(name) else None


def _looks_like(name: str) -> bool:
    """Check whether a name looks like a data file's; a folder's name ends with a slash."""
    name = name.lower()
    if name.endswith("/"):
        return _KIND.match(name) is not None
    if _ARCHIVE.fullmatch(name) or _100K.fullmatch(name):
        return True
    return _KIND.match(name) is not None and _DATA_NAME.fullmatch(name) is not None


def waits_for(folder: Folder, names: Iterable[str]) -> str | None:
    """Say what a folder waits for or why it is not taken.

    Args:
        folder: its data files, and whether they are complete.
        names: all names in the folder; a subfolder's name ends with a slash.

    Returns:
        One sentence; None if the folder is complete or does not look like a data set.
    """
    if folder.is_complete:
        return None
    alike = sorted(filter(_looks_like, {*names, *folder.names, *folder.uploading}))
    if not alike:
        return None
    taken = [name for name in alike if _is_taken(folder.prefix, name)]
    there = {_target(name) for name in taken}
    ending = "dat" if any(name.endswith(".dat") for name in there) else "csv"
    targets = {name: _target(name, ending) for name in alike if name not in taken}
    others = {name: target for name, target in targets.items() if target not in there}
    if there or any(others.values()):
        others = {name: target for name, target in others.items() if target}  # no archives
    empty = sorted(folder.empty)
    return _join(
        [f"{name} is still being uploaded" for name in sorted(folder.uploading)]
        + [f"{name} is empty: upload it again" for name in empty if name not in folder.uploading]
        + [_refusal(name, target) for name, target in others.items()]
        + _missing({*there, *others.values()} - {""})
    )


def _is_taken(prefix: str, name: str) -> bool:
    """Check whether a name is one of a format."""
    key = prefix + (name + "part-00000" if name.endswith("/") else name)
    return folder_of(key) == prefix or name in {format.tags for format in FORMATS if format.tags}


def _target(name: str, ending: str = "csv") -> str:
    """Return the name of a format that a file should have; empty for an archive.

    Args:
        name: its name.
        ending: `csv` or `dat`, if the name has neither.
    """
    name = name.lower()
    if _100K.fullmatch(name.rstrip("/")):
        return name[: len("u.data")]
    if (kind := _KIND.match(name)) is None or _ARCHIVE.fullmatch(name):
        return ""
    own = re.search(r"\.(csv|dat)(\.|/|$)", name)
    return f"{kind[1]}s.{own[1] if own else ending}"


def _refusal(name: str, target: str) -> str:
    if not target:
        return f"{name} is not taken: unpack it and upload the files in it"
    if name.endswith("/"):
        return f"{name} is a folder of part files: upload them as one file {target}"
    if re.fullmatch(rf".*\.({_PACKED})", name.lower()):
        return f"{name} is not taken: unpack it and upload {target}"
    if re.fullmatch(r".*\.(csv|dat)", name.lower()):
        return f"{name} is not a name of a format: rename it to {target}"
    return f"{name} is not taken: write it as {target}"


def _missing(there: Collection[str]) -> list[str]:
    """Say which files are missing; several formats may have begun."""
    begun = [format for format in FORMATS if {*format.files, format.tags} & {*there}]
    missing = [[name for name in format.files if name not in there] for format in begun]
    if not all(missing):
        return []  # a format is complete but for what the other sentences say
    wanted = [" and ".join(names) for names in missing]
    several = any(len(names) > 1 for names in missing)
    is_missing = "are missing: upload them" if several else "is missing: upload it"
    return [f"{' or '.join(wanted)} {is_missing} into the same folder"] if wanted else []


def _join(sentences: Sequence[str]) -> str:
    if not sentences:
        return "its files do not complete a format"
    more = len(sentences) - MAX_NAMED
    told = [*sentences[:MAX_NAMED], *([f"and {more} more"] if more > 0 else [])]
    return "; ".join(told)


def find(s3: "S3Client", folder: Folder, settle: timedelta, now: datetime) -> Waiting | None:
    """Look what a folder waits for.

    Args:
        s3: client.
        folder: the folder, as `datasets.list_folder` returns it.
        settle: how long a complete folder must be unchanged.
        now: the current time.

    Returns:
        None if it is complete and settled, deleted, or does not look like a data set.
    """
    if folder.is_complete:
        if (age := folder.age(now)) >= settle:
            return None
        seconds = int(settle.total_seconds())
        changed_at = now - age
        sentence = f"no change for {seconds} seconds; the last was at {changed_at:%H:%M:%S} UTC"
        return Waiting(folder, changed_at, sentence)
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=folder.bucket, Prefix=folder.prefix, Delimiter="/"
    )
    changes = dict.fromkeys(folder.uploading, now)
    for page in islice(pages, MAX_PAGES):
        for item in page.get("Contents", []):
            changes[item["Key"].removeprefix(folder.prefix)] = item["LastModified"].astimezone(UTC)
        for below in page.get("CommonPrefixes", []):
            name = below["Prefix"].removeprefix(folder.prefix)
            # Only Spark's part files make a folder a file.
            if _looks_like(name) and (part := _first_part(s3, folder.bucket, below["Prefix"])):
                changes[name] = part
    why = waits_for(folder, changes)
    if why is None:
        return None
    return Waiting(folder, max(at for name, at in changes.items() if _looks_like(name)), why)


def _first_part(s3: "S3Client", bucket: str, prefix: str) -> datetime | None:
    """Return when the first part file of a folder was written, or None if there is none."""
    found = s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}part-", MaxKeys=1)
    return next((each["LastModified"].astimezone(UTC) for each in found.get("Contents", [])), None)


def record(table: "Table", drop: Waiting, now: datetime) -> None:
    """Record that a folder waits; it keeps the time since when."""
    table.update_item(
        Key=_key(drop.folder.prefix),
        UpdateExpression=(
            "SET #folder = :folder, #since = if_not_exists(#since, :since), waits_for = :waits_for,"
            " seen_at = :now, expires = :expires, noticed_at = if_not_exists(noticed_at, :never)"
        ),
        ExpressionAttributeNames={"#folder": "folder", "#since": "since"},
        ExpressionAttributeValues={
            ":folder": drop.folder.name,
            ":since": format_time(drop.changed_at),
            ":waits_for": drop.waits_for,
            ":now": format_time(now),
            ":expires": int((drop.changed_at + SHOWN_FOR).timestamp()),
            ":never": "",
        },
    )


def forget(table: "Table", prefix: str) -> None:
    """Delete the record of a folder that no longer waits, if there is one."""
    table.delete_item(Key=_key(prefix))


def note_notice(table: "Table", prefix: str, now: datetime) -> None:
    """Record that people got a notice of a waiting folder."""
    table.update_item(
        Key=_key(prefix),
        UpdateExpression="SET noticed_at = :now",
        ExpressionAttributeValues={":now": format_time(now)},
    )


def stored(table: "Table", limit: int | None = None) -> list[WaitingItem]:
    """Return the waiting folders by name: as many as `MAX_REQUESTS` return, at most `limit`."""
    # The client of a resource also accepts conditions; its type stubs do not show that.
    paginator: Any = table.meta.client.get_paginator("query")
    pages = paginator.paginate(
        TableName=table.name,
        KeyConditionExpression=Key("pk").eq("WAITING"),
        PaginationConfig={"MaxItems": limit, "PageSize": limit},
    )
    return [item for page in islice(pages, MAX_REQUESTS) for item in page["Items"]]


def prefix_of(item: WaitingItem) -> str:
    """Return the folder's prefix."""
    return item["sk"].removeprefix("/")


def _key(prefix: str) -> dict[str, str]:
    # A sort key is not empty, but the prefix of the bucket's root is.
    return {"pk": "WAITING", "sk": f"/{prefix}"}
