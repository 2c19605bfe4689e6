"""Supervised processes and their folders do not outlive the program that started them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from local.supervised import SupervisedProcess
from tests.conftest import ROOT

LIMIT_SECONDS = 30
# A process with a child, like the emulator with its functions.
FAMILY = "sleep 600 & echo $$ $! > pids; wait"
PROGRAM = """
import os, sys, time
from pathlib import Path
from local.supervised import SupervisedProcess
folder = Path(sys.argv[1])
with open(os.devnull, "wb") as nothing:
    command = ["sh", "-c", sys.argv[2]]
    SupervisedProcess(command, env=os.environ, cwd=folder, stdout=nothing, remove=folder)
print("up", flush=True)
time.sleep(600)
"""


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return state != "" and not state.startswith("Z")


def family(folder: Path) -> list[int]:
    pids = folder / "pids"
    wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    return [int(pid) for pid in pids.read_text().split()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


def start(folder: Path, command: list[str]) -> SupervisedProcess:
    with (folder / "log").open("wb") as log:
        return SupervisedProcess(command, env=os.environ, cwd=folder, stdout=log, remove=folder)


def test_stop_ends_the_command_with_its_children_and_removes_the_folder(folder: Path) -> None:
    process = start(folder, ["sh", "-c", FAMILY])
    pids = family(folder)
    assert all(is_alive(pid) for pid in pids)
    process.stop()
    wait_for(lambda: not any(is_alive(pid) for pid in pids))
    assert not folder.exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_however_the_program_is_killed(
    folder: Path, number: signal.Signals
) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), FAMILY],
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        # The tests themselves may run in the background, where a shell ignores it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    pids = family(folder)
    program.send_signal(number)
    program.wait(LIMIT_SECONDS)
    wait_for(lambda: not any(is_alive(pid) for pid in pids) and not folder.exists())


def test_the_exit_status_is_the_commands(folder: Path) -> None:
    assert start(folder, ["sh", "-c", "exit 7"]).run() == 7


def test_a_missing_command_has_the_shells_exit_status(folder: Path) -> None:
    assert start(folder, ["no-such-program"]).run() == 127
