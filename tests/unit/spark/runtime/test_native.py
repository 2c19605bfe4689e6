"""The compiled loops: built once, the same everywhere, and safe against wrong arrays."""

import ctypes
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spark.engine import kernel
from spark.runtime import native
from tests.conftest import ROOT

LOAD = "from spark.runtime import native; print(native.library()._name)"


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A copy of the job's package, without bytecode and builds."""
    shutil.copytree(ROOT / "spark", tmp_path / "job" / "spark", ignore=lambda *_: ["__pycache__"])
    return tmp_path / "job"


def load(job: Path, *path: Path) -> subprocess.CompletedProcess[str]:
    """Load the library as a process of the job does, with more folders on its path."""
    return subprocess.run(
        [sys.executable, "-c", LOAD], capture_output=True, text=True, check=False, timeout=120,
        env={"PYTHONPATH": ":".join(map(str, [job, *path]))}, cwd=job,
    )  # fmt: skip


def test_the_loops_are_compiled_once_and_again_when_a_source_has_changed(job: Path) -> None:
    first = Path(load(job).stdout.strip())
    made = first.stat().st_mtime_ns
    assert Path(load(job).stdout.strip()) == first
    assert first.stat().st_mtime_ns == made
    with (job / "spark" / "engine" / "top_k.h").open("a") as header:
        header.write("// changed\n")
    second = Path(load(job).stdout.strip())
    assert {*(job / "build").glob("*.so")} == {first, second}
    assert first != second


def test_the_library_of_the_archive_is_used_without_a_compiler(job: Path, tmp_path: Path) -> None:
    archive = tmp_path / "environment"
    archive.mkdir()
    native.build(archive / native.LIBRARY)
    loaded = load(job, archive)
    assert loaded.stdout.strip() == str(archive / native.LIBRARY), loaded.stderr
    assert not (job / "build").exists()


def test_without_library_and_sources_the_message_says_where_it_belongs(job: Path) -> None:
    for source in (job / "spark").rglob("*.[ch]"):
        source.unlink()
    assert "similar_titles_loops.so is in no folder of PYTHONPATH" in load(job).stderr


def test_a_python_without_the_compiler_is_told_which_one_to_use(job: Path, tmp_path: Path) -> None:
    (tmp_path / "without" / "ziglang").mkdir(parents=True)
    (tmp_path / "without" / "ziglang" / "__init__.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'ziglang'\", name='ziglang')"
    )
    done = subprocess.run(
        [sys.executable, job / "spark" / "similarity_job.py", "--help"],
        capture_output=True, text=True, check=False, timeout=120, cwd=job,
        env={"PYTHONPATH": str(tmp_path / "without")},
    )  # fmt: skip
    assert done.returncode == 1
    assert "No module named 'ziglang'): set PYSPARK_PYTHON to the project's" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_the_compiler_says_reaches_the_person_who_changed_a_loop(job: Path) -> None:
    with (job / "spark" / "engine" / "kernel.c").open("a") as source:
        source.write("int broken( {\n")
    said = load(job).stderr
    assert "NativeCodeError: the loops in C cannot be compiled" in said
    assert re.search(r"engine/kernel\.c:\d+:\d+: error", said)
    assert not list((job / "build").glob("*.so"))


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.so", "two.so"):
        native.build(tmp_path / name, native.CLUSTER)
    assert (tmp_path / "one.so").read_bytes() == (tmp_path / "two.so").read_bytes()


@pytest.mark.parametrize(
    "wrong",
    [np.zeros(2, np.int64), np.zeros((2, 2), np.int32)[:, 0], [1, 2], None],
    ids=["another type", "gaps", "no array", "nothing"],
)
def test_an_array_of_another_kind_is_refused_before_any_loop_runs(wrong: object) -> None:
    best, ids = kernel.empty_top_k(2, 1), np.zeros(2, np.int32)
    with pytest.raises(ctypes.ArgumentError):
        kernel._offer_all(kernel.pointer(best), ids, 2, np.zeros(2), ids, wrong, np.zeros(2))
