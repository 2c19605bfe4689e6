"""docs/reliability.md holds what the drills noted, and names every drill there is."""

import importlib
from pathlib import Path

from tests.drills import report

FOLDER = Path(__file__).parent
ROW = {
    "area": "Readers",
    "module": "test_readers.py",
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


def test_the_page_names_every_drill() -> None:
    page = report.DOCUMENT.read_text()
    for path in FOLDER.glob("test_*.py"):
        module = importlib.import_module(f"tests.drills.{path.stem}")
        for name, function in vars(module).items():
            marks = {mark.name for mark in getattr(function, "pytestmark", ())}
            if name.startswith("test_") and "drill" in marks:
                area = next(m.args[0] for m in function.pytestmark if m.name == "drill")
                assert area in report.AREAS
                assert f"[{report.title(name)}](../tests/drills/{path.name})" in page
