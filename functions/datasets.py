"""A dropped folder: its data files, whether it is complete, and the identity of its data set."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from spark.contracts.movielens import FILES, Format, formats_in, only_format

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Uploads that were started longer ago than this are considered abandoned.
ABANDONED_AFTER = timedelta(hours=24)


@dataclass(frozen=True)
class DatasetFile:
    """One file of a folder.

    Attributes:
        key: in the datasets bucket.
        etag: in quotes, as S3 lists it.
        size: in bytes.
        modified: when S3 created it, in UTC.
    """

    key: str
    etag: str
    size: int
    modified: datetime

    @property
    def name(self) -> str:
        """The name without the folder."""
        return self.key.rpartition("/")[2]


@dataclass(frozen=True)
class Folder:
    """The data files under one prefix of the datasets bucket.

    Attributes:
        bucket: the datasets bucket.
        prefix: key prefix with its trailing slash; empty for the root of the bucket.
        files: the files that belong to a MovieLens format.
        uploading: names of such files with an upload in progress.
    """

    bucket: str
    prefix: str
    files: tuple[DatasetFile, ...]
    uploading: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The name of the folder for display."""
        return self.prefix.rstrip("/") or "(the bucket's root)"

    @property
    def names(self) -> frozenset[str]:
        """The names of the files."""
        return frozenset(file.name for file in self.files)

    @property
    def is_complete(self) -> bool:
        """Whether at least one format is complete and no file is being replaced."""
        return bool(formats_in(self.names)) and not self.uploading

    def age(self, now: datetime) -> timedelta:
        """Return the age of the newest file."""
        return now - max(file.modified for file in self.files)


@dataclass(frozen=True)
class Dataset:
    """A complete folder: the input of a run.

    Attributes:
        folder: the dropped folder.
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
        """The files of the data set."""
        return self.ratings, self.movies


def folder_of(key: str) -> str | None:
    """Return the folder prefix of a data file's key, or None if the key is not a data file's."""
    prefix, slash, name = key.rpartition("/")
    return prefix + slash if name in FILES else None


def list_folder(s3: "S3Client", bucket: str, prefix: str, now: datetime) -> Folder:
    """List the data files of a folder and its uploads in progress.

    Args:
        s3: client.
        bucket: the datasets bucket.
        prefix: the folder, with its trailing slash; empty for the root of the bucket.
        now: the current time in UTC; uploads older than `ABANDONED_AFTER` are ignored.
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
    """Identify a data set: SHA-256 over key, ETag and size of its files.

    Returns:
        64 hexadecimal digits, independent of the order of the files.
    """
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.key):
        digest.update(f"{file.key}\0{file.etag}\0{file.size}\n".encode())
    return digest.hexdigest()


def dataset_files(folder: Folder) -> list[DatasetFile]:
    """Return the files of the folder's complete formats; incomplete formats are ignored."""
    names = {name for format in formats_in(folder.names) for name in format.files}
    return [file for file in folder.files if file.name in names]


def dataset(folder: Folder) -> Dataset:
    """Return the data set in a folder.

    Raises:
        DatasetError: no format is complete, or more than one.
    """
    format = only_format(folder.names, folder.name)
    by_name = {file.name: file for file in folder.files}
    return Dataset(folder, format, by_name[format.ratings], by_name[format.movies])
