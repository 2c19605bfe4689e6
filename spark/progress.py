"""Tells how far the job is, while it runs: on standard error, which EMR keeps in the step's log."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pyspark import SparkContext

EVERY = 2.0  # seconds between two looks at how far a stage is


@dataclass
class Stages:
    """The stages of the job.

    Attributes:
        context: Spark's, which knows how many tasks are done.
        timings: seconds of each stage that has ended.
    """

    context: SparkContext
    timings: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage and tell the share of it that is done whenever that has changed."""
        _say(f"{name}: started")
        start = time.monotonic()
        over = threading.Event()
        teller = threading.Thread(target=self._tell, args=(name, over), daemon=True)
        teller.start()
        try:
            yield
        finally:
            over.set()
            teller.join()
        self.timings[name] = round(time.monotonic() - start, 3)
        _say(f"{name}: {self.timings[name]:.1f} s")

    def _tell(self, name: str, over: threading.Event) -> None:
        told = ""
        while not over.wait(EVERY):
            share = self._share()
            if share and share != told:
                _say(f"{name}: {share}")
                told = share

    def _share(self) -> str:
        """How much of the Spark jobs that run now is done."""
        tracker = self.context.statusTracker()
        jobs = (tracker.getJobInfo(job) for job in tracker.getActiveJobsIds())
        ids = (stage for job in jobs if job for stage in job.stageIds)
        stages = [stage for stage in map(tracker.getStageInfo, ids) if stage]
        tasks = sum(stage.numTasks for stage in stages)
        done = sum(stage.numCompletedTasks for stage in stages)
        return f"{done} of {tasks} tasks, {done * 100 // tasks} %" if tasks else ""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
