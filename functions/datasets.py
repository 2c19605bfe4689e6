"""A dropped folder: its data files, whether it is complete, and the identity of its data set.

A data file may have a nearly right name (`Ratings.csv`, Kaggle's `rating.csv`), be packed with gzip
(`ratings.csv.gz`), or be a folder of parts as Spark writes it (`ratings.csv/part-00000-...csv`). A
zip is a folder of its own, whose files are the zip's members. `folder_of` decides for every key.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from spark.contracts.movielens import FORMATS, DatasetError, Format, formats_in, only_format

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

# Uploads that were started longer ago than this are considered abandoned.
ABANDONED_AFTER = timedelta(hours=24)
# What may stand for a file of a format: its own name, and those of Kaggle's releases.
NAMES: Mapping[str, str] = {
    name: name for each in FORMATS for name in (*each.files, *each.optional)
} | {
    "rating.csv": "ratings.csv", "movie.csv": "movies.csv", "tag.csv": "tags.csv",
    "link.csv": "links.csv",
    "genome_scores.csv": "genome-scores.csv", "genome_tags.csv": "genome-tags.csv",
}  # fmt: skip
PACKED = ".gz"
ARCHIVE = ".zip"
# A part that a Spark writer has made; its checksum, `.part-...crc`, begins with a dot.
_PART = re.compile(r"part-[0-9]+[^./]*(\.(csv|dat|txt))?(\.gz)?")
# The checksums that S3 may keep of an object.
_CHECKSUMS = (
    "ChecksumCRC64NVME", "ChecksumCRC32", "ChecksumCRC32C", "ChecksumSHA1", "ChecksumSHA256",
)  # fmt: skip


@dataclass(frozen=True)
class DatasetFile:
    """One file of a folder, or one part of a file.

    Attributes:
        key: in the datasets bucket.
        etag: in quotes, as S3 lists it.
        size: in bytes.
        modified: when S3 created it, in UTC; for a multipart upload, when that began.
        checksum: S3's checksum of the whole content with its algorithm, or empty if unknown.
    """

    key: str
    etag: str
    size: int
    modified: datetime
    checksum: str = ""

    @property
    def name(self) -> str:
        """The name without the folder; of a part, with the name of the file."""
        folder = folder_of(self.key)
        if folder is None or folder == self.key:
            return self.key.rpartition("/")[2]
        return self.key.removeprefix(folder)

    @property
    def stands_for(self) -> str:
        """The name of the format's file that this is, or is a part of."""
        place = _place_of(self.key)
        return place[1] if place else ""

    @property
    def is_packed(self) -> bool:
        """Whether it is packed with gzip."""
        return self.key.lower().endswith(PACKED)


@dataclass(frozen=True)
class Folder:
    """The data files under one prefix of the datasets bucket, or a zip.

    Attributes:
        bucket: the datasets bucket.
        prefix: key prefix with its trailing slash; empty for the root of the bucket. The key of a
            zip.
        files: the files that belong to a MovieLens format, or the zip.
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
    def is_archive(self) -> bool:
        """Whether it is a zip, whose members are not known yet."""
        return self.prefix.lower().endswith(ARCHIVE)

    @property
    def names(self) -> frozenset[str]:
        """The names of the format's files that the files stand for."""
        return frozenset(file.stands_for for file in self.files) - {""}

    @property
    def is_complete(self) -> bool:
        """Whether at least one format is complete, no file is empty and none is being replaced.

        A zip is complete as soon as it is there.
        """
        return bool(dataset_files(self)) and not self.empty and not self.uploading

    @property
    def empty(self) -> frozenset[str]:
        """The names of the files without content; some of a file's parts may be empty."""
        full = {file.stands_for for file in self.files if file.size}
        return (
            frozenset(file.stands_for or file.name for file in self.files)
            - full
            - ({file.name for file in self.files if file.size})
        )

    def age(self, now: datetime) -> timedelta:
        """Return the age of the newest file."""
        return now - max(file.modified for file in self.files)


@dataclass(frozen=True)
class Dataset:
    """A complete folder: the input of a run.

    Attributes:
        folder: the dropped folder.
        format: its MovieLens format.
        sources: for each file of the format that is there, its one file, or its parts in order.
    """

    folder: Folder
    format: Format
    sources: Mapping[str, tuple[DatasetFile, ...]]

    @property
    def ratings(self) -> DatasetFile:
        """The ratings file, or its first part."""
        return self.sources[self.format.ratings][0]

    @property
    def movies(self) -> DatasetFile:
        """The movies file, or its first part."""
        return self.sources[self.format.movies][0]

    @property
    def is_plain(self) -> bool:
        """Whether ratings and movies can be read as they are."""
        return all(is_plain(self.sources[name]) for name in self.format.files)


def is_plain(files: Sequence[DatasetFile]) -> bool:
    """Check whether a file is neither packed nor in parts."""
    return len(files) == 1 and not files[0].is_packed and not _is_part(files[0].key)


def _is_part(key: str) -> bool:
    return _PART.fullmatch(key.rpartition("/")[2]) is not None


def _file_named(name: str) -> str | None:
    """Return the format's file that a name stands for, or None."""
    return NAMES.get(name.lower().removesuffix(PACKED))


def _place_of(key: str) -> tuple[str, str] | None:
    """Return the folder prefix and the format's file of a data file's key, or None."""
    prefix, slash, name = key.rpartition("/")
    if file := _file_named(name):
        return prefix + slash, file
    above, slash, parent = prefix.rpartition("/")
    if _is_part(key) and (file := _file_named(parent)):
        return above + slash, file
    return None


def folder_of(key: str) -> str | None:
    """Return the folder prefix of a data file's key, or None if the key is not a data file's.

    A zip is its own folder.
    """
    if key.lower().endswith(ARCHIVE):
        return key
    place = _place_of(key)
    return place[0] if place else None


def list_files(s3: "S3Client", bucket: str, prefix: str) -> tuple[DatasetFile, ...]:
    """List the data files of a folder, also those in parts.

    Args:
        s3: client.
        bucket: the bucket.
        prefix: the folder, with its trailing slash; empty for the root of the bucket; a zip's key.
    """
    files, in_parts = [], [prefix]
    while in_parts:
        listed = in_parts.pop()
        pages = s3.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=listed, Delimiter="/"
        )
        for page in pages:
            items = page.get("Contents", [])
            files += [listed_file(item) for item in items if folder_of(item["Key"]) == prefix]
            if listed == prefix:
                below = (each["Prefix"] for each in page.get("CommonPrefixes", []))
                in_parts += [each for each in below if _file_named(each[len(prefix) : -1])]
    return tuple(sorted(files, key=lambda file: file.key))


def listed_file(item: "ObjectTypeDef") -> DatasetFile:
    """Return the file of an item that S3 listed."""
    modified = item["LastModified"].astimezone(UTC)
    return DatasetFile(item["Key"], item["ETag"], item["Size"], modified)


def list_folder(s3: "S3Client", bucket: str, prefix: str, now: datetime) -> Folder:
    """List the data files of a folder and its uploads in progress.

    Args:
        s3: client.
        bucket: the datasets bucket.
        prefix: the folder, with its trailing slash; empty for the root of the bucket.
        now: the current time in UTC; uploads older than `ABANDONED_AFTER` are ignored.
    """
    files = list_files(s3, bucket, prefix)
    begun = {file.key: file.modified for file in files}
    uploads = s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix)
    uploading = frozenset(
        upload["Key"].removeprefix(prefix) or prefix
        for page in uploads
        for upload in page.get("Uploads", [])
        if folder_of(upload["Key"]) == prefix
        and now - (started := upload["Initiated"].astimezone(UTC)) < ABANDONED_AFTER
        # S3 dates an object by the beginning of its upload: the one that began last counts.
        and started >= begun.get(upload["Key"], started)
    )
    return Folder(bucket, prefix, files, uploading)


def with_checksums(s3: "S3Client", folder: Folder) -> Folder:
    """Look up S3's checksums of a folder's whole files, by which `fingerprint_of` identifies them.

    Parts are left out: a Spark writer gives them new names each time, and there may be thousands.
    """
    wanted = {file.key for file in dataset_files(folder) if not _is_part(file.key)}
    return replace(
        folder,
        files=tuple(
            replace(file, checksum=_checksum(s3, folder.bucket, file))
            if file.key in wanted
            else file
            for file in folder.files
        ),
    )


def _checksum(s3: "S3Client", bucket: str, file: DatasetFile) -> str:
    """Return S3's checksum of a file's whole content, or an empty text if S3 tells none."""
    try:
        head: Mapping[str, object] = s3.head_object(
            Bucket=bucket, Key=file.key, IfMatch=file.etag, ChecksumMode="ENABLED"
        )
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500) >= 500:
            raise
        return ""  # deleted, replaced or unreadable: reading it says so
    if head.get("ChecksumType") == "COMPOSITE":
        return ""  # it depends on the parts of the upload, as the ETag does
    return next((f"{name}={head[name]}" for name in _CHECKSUMS if name in head), "")


def fingerprint_of(files: Sequence[DatasetFile]) -> str:
    """Identify a data set: SHA-256 over key, checksum (or ETag) and size of its files.

    The ETag of a file depends on the parts in which it was uploaded; the checksum does not.

    Returns:
        64 hexadecimal digits, independent of the order of the files.
    """
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.key):
        digest.update(f"{file.key}\0{file.checksum or file.etag}\0{file.size}\n".encode())
    return digest.hexdigest()


def fingerprints_of(files: Sequence[DatasetFile]) -> tuple[str, ...]:
    """Return the fingerprint, and the one by ETags under which the data set may have a run.

    Versions before 1.1 knew only ETags; and S3 may once have withheld a checksum.
    """
    by_etag = fingerprint_of([replace(file, checksum="") for file in files])
    return tuple(dict.fromkeys((fingerprint_of(files), by_etag)))


def dataset_files(folder: Folder) -> list[DatasetFile]:
    """Return the files that identify the data set: a zip, or the files of complete formats."""
    if folder.is_archive:
        return list(folder.files)
    names = {name for format in formats_in(folder.names) for name in format.files}
    return [file for file in folder.files if file.stands_for in names]


def dataset(folder: Folder) -> Dataset:
    """Return the data set in a folder.

    Raises:
        DatasetError: no format is complete, more than one is, or a file is there in two forms.
    """
    format = only_format(folder.names, folder.name)
    found: dict[str, list[DatasetFile]] = defaultdict(list)
    for file in folder.files:
        found[file.stands_for].append(file)
    wanted = [name for name in (*format.files, *format.optional) if name in found]
    return Dataset(folder, format, {name: _one_form(folder, name, found[name]) for name in wanted})


def _one_form(folder: Folder, name: str, files: list[DatasetFile]) -> tuple[DatasetFile, ...]:
    """Return the one file, or the parts, that stand for a file of the format."""
    ordered = sorted(files, key=lambda file: file.key)
    first = ordered[0]
    for one, other in pairwise(ordered):
        in_parts = _is_part(first.key) and _is_part(other.key)
        same_folder = first.key.rpartition("/")[0] == other.key.rpartition("/")[0]
        if not (in_parts and same_folder) or one.key == other.key:
            raise DatasetError(
                f"{folder.name} holds {one.name} and {other.name}, and each is {name}: keep one"
            )
    return tuple(ordered)
