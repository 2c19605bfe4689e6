"""A failing job always says why, in one sentence for the person who waits for the run."""

import gc
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pyspark
import pytest
from pyspark.sql import SparkSession

from spark import job
from spark.runtime.failures import reason_of
from tests.builders.submission import environment, spark_submit
from tests.conftest import ROOT

LOST = """[FAILED] Job aborted due to stage failure: Task 5 in stage 0.0 failed 4 times, most \
recent failure: Lost task 5.3 in stage 0.0 (TID 18) (10.0.0.7 executor 6): ExecutorLostFailure \
(executor 6 exited caused by one of the running tasks) Reason: Container killed by YARN for \
exceeding physical memory limits. 7.1 GB of 7 GB physical memory used.
Driver stacktrace:"""
RAISED = """Job aborted due to stage failure: Task 0 in stage 3.0 failed 4 times, most recent \
failure: Lost task 0.3 in stage 3.0 (TID 9) (10.0.0.7 executor 3): \
org.apache.spark.api.python.PythonException: Traceback (most recent call last):
  File "./job/storage.py", line 46, in open_input
    return system.open_input_file(path)
OSError: AWS Error ACCESS_DENIED during GetObject operation

\tat org.apache.spark.api.python.BasePythonRunner$ReaderIterator.handlePythonException"""

SHUT_DOWN = """Job aborted due to stage failure: Task 10 in stage 9.1 failed 4 times, most recent \
failure: Lost task 10.3 in stage 9.1 (TID 119) (10.0.0.7 executor 6): \
java.util.concurrent.RejectedExecutionException: Task org.apache.spark.X@1 rejected from \
java.util.concurrent.ThreadPoolExecutor@12b327db[Shutting down, pool size = 1, active threads = 1]
\tat java.base/java.util.concurrent.ThreadPoolExecutor$AbortPolicy.rejectedExecution"""
TERMINATED = SHUT_DOWN.replace("Shutting down", "Terminated")
CRASHED = """Job aborted due to stage failure: Task 1 in stage 5.0 failed 4 times, most recent \
failure: Lost task 1.3 in stage 5.0 (TID 24) (10.0.0.7 executor 6): \
org.apache.spark.SparkException: Python worker exited unexpectedly (crashed)"""

FETCH_FAILED = """Job aborted due to stage failure: ShuffleMapStage 7 (partitionBy at \
/job/spark/engine/shuffle.py:147) has failed the maximum allowable number of times: 4. Most recent \
failure reason:
org.apache.spark.shuffle.MetadataFetchFailedException: Missing an output location for shuffle 2
\tat org.apache.spark.MapOutputTracker$.validateStatus(MapOutputTracker.scala:1778)"""
KILLED = """Container killed by YARN for exceeding physical memory limits. 7.1 GB of 7 GB used.
Consider boosting spark.executor.memoryOverhead."""


class FromSparkError(Exception):
    """An error like Py4J's: Java's message is in a separate object."""

    def __init__(self, message: str):
        super().__init__("An error occurred while calling o42.collect.")
        self.java_exception = SimpleNamespace(getMessage=lambda: message)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            FromSparkError(LOST),
            "the job failed: executors were lost again and again: Container killed by YARN for "
            "exceeding physical memory limits. 7.1 GB of 7 GB physical memory used.",
        ),
        (
            FromSparkError(RAISED),
            "the job failed: OSError: AWS Error ACCESS_DENIED during GetObject operation",
        ),
        (
            FromSparkError(SHUT_DOWN),
            "the job failed: executors were shut down while they worked, often for their memory",
        ),
        (
            FromSparkError(TERMINATED),
            "the job failed: executors were shut down while they worked, often for their memory",
        ),
        (
            FromSparkError(FETCH_FAILED),
            "the job failed: a stage failed again and again: "
            "org.apache.spark.shuffle.MetadataFetchFailedException: "
            "Missing an output location for shuffle 2",
        ),
        (MemoryError(), "the job failed: MemoryError: "),
        (ValueError("a\nb"), "the job failed: ValueError: a"),
    ],
)
def test_a_reason_is_one_sentence_with_the_cause(error: Exception, reason: str) -> None:
    assert reason_of(error, lambda _: []) == reason.strip()


@pytest.mark.parametrize("text", [FETCH_FAILED, SHUT_DOWN, TERMINATED, CRASHED])
def test_what_failed_because_executors_were_lost_says_why_they_were(text: str) -> None:
    reasons = {None: ["Killed by a signal", KILLED], "6": [KILLED]}
    assert reason_of(FromSparkError(text), reasons.__getitem__) == (
        "the job failed: executors were lost again and again: Container killed by YARN for "
        "exceeding physical memory limits. 7.1 GB of 7 GB used."
    )


@pytest.mark.parametrize("text", [RAISED, CRASHED, "Java heap space"])
def test_a_lost_executor_is_not_the_reason_of_an_error_elsewhere(text: str) -> None:
    def lost(number: str | None) -> list[str]:
        return [KILLED] if number in (None, "3") else []

    assert "lost" not in reason_of(FromSparkError(text), lost)


def test_a_local_job_does_not_wait_for_news_of_executors() -> None:
    text = CRASHED.replace("executor 6", "executor driver")
    assert "crashed" in reason_of(FromSparkError(text), lambda _: pytest.fail("waits for news"))


LOSES_EXECUTORS = """
import psutil
from functools import partial
from threading import Timer
from pyspark import SparkContext
from spark.runtime import failures
from spark.runtime.failures import lost_executors, reason_of

def executor(_):
    return next(each for each in psutil.Process().parents() if each.name() == "java")

context = SparkContext()
one = context.parallelize([0], 1)
try:
    one.foreach(lambda _: executor(_).kill())
except Exception as error:
    print("ERROR", error.java_exception.getMessage().partition("\\n")[0])
    print("LOST", lost_executors(context), lost_executors(context, "0"))
failures.SECONDS_FOR_NEWS = 1
print("ANOTHER", lost_executors(context, "7"))
failures.SECONDS_FOR_NEWS = 10

# As YARN does. The executor is given tasks, and reports them as failed, until it has ended.
busy = psutil.Process(one.map(lambda _: executor(_).pid).first())
Timer(1, busy.terminate).start()
try:
    while True:
        context.parallelize(range(400), 400).foreach(lambda _: None)
except Exception as error:
    print("REASON", reason_of(error, partial(lost_executors, context)))
"""


@pytest.mark.usefixtures("executors")
def test_spark_knows_why_an_executor_was_lost(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(LOSES_EXECUTORS)
    done = subprocess.run(
        spark_submit(
            program, master="local-cluster[1,4,1024]", conf={"spark.task.maxFailures": 1}
        ),
        capture_output=True, text=True, check=False, timeout=240, cwd=tmp_path,
        env=environment(PYTHONPATH=str(ROOT)),
    )  # fmt: skip
    assert "ExecutorLostFailure" in done.stdout, done.stdout + done.stderr[-3000:]
    assert re.search(r"^LOST (\['.*137.*'\]) \1$", done.stdout, re.MULTILINE), done.stdout
    assert "ANOTHER []" in done.stdout, done.stdout
    assert re.search(r"^REASON .*lost again and again: .*143", done.stdout, re.MULTILINE), (
        done.stdout + done.stderr[-3000:]
    )


@pytest.mark.parametrize("error", [ValueError, ConnectionResetError])  # the latter of S3's client
def test_a_job_that_raises_stores_its_reason_and_still_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def broken(*_: object) -> None:
        raise error("no such thing")

    monkeypatch.setattr(job, "start", lambda *_: SimpleNamespace(stop=lambda: None))
    monkeypatch.setattr(job, "jvm_answers", lambda _: True)
    monkeypatch.setattr(job, "run", broken)
    with pytest.raises(error, match="no such thing"):
        job.main(["--dataset", str(tmp_path), "--output", str(tmp_path / "out")])
    failure = json.loads((tmp_path / "out" / "failure.json").read_text())
    assert failure["message"] == f"the job failed: {error.__name__}: no such thing"


def test_a_job_that_fails_for_lost_executors_stores_why_they_were_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise FromSparkError(FETCH_FAILED)

    monkeypatch.setattr(job, "start", lambda *_: SimpleNamespace(stop=lambda: None))
    monkeypatch.setattr(job, "jvm_answers", lambda _: True)
    monkeypatch.setattr(job, "run", broken)
    monkeypatch.setattr(job, "lost_executors", lambda *_: [KILLED])
    with pytest.raises(FromSparkError):
        job.main(["--dataset", str(tmp_path), "--output", str(tmp_path / "out")])
    failure = json.loads((tmp_path / "out" / "failure.json").read_text())
    assert "killed by YARN for exceeding physical memory" in failure["message"]


KILLS_ITS_JVM = """
import json, os, signal, sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path
from threading import Barrier
from pyspark import SparkContext
from spark import job

output = Path(sys.argv[1])
context = SparkContext.getOrCreate()
jvm = context._jvm.java.lang.ProcessHandle.current().pid()
all_call = Barrier(5)

def error_of_calls(_):
    for number in count():
        try:
            context.setLocalProperty("number", str(number))
        except Exception as error:
            return error
        if number == 10:
            all_call.wait()

def fail(error):
    raise error

with ThreadPoolExecutor(4) as pool:
    failing = pool.map(error_of_calls, range(4))
    all_call.wait()
    os.kill(jvm, signal.SIGKILL)
    errors = [*failing, EOFError("the rest of a worker's answer is missing")]

job.start = lambda *_: context
for number, error in enumerate(errors):
    job.run = lambda *_: fail(error)
    with suppress(type(error)):
        job.main(["--dataset", str(output), "--output", str(output / str(number))])
        sys.exit("the error is hidden")
(output / "errors.json").write_text(json.dumps([type(error).__name__ for error in errors]))
"""


def test_a_job_whose_jvm_was_killed_leaves_the_reason_to_yarn(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(KILLS_ITS_JVM)
    # Without spark-submit, which is the JVM: the program outlives it.
    done = subprocess.run(
        [sys.executable, program, tmp_path],
        capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path,
        env=environment(PYTHONPATH=str(ROOT)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert {"Py4JError", "EOFError"} <= {*json.loads((tmp_path / "errors.json").read_text())}
    assert not [*tmp_path.glob("*/failure.json")]


def test_a_missing_folder_ends_in_one_clear_line_and_no_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        spark_submit(
            ROOT / "spark" / "similarity_job.py", "--dataset", tmp_path / "missing",
            "--output", tmp_path / "result", master="local[2]",
        ),
        capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path,
        env=environment(),
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert re.search(r"^error: .*missing", said, re.MULTILINE), said
    assert "Traceback" not in said


def test_workers_come_from_a_process_that_has_imported_what_they_need(spark: SparkSession) -> None:
    frozen = spark.sparkContext.parallelize([0], 1).map(lambda _: gc.get_freeze_count())
    assert frozen.first() > 10_000


def test_a_worker_has_as_many_threads_as_its_task_has_cores(spark: SparkSession) -> None:
    names = "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"
    found = spark.sparkContext.parallelize([0], 1).map(lambda _: [os.environ[n] for n in names])
    assert found.first() == ["1", "1"]


def test_workers_import_pyspark_with_its_bytecode(spark: SparkSession) -> None:
    def place(_: int) -> str:
        import pyspark

        return pyspark.__file__

    assert spark.sparkContext.parallelize([0], 1).map(place).first() == pyspark.__file__
