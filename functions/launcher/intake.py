"""The intake check: samples a data set's files with ranged GETs before a cluster is launched."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from datasets import Dataset, DatasetFile
from spark.contracts.movielens import DatasetError, Layout
from spark.contracts.movielens_files import (
    HEAD,
    UNUSABLE_SHARE,
    is_another_scale,
    layout_of,
    refusal,
)
from spark.contracts.movielens_lines import Defect, decode, movie_defect, rating_defect

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CHUNK = HEAD
# Error codes of S3 if a file has been replaced or deleted.
REPLACED = frozenset({"PreconditionFailed", "NoSuchKey", "412"})
BOM = "\ufeff"
# Error codes of GetObject and of CopyObject.
ARCHIVED = frozenset({"InvalidObjectState", "ObjectNotInActiveTierError"})
DENIED = frozenset({"AccessDenied", "AllAccessDisabled", "403"})
# S3 passes on what KMS says. Other codes are transient, such as KMS.ThrottlingException.
LASTING_KMS = frozenset(
    {
        "KMS.AccessDeniedException",
        "KMS.DisabledException",
        "KMS.InvalidKeyUsageException",
        "KMS.KMSInvalidStateException",
        "KMS.NotFoundException",
    }
)
MAX_QUOTED = 120  # maximum number of characters quoted from a bad line


@dataclass(frozen=True)
class Finding:
    """The result of sampling one file.

    Attributes:
        file: name of the file.
        lines: number of complete lines in the sample.
        defects: number of lines per kind of defect.
        samples: up to three bad lines, cut to `MAX_QUOTED` characters, each with its byte offset.
    """

    file: str
    lines: int
    defects: dict[str, int]
    samples: tuple[dict[str, str | int], ...]

    @property
    def is_unusable(self) -> bool:
        """Whether too many lines are malformed to use the file."""
        return (
            self.lines == 0
            or sum(self.defects.values()) > UNUSABLE_SHARE * self.lines
            or is_another_scale(self.lines, self.defects)
        )

    def describe(self, layout: Layout) -> str:
        """Describe the finding for people, given the file's layout."""
        if self.lines == 0:
            return f"{self.file} has no line of data: expected {layout.expected}"
        first = next((each for each in self.samples if each["defect"] == "scale"), self.samples[0])
        words = refusal(layout, f"{self.lines} sampled lines", self.defects, str(first["line"]))
        return f"{words} at byte {first['offset']}"


def chunk_offsets(size: int) -> list[int]:
    """Return the offsets at which to sample a file: its start, middle and end."""
    if size <= 3 * CHUNK:
        return list(range(0, size, CHUNK))
    return [0, (size - CHUNK) // 2, size - CHUNK]


def sample_lines(chunk: bytes, offset: int, size: int) -> list[tuple[int, str]]:
    """Return the complete lines in a chunk of a file, each with its byte offset.

    Lines that the chunk cuts off are left out. Like the job, this reads lines as UTF-8 if possible,
    otherwise as ISO-8859-1.

    Args:
        chunk: bytes of the file.
        offset: offset of the chunk in the file.
        size: size of the file.
    """
    lines = []
    start = offset
    for line in chunk.splitlines(keepends=True):
        lines.append((start, line))
        start += len(line)
    if offset > 0:
        lines = lines[1:]
    if lines and start < size and not lines[-1][1].endswith((b"\n", b"\r")):
        lines.pop()
    return [(start, decode(line).rstrip("\r\n")) for start, line in lines if line.strip()]


class ReplacedError(DatasetError):
    """A file was replaced after the folder was listed."""

    def __init__(self, file: DatasetFile):
        super().__init__(
            f"{file.name} was replaced while the run was being prepared; "
            "the new content gets its own run"
        )


class UnreadableError(DatasetError):
    """S3 holds a file, but does not give its content; trying again cannot help."""


class IntakeError(DatasetError):
    """The intake check found a data set unusable.

    Attributes:
        findings: one per file.
    """

    def __init__(self, message: str, findings: "list[Finding]"):
        super().__init__(message)
        self.findings = findings


type DefectOf = Callable[[str, Layout], Defect | None]


def examine(lines: list[tuple[int, str]], layout: Layout, defect_of: DefectOf) -> Finding:
    """Check the sampled lines of one file.

    Args:
        lines: byte offset and text of each complete line, those of the file's beginning first.
        layout: of the file.
        defect_of: `rating_defect` or `movie_defect`.
    """
    if layout.has_header:
        lines = lines[1:]
    bad = [
        (offset, line, defect)
        for offset, line in lines
        if (defect := defect_of(line.removeprefix(BOM), layout)) is not None
    ]
    bad.sort(key=lambda each: each[2] != "scale")  # the defect that decides comes first
    return Finding(
        file=layout.file,
        lines=len(lines),
        defects=dict(Counter(defect for _, _, defect in bad)),
        samples=tuple(
            {"offset": offset, "line": line[:MAX_QUOTED], "defect": defect}
            for offset, line, defect in bad[:3]
        ),
    )


def check(s3: "S3Client", dataset: Dataset) -> list[Finding]:
    """Sample both files of a data set.

    Returns:
        The findings, the ratings file first.

    Raises:
        DatasetError: a file is not one of its format.
        IntakeError: a file is empty, more than half of its sampled lines are malformed, or its
            ratings have another scale.
    """
    findings, unusable = [], []
    for file, usual, defect_of in (
        (dataset.ratings, dataset.format.ratings_layout, rating_defect),
        (dataset.movies, dataset.format.movies_layout, movie_defect),
    ):
        chunks = [(_read(s3, dataset, file, at), at) for at in chunk_offsets(file.size)]
        layout = layout_of(chunks[0][0] if chunks else b"", usual)
        lines = [line for chunk, at in chunks for line in sample_lines(chunk, at, file.size)]
        finding = examine(lines, layout, defect_of)
        findings.append(finding)
        if finding.is_unusable:
            unusable.append(finding.describe(layout))
    if unusable:
        raise IntakeError("; ".join(unusable), findings)
    return findings


def _read(s3: "S3Client", dataset: Dataset, file: DatasetFile, offset: int) -> bytes:
    return read_range(s3, dataset.folder.bucket, file, offset, CHUNK)


def read_range(s3: "S3Client", bucket: str, file: DatasetFile, offset: int, length: int) -> bytes:
    """Read a part of a file; `length` may reach beyond its end.

    Raises:
        ReplacedError: the file is no longer the listed one.
        UnreadableError: S3 does not give its content.
    """
    try:
        response = s3.get_object(
            Bucket=bucket,
            Key=file.key,
            IfMatch=file.etag,
            Range=f"bytes={offset}-{min(offset + length, file.size) - 1}",
        )
    except ClientError as error:
        raise lasting_error(error, file) or error from error
    return response["Body"].read()


def lasting_error(error: ClientError, file: DatasetFile) -> DatasetError | None:
    """Return what an error of S3 says of a file; None if trying again may help.

    The folder was listed a moment ago, so a denial concerns the file and not the bucket.
    """
    told = error.response["Error"]
    code, message = told.get("Code", ""), told.get("Message", "")
    if code in REPLACED:
        return ReplacedError(file)
    if code in ARCHIVED:
        return UnreadableError(
            f"{file.name} is archived, so it cannot be read: restore it from S3 Glacier, copy it "
            "to the storage class STANDARD, and drop the folder again"
        )
    if code == "InvalidRequest" and "encrypt" in message.lower():
        return UnreadableError(
            f"{file.name} is encrypted with a key of your own (SSE-C), so it cannot be read: drop "
            "it without one"
        )
    if code in LASTING_KMS or (code in DENIED and "kms:" in message):
        return UnreadableError(
            f"{file.name} is encrypted with a KMS key that the launcher cannot use: drop it with "
            f"the bucket's own encryption; S3 says: {message or code}"
        )
    if code in DENIED:
        return UnreadableError(
            f"{file.name} cannot be read, because S3 denies it to the launcher: drop it with the "
            f"bucket's owner as its owner; S3 says: {message or code}"
        )
    return None
