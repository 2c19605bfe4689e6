"""What a person sees while something long goes on: a live line on a terminal, plain lines else."""

import sys
import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class Screen:
    """Stages one after another, each with its time; `with Screen() as screen:`."""

    def __init__(self, console: Console | None = None):
        """Write to standard error, or to a console of the caller's."""
        self._console = console or Console(file=sys.stderr, highlight=False)
        self._progress = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[note]}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._start = time.monotonic()

    def __enter__(self) -> Self:
        """Begin to show."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last state on the screen."""
        self._progress.stop()

    def stage(self, text: str, note: str = "") -> None:
        """Begin a stage; the one before it has ended."""
        self.done()
        if self._console.is_terminal:
            self._task = self._progress.add_task(text, total=None, note=note)
        else:
            self._say(f"{text} {note}".rstrip())

    def note(self, note: str, done: float | None = None, total: float | None = None) -> None:
        """Say how far the stage is; on a terminal only."""
        if self._task is not None:
            self._progress.update(self._task, note=note, completed=done, total=total)

    def done(self, note: str | None = None) -> None:
        """End the stage."""
        if self._task is not None:
            self._progress.update(self._task, total=1, completed=1)
            if note is not None:
                self._progress.update(self._task, note=note)
            self._progress.stop_task(self._task)
            self._task = None
        elif note:
            self._say(note)

    def _say(self, text: str) -> None:
        line = f"{time.monotonic() - self._start:7.1f} s  {text}"
        self._console.print(line, markup=False, soft_wrap=True)
