"""Runs a program and measures it from outside: wall time, memory and CPU of its processes."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

EVERY = 0.2  # seconds between two looks


@dataclass(frozen=True)
class Measured:
    """What one run of a program took.

    Attributes:
        seconds: from its start to its end.
        peak: bytes resident in all its processes at once, at most; memory that processes share
            counts once for each: an upper bound.
        cpu: CPU seconds of all processes that were seen.
    """

    seconds: float
    peak: int
    cpu: float


def run(command: Sequence[str], environment: Mapping[str, str]) -> Measured:
    """Run a program to its end.

    Raises:
        RuntimeError: it failed; the message is the end of what it said.
    """
    start = time.monotonic()
    with subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        os.set_blocking(process.stdout.fileno(), False)
        said, peak, cpu = b"", 0, {}
        while process.poll() is None:
            said = (said + (process.stdout.read() or b""))[-4000:]
            peak = max(peak, _look(psutil.Process(process.pid), cpu))
            time.sleep(EVERY)
        seconds = time.monotonic() - start
        if process.returncode:
            raise RuntimeError((said + (process.stdout.read() or b"")).decode(errors="replace"))
    return Measured(seconds, peak, sum(cpu.values()))


def _look(process: psutil.Process, cpu: dict[int, float]) -> int:
    resident = 0
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for each in family:
        try:
            times = each.cpu_times()
            cpu[each.pid] = times.user + times.system
            resident += each.memory_info().rss
        except psutil.Error:
            continue
    return resident
