"""What all tests share: an environment in which the functions' modules can be imported."""

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import hypothesis
import moto  # noqa: F401  (must be there before the modules make their clients)
import pytest

from tools.function_environment import set_environment

# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

ROOT = Path(__file__).parent.parent

NOTES = "DRILL_NOTES"  # names the file that takes the notes of drills; without it none are taken

type Observed = Callable[[int, str], None]

GIVEN = dict(os.environ)  # as it was: tests/aws takes its credentials from there

set_environment()
# As pytest does: programs that tests start find the code in the same two folders.
os.environ["PYTHONPATH"] = f"{ROOT / 'functions'}{os.pathsep}{ROOT}"


def movielens(release: str) -> Path:
    """A real data set's folder; the test skips where MOVIELENS_DIR does not have it."""
    folder = Path(os.environ.get("MOVIELENS_DIR", "no such folder")) / release
    if not folder.is_dir():
        pytest.skip(f"MOVIELENS_DIR names no folder with {release}")
    return folder


@pytest.fixture
def observed(request: pytest.FixtureRequest) -> Observed:
    """Notes what a drill has seen: how often something was injected, and what came of it.

    What was injected and what is promised its mark says: `@pytest.mark.drill(AREA, ...)`.
    """
    marker = request.node.get_closest_marker("drill")
    module = request.node.path.relative_to(ROOT / "tests").as_posix()
    row = {"area": marker.args[0], "module": module}
    row |= {"drill": request.node.originalname, **marker.kwargs}

    def note(times: int, said: str) -> None:
        if notes := os.environ.get(NOTES):
            with Path(notes).open("a") as file:
                file.write(json.dumps({**row, "times": times, "observed": said}) + "\n")

    return note


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the files that wait for the local cloud over those that compute.

    So two processes that each take the next file keep two cores busy. The page is timed: it comes
    first, beside drills, which need one core. The results follow: a test of theirs waits a minute,
    which must not be the last one.
    """
    waiting: list[Path] = []
    computing: list[Path] = []
    for path in dict.fromkeys(item.path for item in items):
        (waiting if path.is_relative_to(ROOT / "tests" / "e2e") else computing).append(path)
    first = "test_explorer.py", "test_results.py"
    waiting.sort(key=lambda path: first.index(path.name) if path.name in first else len(first))
    place = {
        path: number / len(kind)
        for kind in (waiting, computing)
        for number, path in enumerate(kind)
    }
    # Two files at one place stay whole, too.
    items.sort(key=lambda item: (place[item.path], item.path not in waiting))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how long each layer of tests took, with what it set up."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.split("/")[1]] += report.duration
    told = ", ".join(f"{layer} {round(taken)} s" for layer, taken in seconds.most_common())
    terminalreporter.write_line(f"by layer: {told}")
