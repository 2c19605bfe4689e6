"""The intake check: samples a data set's files with ranged GETs before a cluster is launched."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from datasets import Dataset, DatasetFile
from spark.contracts.movielens import (
    HEAD,
    UNUSABLE_SHARE,
    DatasetError,
    Defect,
    Layout,
    decode,
    is_another_scale,
    layout_of,
    movie_defect,
    rating_defect,
    refusal,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CHUNK = HEAD
# Error codes of S3 if a file has been replaced or deleted.
REPLACED = frozenset({"PreconditionFailed", "NoSuchKey", "412"})
BOM = "\ufeff"
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
