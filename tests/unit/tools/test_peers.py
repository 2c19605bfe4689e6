"""The table of peers: programs are stopped at their limits, and rows say what happened."""

import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.measured import LimitError, Limits, Measured, run
from benchmarks.peers import GIB, LIMITS, METHODS, OVERTIME, rows

FOREVER = "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid()))\nwhile True: pass"
CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"
HUNGRY = "kept = b'x' * (1 << 28)\nwhile True: pass"


def python(*arguments: str) -> list[str]:
    return [sys.executable, "-c", *arguments]


def test_a_program_beyond_its_time_is_stopped_with_its_children(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(LimitError, match=r"^over 0 min$"):
        run(python(CHILD, FOREVER, str(pid)), {}, Limits(seconds=3))
    assert not psutil.pid_exists(int(pid.read_text()))


def test_a_program_beyond_its_memory_is_stopped() -> None:
    with pytest.raises(LimitError, match=r"^over 0 GiB$"):
        run(python(HUNGRY), {}, Limits(seconds=60, resident=1 << 27))


@pytest.mark.parametrize(
    "error",
    ["java.lang.OutOfMemoryError: Java heap space", "numpy._core._exceptions._ArrayMemoryError: 9"],
)
@pytest.mark.parametrize("lines", [0, 20_000])  # of a trace that follows
def test_a_failure_for_lack_of_memory_is_told_from_others(error: str, lines: int) -> None:
    fail = r"import sys; print(sys.argv[1] + '\n at' * int(sys.argv[2])); sys.exit('end of trace')"
    with pytest.raises(LimitError, match=r"^out of memory$"):
        run(python(fail, error, str(lines)), {})
    with pytest.raises(RuntimeError, match="end of trace") as failure:
        run(python(fail, "no such file", str(lines)), {})
    assert not isinstance(failure.value, LimitError)


def cells(outcomes: dict[str, dict[str, Measured | str]]) -> dict[str, list[str]]:
    """The figures by method."""
    split = ([cell.strip() for cell in row.strip("|").split("|")] for row in rows(outcomes))
    return {name: figures for name, _, _, _, _, *figures in split}


def test_each_method_is_compared_with_ours_of_its_kind() -> None:
    taken: dict[str, Measured | str] = {
        method.name: Measured(seconds, 3 * GIB, 0) for seconds, method in enumerate(METHODS, 2)
    }
    taken |= {"the job, cosine alone": Measured(10, GIB, 0), "the job by default": "failed"}
    taken |= {"Spark columnSimilarities()": OVERTIME, "the job's EASE": "out of memory"}
    shown = cells({"1m": taken, "10m": taken | {"SciPy, three products": "not run"}})
    overtime = f"over {LIMITS.seconds / 10:.0f}"
    assert shown["the job, cosine alone"] == ["10.0 s, 1.0 GiB", "1.0"] * 2
    assert shown["the job by default"] == ["failed", ""] * 2
    assert shown["Spark columnSimilarities()"] == [OVERTIME, overtime] * 2
    assert shown["the job's kernel"] == ["6.0 s, 3.0 GiB", "1.0"] * 2
    assert shown["SciPy, three products"] == ["7.0 s, 3.0 GiB", "1.2", "not run", ""]
    assert shown["the job's EASE"] == ["out of memory", ""] * 2
    assert shown["cornac EASE"] == ["12.0 s, 3.0 GiB", ""] * 2
