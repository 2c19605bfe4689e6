"""What of the environment keeps the job from running is said in one sentence."""

import os
import subprocess
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import cast

import pytest
from pyspark import SparkConf, SparkContext

from spark.command_line import parse
from spark.job import modules_with_scipy
from spark.output import results
from spark.runtime import start
from spark.runtime.bytecode import prefer_bytecode
from spark.runtime.start import UnusableEnvironmentError, check_workers_python, import_all, stop
from tests.conftest import ROOT

LIMIT_SECONDS = 20
JOB = str(ROOT / "spark" / "similarity_job.py")


def said_by(folder: Path, *python: str, output: str = "result", **environment: str) -> str:
    """What the job says of an empty data set's folder; it must fail without a traceback."""
    (folder / "data").mkdir()
    done = subprocess.run(
        [*python, JOB, "--dataset", "data", "--output", output],
        cwd=folder, env=dict(os.environ) | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def program(folder: Path, script: str) -> str:
    """A program that a test plays."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


class Context:
    """A SparkContext whose JVM stops after some looks, and its server for accumulators later."""

    def __init__(self) -> None:
        self.looks = 0
        self.may_end = threading.Event()

    @property
    def _jsc(self) -> object | None:
        self.looks += 1
        return None if self.has_stopped else self

    @property
    def has_stopped(self) -> bool:
        """Whether the JVM's part has stopped."""
        return self.looks > 3

    def stop(self) -> None:
        """Wait for the server to end."""
        self.may_end.wait(LIMIT_SECONDS)


def test_stopping_waits_for_spark_but_not_for_its_server_for_accumulators() -> None:
    context = Context()
    began = time.monotonic()
    stop(cast(SparkContext, context))
    assert time.monotonic() - began < LIMIT_SECONDS
    assert context.has_stopped
    context.may_end.set()


def test_the_driver_imports_while_the_jvm_makes_its_context_and_not_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    imported = threading.Event()

    def make(self: SparkContext, jconf: object) -> bool:
        del self, jconf
        return imported.wait(LIMIT_SECONDS)

    monkeypatch.setattr(start, "import_all", lambda _: imported.set())
    monkeypatch.setattr(SparkContext, "__init__", lambda *_, **__: None)
    monkeypatch.setattr(SparkContext, "_initialize_context", make)
    before = {*threading.enumerate()}
    context = start.ImportingContext(cast(SparkConf, None), ["module"])
    for thread in {*threading.enumerate()} - before:
        thread.join(LIMIT_SECONDS)
    assert not imported.is_set()
    assert context._initialize_context(None)


def test_a_python_without_the_packages_is_named(tmp_path: Path) -> None:
    said = said_by(tmp_path, sys.executable, "-S")
    assert f"cannot run on {sys.executable}" in said
    assert "No module named" in said
    assert "set PYSPARK_PYTHON" in said


def test_a_spark_home_without_spark_is_named(tmp_path: Path) -> None:
    said = said_by(tmp_path, sys.executable, SPARK_HOME=str(tmp_path / "nowhere"))
    assert f"SPARK_HOME is {tmp_path}/nowhere" in said
    assert "unset SPARK_HOME" in said


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = said_by(tmp_path, sys.executable, output="file/result")
    assert f"cannot write the result to {tmp_path}/file/result: " in said


def test_a_place_is_tried_without_a_trace(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").touch()
    (tmp_path / "foreign").touch()
    results.prepare(str(tmp_path))
    assert [each.name for each in tmp_path.iterdir()] == ["foreign"]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo 3.9", "is Python 3.9 while the driver is 3."),
        ("echo 'ModuleNotFoundError: no scipy' >&2; exit 1", "(ModuleNotFoundError: no scipy)"),
        ("exit 3", "(exit status 3)"),
    ],
)
def test_a_foreign_python_for_the_workers_is_refused(tmp_path: Path, script: str, why: str) -> None:
    python = program(tmp_path, script)
    with pytest.raises(UnusableEnvironmentError) as refused:
        check_workers_python(python)
    assert str(refused.value).startswith(f"PYSPARK_PYTHON is {python}, which ")
    assert why in str(refused.value)
    assert str(refused.value).endswith(f"unset it, or set it to {sys.executable}")


def test_a_python_for_the_workers_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableEnvironmentError, match=r"cannot be run \(No such file"):
        check_workers_python(str(tmp_path / "none"))


@pytest.mark.parametrize("python", [None, "", sys.executable])
def test_the_drivers_own_python_is_accepted_for_the_workers(python: str | None) -> None:
    check_workers_python(python)


def test_another_python_that_can_run_the_job_is_accepted(tmp_path: Path) -> None:
    check_workers_python(program(tmp_path, f'exec {sys.executable} "$@"'))


@pytest.mark.parametrize(
    ("arguments", "are_any"), [((), True), (("--measures", "cosine", "--test-users", "0"), False)]
)
def test_what_a_run_imports_early_exists(arguments: tuple[str, ...], are_any: bool) -> None:
    settings = parse(["--dataset", "file:///data", "--output", "file:///out", *arguments])
    for modules in modules_with_scipy(settings):
        assert bool(modules) == are_any
        assert all(import_module(name) for name in modules)


def test_a_module_that_is_missing_is_left_to_those_who_need_it() -> None:
    import_all(["no_such_module", "colorsys"])
    assert "colorsys" in sys.modules


def test_only_the_zips_of_an_installed_pyspark_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed, unpacked = tmp_path / "site-packages", tmp_path / "spark"
    (installed / "pyspark").mkdir(parents=True)
    (installed / "pyspark" / "__init__.py").touch()
    zips = [
        str(home / "python" / "lib" / name)
        for home in (installed / "pyspark", unpacked)
        for name in ("pyspark.zip", "py4j-0.10.9.9-src.zip")
    ]
    monkeypatch.setattr(sys, "path", ["/job", *zips, "/job.zip", str(installed)])
    prefer_bytecode()
    assert sys.path == ["/job", *zips[2:], "/job.zip", str(installed)]
    monkeypatch.setattr(sys, "path", ["/job", *zips])
    prefer_bytecode()
    assert sys.path == ["/job", *zips], "nothing else has its modules"
