"""Processes that never outlive the program that started them, not even after kill -9.

A supervisor runs between the program and the process. It reads a pipe whose other end only the
program holds. When the program closes the pipe, or dies for any reason, the supervisor kills the
process group, removes the given folder, and exits.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

_USAGE = "usage: python supervised.py FOLDER COMMAND...   (removes FOLDER at the end; - for none)"
# The exit status of shells for a command that cannot be started.
_NOT_FOUND = 127


class SupervisedProcess:
    """A running command that dies with this program.

    Args:
        command: program and arguments.
        env: the complete environment.
        cwd: the working directory.
        stdout: file for standard output.
        stderr: file for standard error; by default `stdout`.
        remove: a folder to remove after the command has ended, for whatever reason.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        stdout: IO[bytes],
        stderr: IO[bytes] | None = None,
        remove: Path | None = None,
    ):
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(remove or "-"), *command],
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr or subprocess.STDOUT,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,  # so that Ctrl-C in the terminal reaches the program only
        )

    def poll(self) -> int | None:
        """Return the command's exit status, or None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the command to end and return its exit status.

        Raises:
            subprocess.TimeoutExpired: the command did not end within `timeout` seconds.
        """
        return self._process.wait(timeout)

    def stop(self) -> None:
        """Kill the command with all its processes and wait until they are gone."""
        assert self._process.stdin is not None  # noqa: S101  (it is a pipe, see above)
        self._process.stdin.close()
        self._process.wait()

    def run(self) -> int:
        """Wait for the command to end, and stop it if the wait is interrupted."""
        try:
            return self._process.wait()
        finally:
            self.stop()


def _main(folder: str, command: list[str]) -> int:
    """Run the supervisor, whose standard input is the pipe."""
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    status = _NOT_FOUND
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        print(error, file=sys.stderr)
    else:
        signal.signal(signal.SIGTERM, lambda *_: _kill_group(child))
        threading.Thread(target=_kill_at_end_of_input, args=[child], daemon=True).start()
        status = child.wait()
        _kill_group(child)  # any remaining children
    if folder != "-":
        _remove(Path(folder))
    return status if status >= 0 else 128 - status


def _kill_at_end_of_input(child: subprocess.Popen[bytes]) -> None:
    while os.read(0, 1024):
        pass
    _kill_group(child)


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    # macOS returns EPERM for a group that has ended.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def _remove(folder: Path) -> None:
    """Remove a folder to which a dying process may still be writing."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        threading.Event().wait(0.1)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(_USAGE)
    sys.exit(_main(sys.argv[1], sys.argv[2:]))
