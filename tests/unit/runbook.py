"""What docs/runbook.md quotes, and the errors for operators that the code raises in a test."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import CodeType

from launcher import launch
from runs import RunError
from runs.results import PartError
from spark.contracts.manifest import ManifestError
from spark.contracts.quality import QualityError
from tests.conftest import ROOT

# What fails a run in the launcher and the job, in the indexer, and what control refuses with.
FAILURES = (*launch.PERMANENT_ERRORS, ManifestError, PartError, QualityError, RunError)
_CODE = tuple(str(ROOT / name) for name in ("functions", "spark"))
_OURS = 3  # of the numbers that `sys.monitoring` has for tools, one that none has
_WORDS = re.compile(r"[a-z]{3}")

type Quoted = re.Pattern[str]


@cache
def rows(*headings: str) -> list[str]:
    """The first cells of the tables below some headings; without any, those of all tables."""
    text = (ROOT / "docs" / "runbook.md").read_text()
    sections = {
        part.partition("\n")[0]: part for part in re.split(r"^#+ ", text, flags=re.MULTILINE)
    }
    found = [row for name in headings or sections
             for row in re.findall(r"^\| (.*?) \|", sections[name], re.MULTILINE)]  # fmt: skip
    return [row for row in found if "`" in row]


@cache
def quoted(row: str) -> list[Quoted]:
    """The messages that a row quotes; `...` stands for the parts that vary."""
    return [
        re.compile(".*".join(map(re.escape, text.split("..."))), re.DOTALL)
        for text in re.findall(r"`([^`]+)`", row)
        if _WORDS.search(text)
    ]


def quotes(row: str, message: str) -> bool:
    """Whether a row quotes a message, which may have backquotes of its own."""
    return any(each.fullmatch(message.replace("`", "")) for each in quoted(row))


@cache
def has_row(message: str) -> bool:
    """Whether any row quotes a message."""
    return any(quotes(row, message) for row in rows())


@contextmanager
def errors_for_operators() -> Iterator[set[str]]:
    """The messages of all errors for operators that the code raises meanwhile."""
    raised: set[str] = set()

    def note(code: CodeType, _offset: int, error: BaseException) -> None:
        if isinstance(error, FAILURES) and code.co_filename.startswith(_CODE):
            raised.add(str(error))

    monitoring = sys.monitoring
    monitoring.use_tool_id(_OURS, "errors for operators")
    monitoring.register_callback(_OURS, monitoring.events.RAISE, note)
    monitoring.set_events(_OURS, monitoring.events.RAISE)
    try:
        yield raised
    finally:
        monitoring.set_events(_OURS, monitoring.events.NO_EVENTS)
        monitoring.register_callback(_OURS, monitoring.events.RAISE, None)
        monitoring.free_tool_id(_OURS)
