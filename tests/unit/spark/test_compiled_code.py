"""Numba caches compiled code in the executor's folder, and nowhere else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PROGRAM = """
import sys
from pyspark import SparkFiles
SparkFiles._root_directory, SparkFiles._is_running_on_worker = sys.argv[1], True
from spark.runtime.compiled_code import compiled
compiled("spark.ingest.scan")
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A writable home."""
    made = tmp_path / "home"
    made.mkdir()
    return made


def copy_package(folder: Path) -> Path:
    """Copy the job's package into a folder, without bytecode; returns the folder."""
    shutil.copytree(ROOT / "spark", folder / "spark", ignore=lambda *_: ["__pycache__"])
    return folder


def compile_in(folder: Path, modules: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Compile a module as a worker does; PYTHONPATH says where the job's modules are."""
    folder.mkdir(exist_ok=True)
    given = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "XDG_"))}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, "."], cwd=folder, capture_output=True, text=True,
        env=given | {"HOME": str(home), "PYTHONPATH": modules}, check=False, timeout=120,
    )  # fmt: skip


def test_compiled_code_is_cached_only_in_the_executors_folder(tmp_path: Path, home: Path) -> None:
    job = copy_package(tmp_path / "job")
    done = compile_in(tmp_path / "container", str(job), home)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "container" / "numba").glob("ingest_*/scan._plain_lines-*.nbi"))
    assert not list(home.iterdir())
    assert not list(job.rglob("__pycache__/*.nbi"))


def test_modules_in_a_zip_are_refused_instead_of_cached_in_the_home(
    tmp_path: Path, home: Path
) -> None:
    archive = shutil.make_archive(str(tmp_path / "job"), "zip", copy_package(tmp_path / "job"))
    done = compile_in(tmp_path / "container", archive, home)
    assert done.returncode != 0
    assert "no locator available for file" in done.stderr
    assert not list(home.iterdir())


def test_a_read_only_cache_folder_is_refused(tmp_path: Path, home: Path) -> None:
    (tmp_path / "container").mkdir()
    (tmp_path / "container" / "numba").symlink_to("/proc")  # not even root can write here
    done = compile_in(tmp_path / "container", str(ROOT), home)
    assert done.returncode != 0
    assert "no locator available for file" in done.stderr
    assert not list(home.iterdir())
