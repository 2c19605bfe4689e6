"""A dropped folder: which of its files matter, whether it is complete and settled, what it is."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from spark.contracts.movielens import FILES, Format, formats_in, only_format

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# An upload that was started longer ago than this counts as given up.
ABANDONED_AFTER = timedelta(hours=24)


@dataclass(frozen=True)
class DatasetFile:
    """One file of a folder.

    Attributes:
        key: in the datasets bucket.
        etag: as S3 lists it, in quotes.
        size: in bytes.
        modified: when S3 made it, in UTC.
    """

    key: str
    etag: str
    size: int
    modified: datetime

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.key.rpartition("/")[2]


@dataclass(frozen=True)
class Folder:
    """What stands under one prefix of the datasets bucket, as far as it matters.

    Attributes:
        bucket: the datasets bucket.
        prefix: the folder's key prefix, with its trailing slash; empty for the bucket's root.
        files: those that belong to a MovieLens format.
        uploading: names of such files that are being uploaded right now.
    """

    bucket: str
    prefix: str
    files: tuple[DatasetFile, ...]
    uploading: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The folder as a person calls it."""
        return self.prefix.rstrip("/") or "(the bucket's root)"

    @property
    def names(self) -> frozenset[str]:
        """The names of the files that are there."""
        return frozenset(file.name for file in self.files)

    @property
    def is_complete(self) -> bool:
        """Whether at least one format has all its files and none is being replaced."""
        return bool(formats_in(self.names)) and not self.uploading

    def age(self, now: datetime) -> timedelta:
        """How long the newest file has been there."""
        return now - max(file.modified for file in self.files)


@dataclass(frozen=True)
class Dataset:
    """A complete folder: what one run computes on.

    Attributes:
        folder: where it was dropped.
        format: its MovieLens format.
        ratings: the ratings file.
        movies: the movies file.
    """

    folder: Folder
    format: Format
    ratings: DatasetFile
    movies: DatasetFile

    @property
    def files(self) -> tuple[DatasetFile, DatasetFile]:
        """The files that matter."""
        return self.ratings, self.movies


def folder_of(key: str) -> str | None:
    """The folder prefix that an object key drops into, or None where the file does not matter."""
    prefix, slash, name = key.rpartition("/")
    return prefix + slash if name in FILES else None


def list_folder(s3: "S3Client", bucket: str, prefix: str, now: datetime) -> Folder:
    """Look at a folder: its data files, and those that are being uploaded.

    Args:
        s3: client.
        bucket: the datasets bucket.
        prefix: the folder, with its trailing slash (empty: the bucket's root).
        now: the current time in UTC; older uploads than `ABANDONED_AFTER` are not waited for.
    """
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=prefix, Delimiter="/"
    )
    files = [
        DatasetFile(item["Key"], item["ETag"], item["Size"], item["LastModified"].astimezone(UTC))
        for page in pages
        for item in page.get("Contents", [])
        if folder_of(item["Key"]) == prefix
    ]
    uploads = s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix)
    uploading = frozenset(
        upload["Key"].rpartition("/")[2]
        for page in uploads
        for upload in page.get("Uploads", [])
        if folder_of(upload["Key"]) == prefix
        and now - upload["Initiated"].astimezone(UTC) < ABANDONED_AFTER
    )
    return Folder(bucket, prefix, tuple(sorted(files, key=lambda file: file.key)), uploading)


def fingerprint_of(files: Sequence[DatasetFile]) -> str:
    """What tells one data set from another: SHA-256 over key, ETag and size of its files.

    Returns:
        64 hexadecimal digits, the same for the same files in any order.
    """
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.key):
        digest.update(f"{file.key}\0{file.etag}\0{file.size}\n".encode())
    return digest.hexdigest()


def dataset_files(folder: Folder) -> list[DatasetFile]:
    """The files of a folder's complete formats; half of another format is no data."""
    names = {name for format in formats_in(folder.names) for name in format.files}
    return [file for file in folder.files if file.name in names]


def dataset(folder: Folder) -> Dataset:
    """The data set that a folder holds.

    Raises:
        DatasetError: the files of no format, or of more than one, are complete.
    """
    format = only_format(folder.names, folder.name)
    by_name = {file.name: file for file in folder.files}
    return Dataset(folder, format, by_name[format.ratings], by_name[format.movies])
