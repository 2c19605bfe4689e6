"""docs/reliability.md has the notes of the drills and names every drill."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.drills import report
from tests.drills.findings import FINDINGS

TESTS = Path(__file__).parent.parent
ROW = {
    "area": "Readers",
    "module": "drills/test_readers.py",
    "drill": "test_nobody_sees_a_mix",
    "injected": "a | b",
    "promised": "no mix",
    "times": 1000,
    "observed": "0 errors",
}


def test_the_rows_of_a_drill_become_one_with_their_injections_summed_up() -> None:
    text = report.document([ROW, ROW | {"times": 500}, ROW | {"observed": "1 error"}], 3.4)
    assert (
        "| [nobody sees a mix](../tests/drills/test_readers.py) | a \\| b | 2,500 | no mix "
        "| 0 errors; 1 error |" in text
    )
    assert text.count("nobody sees a mix") == 1
    assert "1 drills, 2,500 injections, 3 minutes" in text


def test_what_each_run_calls_by_another_name_is_one_observation() -> None:
    seen = (
        "see s3://similar-titles-resultsbucket-{}/logs/20261128T17022905{}Z-7f65aa8b/j-{}AB3CD4EFG/"
    )
    rows = [ROW | {"observed": seen.format(each, number, each.upper() * 4)}
            for number, each in enumerate(("27fa", "d6ad"))]  # fmt: skip
    assert "| see s3://RESULTS_BUCKET/logs/RUN_ID/j-1/ |" in report.document(rows, 1)


def drills() -> Iterator[tuple[str, str, str]]:
    """Yield each drill's module path below tests/, name and area."""
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            for mark in getattr(node, "decorator_list", ()):
                if "mark.drill" in ast.unparse(mark):
                    area = ast.literal_eval(mark.args[0])
                    yield path.relative_to(TESTS).as_posix(), node.name, area


def test_the_page_names_every_drill_and_no_other() -> None:
    page = report.DOCUMENT.read_text()
    told = {f"[{report.title(name)}](../tests/{module})" for module, name, _ in drills()}
    assert {area for *_, area in drills()} == set(report.AREAS)
    rows, _, known = page.partition("\n## Known of AWS")
    assert set(re.findall(r"\[[^\]]+\]\(../tests/[^)]+\)", rows)) == told
    assert "\n## Known of AWS" + known == report.findings()


def test_every_finding_is_watched_by_a_test_or_answered_by_a_decision() -> None:
    for finding in FINDINGS:
        assert finding.watched_by
        for watcher in finding.watched_by:
            module, _, name = watcher.partition("::")
            path = TESTS / module if name else report.DOCUMENT.parent / module
            assert path.exists(), watcher
            assert not name or re.search(rf"^def {name}\(", path.read_text(), re.M), watcher
