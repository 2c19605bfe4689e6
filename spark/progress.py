"""Shows the job's progress on standard error, which EMR stores with the logs."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pyspark import SparkContext

INTERVAL = 2.0  # seconds between two looks at the progress


@dataclass
class Stages:
    """The stages of the job.

    Attributes:
        context: the Spark context, which knows how many tasks are done.
        timings: seconds of each finished stage.
    """

    context: SparkContext
    timings: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, beside_spark: bool = False) -> Iterator[None]:
        """Time a stage, and print its progress whenever it changes.

        Args:
            name: of the stage.
            beside_spark: whether Spark's jobs that run meanwhile belong to another stage.
        """
        _say(f"{name}: started")
        start = time.monotonic()
        over = threading.Event()
        if beside_spark:
            over.set()
        reporter = threading.Thread(target=self._report, args=(name, over), daemon=True)
        reporter.start()
        try:
            yield
        finally:
            over.set()
            reporter.join()
        self.timings[name] = round(time.monotonic() - start, 3)
        _say(f"{name}: {self.timings[name]:.1f} s")

    def _report(self, name: str, over: threading.Event) -> None:
        shown = ""
        while not over.wait(INTERVAL):
            share = self._share()
            if share and share != shown:
                _say(f"{name}: {share}")
                shown = share

    def _share(self) -> str:
        """How much of the running Spark jobs is done."""
        tracker = self.context.statusTracker()
        jobs = (tracker.getJobInfo(job) for job in tracker.getActiveJobsIds())
        ids = (stage for job in jobs if job for stage in job.stageIds)
        stages = [stage for stage in map(tracker.getStageInfo, ids) if stage]
        tasks = sum(stage.numTasks for stage in stages)
        done = sum(stage.numCompletedTasks for stage in stages)
        return f"{done} of {tasks} tasks, {done * 100 // tasks} %" if tasks else ""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
