"""A program with a local cloud cleans up, whatever ends it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT

LIMIT_SECONDS = 30
# Stands for `python -m local` while a cloud is up. The file stands for what must be cleaned up.
PROGRAM = """
import sys, time
from pathlib import Path
from local.process import install_signal_handlers
install_signal_handlers()
file = Path(sys.argv[1])
try:
    file.write_text("up")
    time.sleep(600)
finally:
    file.unlink()
"""
# The first program of a terminal. It gets SIGHUP and waits for its child, as make does.
LEADER = """
import fcntl, signal, subprocess, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGHUP, lambda *_: None)
subprocess.run([sys.executable, "-c", *sys.argv[1:]])
"""


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.02)


def test_closing_the_terminal_ends_it_even_if_only_make_gets_the_signal(tmp_path: Path) -> None:
    file = tmp_path / "file"
    screen, terminal = os.openpty()
    leader = subprocess.Popen(
        [sys.executable, "-c", LEADER, PROGRAM, str(file)],
        cwd=ROOT,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    try:
        wait_for(file.exists)
        os.close(screen)
        wait_for(lambda: not file.exists())
    finally:
        os.killpg(leader.pid, signal.SIGKILL)
        leader.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_after_the_cleanup(tmp_path: Path, number: signal.Signals) -> None:
    file = tmp_path / "file"
    process = start(file)
    process.send_signal(number)
    process.wait(LIMIT_SECONDS)
    assert not file.exists()


def test_under_nohup_it_survives_the_terminal(tmp_path: Path) -> None:
    file = tmp_path / "file"
    process = start(file, "nohup")
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    assert file.exists()
    process.terminate()
    process.wait(LIMIT_SECONDS)
    assert not file.exists()


def start(file: Path, *before: str) -> subprocess.Popen[bytes]:
    """Start the program and wait until it is up."""
    process = subprocess.Popen(
        [*before, sys.executable, "-c", PROGRAM, str(file)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # The tests themselves may run under nohup.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    wait_for(lambda: file.exists() and file.read_text() == "up")
    return process
