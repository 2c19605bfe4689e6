"""Starts Spark, or says in one sentence what of the environment keeps the job from it; stops it."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pyspark
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkRuntimeError

LEAST_SPARK = 4  # its first version number
CHECK_SECONDS = 0.01  # between two looks whether Spark has stopped
SETTINGS = {
    "spark.python.daemon.module": "spark.runtime.daemon",
    # What is shuffled is packed: compressing it takes longer than writing and reading the rest.
    "spark.shuffle.compress": "false",
    # For up to this many partitions a task writes a file each, with a serializer each: it takes
    # milliseconds to make one. For more it writes one file, with one serializer.
    "spark.shuffle.sort.bypassMergeThreshold": "1",
    # Tasks start in the order of their partitions: large ones first, so all cores end together.
    # Otherwise those come first that have no input, as Spark can run them anywhere.
    "spark.shuffle.reduceLocality.enabled": "false",
}
MODULES = "SIMILAR_TITLES_MODULES"  # names modules that workers need besides NumPy and pyarrow
# What the workers need besides the package, and how they tell their version.
_PROBE = "import deflate, numpy, pyarrow, scipy, sys; print('%d.%d' % sys.version_info[:2])"


class UnusableEnvironmentError(Exception):
    """The job cannot run as it was started; the message says what to change."""


class ImportingContext(SparkContext):
    """A context that imports modules while the JVM makes its part, for which PySpark only waits.

    Before that, it makes many short calls of the JVM. After each it would wait for the thread that
    imports, half a second in all.
    """

    def __init__(self, conf: SparkConf, modules: Iterable[str]) -> None:
        """Start Spark.

        Args:
            conf: of Spark.
            modules: to import.
        """
        self._modules = modules
        super().__init__(conf=conf)

    def _initialize_context(self, jconf: Any) -> Any:
        threading.Thread(target=import_all, args=(self._modules,), daemon=True).start()
        return super()._initialize_context(jconf)


def start(for_workers: Iterable[str] = (), for_driver: Iterable[str] = ()) -> SparkContext:
    """The context that spark-submit configured, without Spark SQL, which takes seconds to start.

    Workers find the package where this process did, unless the submission says otherwise.

    Args:
        for_workers: modules that the workers will need besides NumPy and pyarrow.
        for_driver: modules that the driver will need; it imports them while the JVM starts Spark.

    Raises:
        UnusableEnvironmentError: SPARK_HOME or PYSPARK_PYTHON names something else.
    """
    check_workers_python(os.environ.get("PYSPARK_PYTHON"))
    home = os.environ.get("SPARK_HOME")
    where = f"SPARK_HOME is {home}" if home else "no SPARK_HOME is set"
    if int(pyspark.__version__.partition(".")[0]) < LEAST_SPARK:
        raise UnusableEnvironmentError(
            f"{where}: its Spark is {pyspark.__version__}, the job needs {LEAST_SPARK} or later: "
            "unset SPARK_HOME"
        )
    try:
        conf = SparkConf().setAppName("similar-titles").setAll([*SETTINGS.items()])
        context = SparkContext._active_spark_context or ImportingContext(conf, for_driver)
    except (OSError, PySparkRuntimeError) as error:
        raise UnusableEnvironmentError(
            f"Spark does not start ({where}): {str(error).partition('\n')[0]}; unset SPARK_HOME, "
            "and see that there is a Java 17"
        ) from error
    if _series(context.version) != _series(pyspark.__version__):
        raise UnusableEnvironmentError(
            f"{where}: its Spark is {context.version}, pyspark is {pyspark.__version__}: "
            "unset SPARK_HOME"
        )
    if (context.master or "").startswith("local") and not _names_python(context):
        context.pythonExec = sys.executable  # not any `python3` that this machine may have
    folder = Path(__file__).resolve().parent.parent.parent
    context.environment.setdefault("PYTHONPATH", str(folder))
    context.environment[MODULES] = " ".join(for_workers)
    return context


def stop(context: SparkContext) -> None:
    """Stop Spark, at the end of the process.

    PySpark afterwards also stops its server for accumulators, which looks up to a second for data
    before it notices. This does not wait for that.

    Args:
        context: from `start`; no other can start in this process.
    """
    stopping = threading.Thread(target=context.stop, daemon=True)
    stopping.start()
    while stopping.is_alive() and getattr(context, "_jsc", None) is not None:
        stopping.join(CHECK_SECONDS)


def import_all(modules: Iterable[str]) -> None:
    """Import modules before they are needed."""
    for name in modules:
        with suppress(ImportError):  # who needs it will say so
            import_module(name)


@contextmanager
def waking_workers(context: SparkContext) -> Iterator[None]:
    """Start the Python workers while the driver reads what it needs before the first tasks."""
    tasks = context.defaultParallelism
    some = context.parallelize(range(tasks), tasks)

    def wake() -> None:
        with suppress(Exception):  # the job's own tasks will say what is wrong with the workers
            some.count()

    thread = threading.Thread(target=wake)
    thread.start()
    try:
        yield
    finally:
        thread.join()  # it uses the context, which ends if the data set is unusable


def check_workers_python(python: str | None) -> None:
    """Check that the workers can run the job's code.

    Args:
        python: PYSPARK_PYTHON.

    Raises:
        UnusableEnvironmentError: it cannot be run, is another Python or lacks a package.
    """
    if not python or os.path.realpath(python) == os.path.realpath(sys.executable):
        return
    try:
        asked = subprocess.run([python, "-c", _PROBE], capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        raise _foreign(python, f"cannot be run ({error.strerror})") from error
    mine = "{}.{}".format(*sys.version_info)
    if asked.returncode != 0:
        said = asked.stderr.strip().rpartition("\n")[2] or f"exit status {asked.returncode}"
        raise _foreign(python, f"cannot import what the job needs ({said})")
    if asked.stdout.strip() != mine:
        raise _foreign(python, f"is Python {asked.stdout.strip()} while the driver is {mine}")


def _names_python(context: SparkContext) -> bool:
    """Whether the submission says which Python the workers run."""
    return bool(
        os.environ.get("PYSPARK_PYTHON") or context.getConf().contains("spark.pyspark.python")
    )


def _foreign(python: str, why: str) -> UnusableEnvironmentError:
    return UnusableEnvironmentError(
        f"PYSPARK_PYTHON is {python}, which {why}: unset it, or set it to {sys.executable}"
    )


def _series(version: str) -> str:
    """The first two numbers of a version: distributions add their own to the rest."""
    found = re.match(r"[0-9]+\.[0-9]+", version)
    return found[0] if found else version
