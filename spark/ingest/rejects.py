"""The lines of a data set that are no data: counted, shown, and when they are too many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from spark.contracts.movielens import UNUSABLE_SHARE, DatasetError

SAMPLES = 5  # rejected lines that a failure shows
KEPT = 500  # characters of a rejected line that are kept
QUOTED = 120  # characters of one that a message quotes


class UnusableFileError(DatasetError):
    """A file that is not what its name says.

    Attributes:
        report: samples of its rejected lines, each with `file`, `defect` and `line`.
    """

    def __init__(self, message: str, report: list[dict[str, str]]) -> None:
        super().__init__(message)
        self.report = report


class Reject(NamedTuple):
    """A line that is no data.

    Attributes:
        defect: its kind.
        line: its text.
    """

    defect: str
    line: str

    def to_record(self, file: str) -> dict[str, str]:
        """The reject as it is stored and reported: of a long line the beginning."""
        return {"file": file, "defect": self.defect, "line": self.line[:KEPT]}


@dataclass(frozen=True)
class LineReport:
    """What the lines of one file are.

    Attributes:
        lines: of data, rejected ones included.
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
        """Whether no line is good, or more are malformed than a file that is meant has."""
        return self.good == 0 or self.rejected > UNUSABLE_SHARE * self.lines


def refuse_unusable(name: str, line_report: LineReport, samples: Sequence[Reject]) -> None:
    """Stop at a file of which too little is left.

    Args:
        name: of the file.
        line_report: of its lines.
        samples: the first of its rejected lines.

    Raises:
        UnusableFileError: it has no good line, or more than half of its lines are malformed.
    """
    if not line_report.is_unusable:
        return
    if line_report.lines == 0:
        raise UnusableFileError(f"{name} has no line of data", [])
    report = [reject.to_record(name) for reject in samples[:SAMPLES]]
    kinds = ", ".join(f"{kind} {number}" for kind, number in line_report.defects.items())
    raise UnusableFileError(
        f"{name}: {line_report.rejected} of {line_report.lines} lines are malformed ({kinds}); "
        f"for example {report[0]['line'][:QUOTED]!r}",
        report,
    )
