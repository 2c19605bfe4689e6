"""Why a job failed, as a person reads it: from the error, and from the executors that it lost."""

import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from py4j.protocol import Py4JError
from pyspark import SparkContext

REASON_CHARACTERS = 500
SECONDS_FOR_NEWS = 10  # YARN reports a lost executor some seconds after it is gone


def reason_of(error: Exception, lost: Callable[[str | None], Sequence[str]]) -> str:
    """Return why the job failed, in one sentence; for an error of Spark, the cause that it names.

    Args:
        error: that ended the job.
        lost: `lost_executors` of the job. What a lost executor had written for the others is lost
            with it, and they report only that it is missing. An executor that is being shut down
            may still report its tasks as failed, each with whatever broke first.
    """
    java = getattr(error, "java_exception", None)
    text = str(java.getMessage() if java else error)
    stage = re.search(r"failed the maximum allowable number of times.*\n\s*(\S.*)", text)
    task = re.search(r"Lost task .* executor (\d+)\): ", text)  # not of the driver, as locally
    raised = re.findall(r"Traceback .*\n(?:[ \t].*\n)+(\S.*)", text)  # by the Python code of a task
    if named := re.search(r"ExecutorLostFailure .*? Reason: (.+)", text):
        words = f"executors were lost again and again: {named[1]}"
    elif (stage or (task and not raised)) and (reasons := lost(task[1] if task else None)):
        words = f"executors were lost again and again: {_first_line(reasons[-1])}"
    elif stage:
        words = f"a stage failed again and again: {stage[1]}"
    elif re.search(r"RejectedExecutionException: .*\[(Shutting down|Terminated)", text):
        words = "executors were shut down while they worked, often for their memory"
    elif raised:
        words = raised[-1]
    else:
        words = f"{type(error).__name__}: {_first_line(text)}"
    return f"the job failed: {words.strip()[:REASON_CHARACTERS]}"


def jvm_answers(context: SparkContext) -> bool:
    """Whether the driver's JVM still lives.

    Without it every use of Spark fails, with an error that depends on the moment: a refused
    connection, or Py4J's "An error occurred while calling".
    """
    try:
        java: Any = context._jvm
        java.java.lang.System.nanoTime()
    except (OSError, Py4JError):
        return False
    return True


def lost_executors(context: SparkContext, number: str | None = None) -> list[str]:
    """Return why executors were lost, as YARN or Spark said it, in order of time.

    Waits up to SECONDS_FOR_NEWS for the first. The source is the list of executors that Spark's own
    page shows. An error while asking gives an empty list: it must not hide the one that ended the
    job.

    Args:
        context: of the job.
        number: Spark's number of the only executor that counts; without it, all count.
    """
    lost: list[Any] = []
    deadline = time.monotonic() + SECONDS_FOR_NEWS
    with suppress(Exception):
        while not lost and time.monotonic() < deadline:
            listed = context._jsc.sc().statusStore().executorList(False)
            executors = [listed.apply(place) for place in range(listed.size())]
            lost = [
                each
                for each in executors
                if each.removeReason().isDefined() and number in (None, each.id())
            ]
            time.sleep(0 if lost else 0.1)
        lost.sort(key=lambda each: each.removeTime().get().getTime())
        return [each.removeReason().get().strip() for each in lost]
    return []


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
