"""Runs all drills and writes docs/reliability.md: what was injected, promised and observed."""

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import NOTES, ROOT
from tests.drills.findings import FINDINGS

DOCUMENT = ROOT / "docs" / "reliability.md"
AREAS = {
    "Deliveries": "Events come at least once, in any order, while folders are still arriving.",
    "Crashes": "A function is killed at any of its AWS calls, or by Lambda's timeout.",
    "Dependencies": "AWS throttles, fails, is slow, or processes requests only partly.",
    "Storage": "S3 fails the job's reads and writes, or a writer dies half way.",
    "Clusters": "Steps fail, nodes are lost; EMR events are lost, duplicate, late or out of order.",
    "Readers": "Requests arrive while runs go live.",
    "Bad input": "Folders without MovieLens data, or with malicious content.",
    "Access": "Permissions, and malformed requests.",
    "Tampered results": "Somebody changes the output of the job before it is indexed.",
    "Disaster": "A table or a result is lost.",
    "Removal": "A stack is deleted while it is half created, still working, or slow to delete.",
}
HEAD = """# Reliability

Nothing is lost and nothing happens twice: each promise has a drill that breaks something on purpose
and checks the result. `make drills` runs all drills, against single functions, the job and the
deployed template on the local cloud, and writes this page; if a promise does not hold, it fails and
leaves the page unchanged. The fast drills are part of `make test`. Nothing was run on AWS itself.

{drills} drills, {times:,} injections, {minutes} minutes on {cores} cores.
"""

# Two processes, each with a file at a time, as in `make test`.
IN_TWO = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]

# What each run calls by another name.
NAMES = {
    r"similar-titles-resultsbucket-\w+": "RESULTS_BUCKET",
    r"\d{8}T\d{9}Z-[0-9a-f]{8}": "RUN_ID",
    r"application_\d+": "application_1",
    r"\bj-[0-9A-Z]{10,}": "j-1",
    r"\bs-[0-9A-Z]{10,}": "s-1",
}

type Row = dict[str, Any]


def main() -> int:
    """Run the drills; returns pytest's exit status."""
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "notes.jsonl"
        os.environ[NOTES] = str(notes)
        start = time.monotonic()
        status = pytest.main(["-m", "drill", *IN_TWO, *sys.argv[1:], str(ROOT / "tests")])
        minutes = (time.monotonic() - start) / 60
        if status == 0 and not sys.argv[1:]:
            rows = [json.loads(line) for line in notes.read_text().splitlines()]
            DOCUMENT.write_text(document(rows, minutes))
            print(f"written: {DOCUMENT.relative_to(ROOT)}")  # noqa: T201
    return int(status)


def document(rows: Iterable[Row], minutes: float) -> str:
    """The page.

    Args:
        rows: what the drills noted; of one drill there may be several.
        minutes: that they took.
    """
    drills = gathered(rows)
    times = sum(drill["times"] for drill in drills)
    text = HEAD.format(
        drills=len(drills), times=times, minutes=round(minutes) or 1, cores=os.cpu_count()
    )
    for area, about in AREAS.items():
        if area not in {drill["area"] for drill in drills}:
            continue
        text += f"\n## {area}\n\n{about}\n\n"
        text += "| drill | injected | times | promised | observed |\n|---|---|---:|---|---|\n"
        for drill in drills:
            if drill["area"] == area:
                link = f"[{title(drill['drill'])}](../tests/{drill['module']})"
                cells = link, drill["injected"], f"{drill['times']:,}", drill["promised"]
                seen = "; ".join(drill["observed"])
                text += "| " + " | ".join(cell(each) for each in (*cells, seen)) + " |\n"
    return text + findings()


def findings() -> str:
    """Write the table of known differences between AWS and a single machine."""
    text = (
        "\n## Known of AWS\n\nFound by review and in reports of others; none was tested on AWS.\n\n"
    )
    text += "| behaviour of AWS | what the project does | tested by |\n|---|---|---|\n"
    for finding in FINDINGS:
        links = ", ".join(map(link_to, finding.watched_by))
        text += f"| {cell(finding.about)} | {cell(finding.answer)} | {links} |\n"
    return text


def link_to(watcher: str) -> str:
    """A link to a test or a decision record."""
    module, _, name = watcher.partition("::")
    return (
        f"[{title(name)}](../tests/{module})" if name else f"[decision {module[10:14]}]({module})"
    )


def gathered(rows: Iterable[Row]) -> list[Row]:
    """One row per drill, by file: the sum of its injections, and each observation once."""
    drills: dict[tuple[str, str], Row] = {}
    for row in sorted(rows, key=lambda row: row["module"]):
        drill = drills.setdefault((row["module"], row["drill"]), row | {"times": 0, "observed": []})
        drill["times"] += row["times"]
        if (seen := named_alike(row["observed"])) not in drill["observed"]:
            drill["observed"].append(seen)
    return list(drills.values())


def named_alike(text: str) -> str:
    """A text without what differs from run to run."""
    for name, instead in NAMES.items():
        text = re.sub(name, instead, text)
    return text


def title(drill: str) -> str:
    """The name of a drill for people."""
    return drill.removeprefix("test_").replace("_", " ")


def cell(text: str) -> str:
    """Escape a text for a table cell."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
