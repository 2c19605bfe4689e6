"""Malformed lines of a data set: counted, stored, and fatal if there are too many."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from spark.contracts.manifest import REJECTS
from spark.contracts.movielens import DatasetError, Layout
from spark.contracts.movielens_files import UNUSABLE_SHARE, is_another_scale, refusal
from spark.parts import write_lines

SAMPLES = 5  # rejected lines that a failure shows
STORED_CHARACTERS = 500  # of a rejected line


class UnusableFileError(DatasetError):
    """A file that is not what its name says.

    Attributes:
        report: samples of its rejected lines, each with `file`, `defect` and `line`.
    """

    def __init__(self, message: str, report: list[dict[str, str]]) -> None:
        super().__init__(message)
        self.report = report


class Reject(NamedTuple):
    """A malformed line.

    Attributes:
        defect: kind of defect.
        line: its text.
    """

    defect: str
    line: str

    def to_record(self, file: str) -> dict[str, str]:
        """The reject as it is stored and reported; long lines are cut."""
        return {"file": file, "defect": self.defect, "line": self.line[:STORED_CHARACTERS]}


@dataclass(frozen=True)
class LineReport:
    """Counts of the lines of one file.

    Attributes:
        lines: lines of data, including rejected ones.
        defects: rejected lines per kind of defect.
    """

    lines: int
    defects: dict[str, int]

    @property
    def rejected(self) -> int:
        """All rejected lines."""
        return sum(self.defects.values())

    @property
    def good(self) -> int:
        """All other lines."""
        return self.lines - self.rejected

    @property
    def is_unusable(self) -> bool:
        """Whether no line is good, too many are malformed, or the ratings have another scale."""
        return (
            self.good == 0
            or self.rejected > UNUSABLE_SHARE * self.lines
            or is_another_scale(self.lines, self.defects)
        )


def refuse_unusable(layout: Layout, report: LineReport, samples: Sequence[Reject]) -> None:
    """Stop if too few lines of a file are good.

    Args:
        layout: of the file.
        report: on its lines.
        samples: the first rejected lines.

    Raises:
        UnusableFileError: no line is good, more than half of the lines are malformed, or ratings
            have another scale.
    """
    if not report.is_unusable:
        return
    if report.lines == 0:
        raise UnusableFileError(
            f"{layout.file} has no line of data: expected {layout.expected}", []
        )
    shown = [reject.to_record(layout.file) for reject in samples[:SAMPLES]]
    example = next(
        (each for each in samples if report.defects.get("scale") and each.defect == "scale"),
        samples[0],
    )
    message = refusal(layout, f"{report.lines} lines", report.defects, example.line)
    raise UnusableFileError(message, shown)


def write_rejects(output: str, file: str, source: int, rejects: Sequence[Reject]) -> None:
    """Write rejected lines, each with its file and defect.

    Args:
        output: the run's prefix.
        file: name of the file that has the lines.
        source: number of the split of the file.
        rejects: the lines.
    """
    lines = (json.dumps(reject.to_record(file), ensure_ascii=False) for reject in rejects)
    write_lines(output, f"{REJECTS}/{file}-{source:05d}.json.gz", lines)
