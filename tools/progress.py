"""The progress display of a long command: a live line on a terminal, plain lines elsewhere."""

import sys
import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

MEBIBYTE = 2**20


class StageProgress:
    """Stages one after another, each with its time: `with StageProgress() as progress:`."""

    def __init__(self) -> None:
        """Write to standard error."""
        self._console = Console(file=sys.stderr, highlight=False)
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
        """Start the display."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the display and leave its last state on the screen."""
        self._progress.stop()

    def stage(self, text: str, note: str = "") -> None:
        """Begin a stage, and finish the one before."""
        self.done()
        if self._console.is_terminal:
            self._task = self._progress.add_task(text, total=None, note=note)
        else:
            self._print(f"{text} {note}".rstrip())

    def note(self, note: str, done: float | None = None, total: float | None = None) -> None:
        """Update the current stage; a terminal only."""
        if self._task is not None:
            self._progress.update(self._task, note=note, completed=done, total=total)

    def transferred(self, done: int, total: int) -> None:
        """Update the current stage with the bytes transferred; `total` is 0 if unknown."""
        of_total = f" of {total / MEBIBYTE:,.1f}" if total else ""
        self.note(f"{done / MEBIBYTE:,.1f}{of_total} MiB", done, total or None)

    def done(self, note: str | None = None) -> None:
        """Finish the current stage."""
        if self._task is not None:
            self._progress.update(self._task, total=1, completed=1)
            if note is not None:
                self._progress.update(self._task, note=note)
            self._progress.stop_task(self._task)
            self._task = None
        elif note:
            self._print(note)

    def _print(self, text: str) -> None:
        line = f"{time.monotonic() - self._start:7.1f} s  {text}"
        self._console.print(line, markup=False, soft_wrap=True)
