"""One real Spark session for all tests of the job, and functions that build folders."""

import fcntl
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pyspark
import pytest
from pyspark import SparkContext
from pyspark.sql import SparkSession

from local.emr.step import java_options
from spark.runtime.start import SETTINGS
from tools.setup.java import java_home


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A session on two cores that leaves no files in the tree."""
    scratch = tmp_path_factory.mktemp("spark")
    patch = pytest.MonkeyPatch()
    patch.setenv("JAVA_HOME", str(java_home()))
    patch.setenv("PYSPARK_PYTHON", sys.executable)
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.extraJavaOptions", java_options())
        .config(map=SETTINGS)
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.warehouse.dir", str(scratch / "warehouse"))
        .config("spark.local.dir", str(scratch))
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()
    patch.undo()


@pytest.fixture
def running(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> SparkSession:
    """The shared session; the job's main() does not stop it."""
    monkeypatch.setattr(SparkContext, "stop", lambda _: None)
    return spark


@pytest.fixture
def executors() -> Iterator[Path]:
    """The folder where local-cluster creates its executors' folders, app-*/*; deleted afterwards.

    Its location is fixed: inside Spark's own folder. So one test at a time has it.
    """
    work = Path(pyspark.__file__).parent / "work"
    with work.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(work, ignore_errors=True)
        yield work
        shutil.rmtree(work)
