"""Runs a program and measures it from outside: wall time, memory and CPU of its processes."""

import math
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil

EVERY = 0.2  # seconds between two looks
OUT_OF_MEMORY = b"MemoryError"  # ends the name of Java's error, Python's and NumPy's


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


@dataclass(frozen=True)
class Limits:
    """What a program may take before it is stopped.

    Attributes:
        seconds: from its start.
        resident: bytes resident in all its processes at once.
    """

    seconds: float = math.inf
    resident: float = math.inf


NO_LIMITS = Limits()


class LimitError(RuntimeError):
    """A program went beyond a limit or ran out of memory; the message says which."""


def run(
    command: Sequence[str], environment: Mapping[str, str], limits: Limits = NO_LIMITS
) -> Measured:
    """Run a program to its end.

    Raises:
        LimitError: it was stopped at a limit, or failed for lack of memory.
        RuntimeError: it failed otherwise; the message is the end of what it said.
    """
    start = time.monotonic()
    with subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        output: Any = process.stdout
        os.set_blocking(output.fileno(), False)
        said, peak, has_memory = b"", 0, True
        cpu: dict[int, float] = {}
        while process.poll() is None:
            said += output.read() or b""
            has_memory = has_memory and OUT_OF_MEMORY not in said
            said = said[-4000:]
            resident = _look(psutil.Process(process.pid), cpu)
            peak = max(peak, resident)
            if time.monotonic() - start > limits.seconds:
                _kill(process.pid)
                raise LimitError(f"over {limits.seconds / 60:.0f} min")
            if resident > limits.resident:
                _kill(process.pid)
                raise LimitError(f"over {limits.resident / 2**30:.0f} GiB")
            time.sleep(EVERY)
        seconds = time.monotonic() - start
        if process.returncode:
            said += output.read() or b""
            if OUT_OF_MEMORY in said or not has_memory:
                raise LimitError("out of memory")
            raise RuntimeError(said.decode(errors="replace"))
    return Measured(seconds, peak, sum(cpu.values()))


def _kill(pid: int) -> None:
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    for each in family:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(family, timeout=10)


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
