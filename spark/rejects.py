"""The lines of a data set that are no data: counted, shown, and when they are too many."""

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from movielens import HOPELESS_SHARE, DatasetError

SAMPLES = 5  # rejected lines that a failure shows
KEPT = 500  # characters of a rejected line that are kept
QUOTED = 120  # characters of one that a message quotes


class HopelessError(DatasetError):
    """A file that is not what its name says.

    Attributes:
        report: samples of its rejected lines, each with `file`, `defect` and `line`.
    """

    def __init__(self, message: str, report: list[dict[str, str]]) -> None:
        super().__init__(message)
        self.report = report


@dataclass(frozen=True)
class Judgement:
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
    def is_hopeless(self) -> bool:
        """Whether no line is good, or more are malformed than a file that is meant has."""
        return self.good == 0 or self.rejected > HOPELESS_SHARE * self.lines


def judge(lines: DataFrame) -> Judgement:
    """Count the lines of one file, which carry their `defect`, by kind."""
    kinds = {row.defect: row["count"] for row in lines.groupBy("defect").count().collect()}
    total = sum(kinds.values())
    kinds.pop(None, None)
    return Judgement(total, dict(sorted(kinds.items())))


def rejected(files: Mapping[str, DataFrame]) -> DataFrame:
    """The rejected lines of several files.

    Args:
        files: lines with `line` and `defect`, per file name; at least one file.

    Returns:
        `file`, `defect`, `line` (its first characters).
    """
    first, *others = (
        lines.where(F.col("defect").isNotNull()).select(
            F.lit(name).alias("file"), "defect", F.substring("line", 1, KEPT).alias("line")
        )
        for name, lines in files.items()
    )
    for other in others:
        first = first.union(other)
    return first


def refuse_hopeless(name: str, lines: DataFrame, judgement: Judgement) -> None:
    """Stop at a file of which too little is left.

    Raises:
        HopelessError: it has no good line, or more than half of its lines are malformed.
    """
    if not judgement.is_hopeless:
        return
    if judgement.lines == 0:
        raise HopelessError(f"{name} has no line of data", [])
    report = [row.asDict() for row in rejected({name: lines}).limit(SAMPLES).collect()]
    kinds = ", ".join(f"{kind} {number}" for kind, number in judgement.defects.items())
    raise HopelessError(
        f"{name}: {judgement.rejected} of {judgement.lines} lines are malformed ({kinds}); "
        f"for example {report[0]['line'][:QUOTED]!r}",
        report,
    )
