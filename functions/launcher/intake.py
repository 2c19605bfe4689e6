"""The intake check: samples a data set's files with ranged GETs before a cluster is launched."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from datasets import Dataset, DatasetFile
from spark.contracts.movielens import (
    UNUSABLE_SHARE,
    DatasetError,
    Defect,
    Format,
    decode,
    is_header,
    movie_defect,
    rating_defect,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CHUNK = 64 * 1024
# Error codes of S3 if a file has been replaced or deleted.
REPLACED = frozenset({"PreconditionFailed", "NoSuchKey", "412"})
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
    defects: dict[Defect, int]
    samples: tuple[dict[str, str | int], ...]

    @property
    def is_unusable(self) -> bool:
        """Whether too many lines are malformed to use the file."""
        return self.lines == 0 or sum(self.defects.values()) > UNUSABLE_SHARE * self.lines

    def describe(self) -> str:
        """Describe the finding for people."""
        if self.lines == 0:
            return f"{self.file} has no line of data"
        bad = sum(self.defects.values())
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.defects.items()))
        first = self.samples[0]
        return (
            f"{self.file}: {bad} of {self.lines} sampled lines are malformed ({kinds}); "
            f"first at byte {first['offset']}: {first['line']!r}"
        )


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


class IntakeError(DatasetError):
    """The intake check found a data set unusable.

    Attributes:
        findings: one per file.
    """

    def __init__(self, message: str, findings: "list[Finding]"):
        super().__init__(message)
        self.findings = findings


type DefectOf = Callable[[str, Format], Defect | None]


def examine(
    name: str, lines: list[tuple[int, str]], format: Format, defect_of: DefectOf
) -> Finding:
    """Check the sampled lines of one file.

    Args:
        name: name of the file.
        lines: byte offset and text of each complete line.
        format: format of the data set.
        defect_of: `rating_defect` or `movie_defect`.
    """
    if lines and lines[0][0] == 0 and is_header(lines[0][1].removeprefix("\ufeff"), format):
        lines = lines[1:]
    bad = [
        (offset, line, defect)
        for offset, line in lines
        if (defect := defect_of(line.removeprefix("\ufeff"), format)) is not None
    ]
    return Finding(
        file=name,
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
        IntakeError: a file is empty, or more than half of its sampled lines are malformed.
    """
    findings = [
        _examine_file(s3, dataset, dataset.ratings, rating_defect),
        _examine_file(s3, dataset, dataset.movies, movie_defect),
    ]
    unusable = [finding.describe() for finding in findings if finding.is_unusable]
    if unusable:
        raise IntakeError("; ".join(unusable), findings)
    return findings


def _examine_file(
    s3: "S3Client", dataset: Dataset, file: DatasetFile, defect_of: DefectOf
) -> Finding:
    lines = [
        line
        for offset in chunk_offsets(file.size)
        for line in sample_lines(_read(s3, dataset, file, offset), offset, file.size)
    ]
    return examine(file.name, lines, dataset.format, defect_of)


def _read(s3: "S3Client", dataset: Dataset, file: DatasetFile, offset: int) -> bytes:
    try:
        response = s3.get_object(
            Bucket=dataset.folder.bucket,
            Key=file.key,
            IfMatch=file.etag,
            Range=f"bytes={offset}-{min(offset + CHUNK, file.size) - 1}",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] in REPLACED:
            raise ReplacedError(file) from error
        raise
    return response["Body"].read()
