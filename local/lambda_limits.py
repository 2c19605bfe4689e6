"""Limits the emulator's functions to the memory and the CPU that Lambda gives them.

The emulator runs each execution environment as a process. It enforces a function's Timeout, but not
its MemorySize. This module kills a function that exceeds its MemorySize. While a function handles
an event, it gets the share of a CPU that belongs to its MemorySize
(https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html): signals stop and continue
it every 20 ms, the period that people measured on Lambda
(https://github.com/pwrdrvr/lambda-throttling).

It is more generous than Lambda in three ways. An environment may use all of the CPU while it
starts; Lambda also gives more then, but does not document how much. Child processes of a function
are not counted. Memory that is taken and released between two checks goes unnoticed.
"""

import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Self

import psutil
from ministack.core import lambda_runtime
from ministack.services import lambda_svc

type Limits = Callable[[], Mapping[str, int]]

SWITCH = "lambda_memory"  # the limit that enables this, if it is 1
MEGABYTES_PER_VCPU = 1769
CHECK_SECONDS = 0.02
TICK = 0.01  # CPU seconds; the resolution of a kernel's accounting
_KILLED = "RequestId: {} Error: Runtime exited with error: signal: killed"


class Credit:
    """The CPU seconds that a process may use, as a token bucket.

    Args:
        share: of one CPU.
        used: the process's CPU seconds so far; these are free.
        now: seconds of any clock.
    """

    def __init__(self, share: float, used: float, now: float) -> None:
        self._share, self._used, self._now = share, used, now
        self._seconds = 0.0

    def suffices(self, used: float, now: float) -> bool:
        """Add what the time since the last call earned and subtract what was used.

        At most one tick of unused time is kept.
        """
        earned = self._share * (now - self._now)
        self._seconds = min(self._seconds + earned - (used - self._used), TICK)
        self._used, self._now = used, now
        return self._seconds >= 0


class Environment(lambda_runtime.Worker):  # type: ignore[misc]  # the emulator has no types
    """An execution environment limited to its function's MemorySize.

    Args:
        limits: returns the limits; called at each invocation.
        arguments: the emulator's own.

    Attributes:
        is_started: whether the code is loaded; from then on it handles events.
    """

    def __init__(self, limits: Limits, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._limits = limits
        self.is_started = False

    def _spawn(self) -> None:
        self.is_started = False
        super()._spawn()
        self.is_started = True

    def invoke(self, event: Any, request_id: str, **context: Any) -> dict[str, Any]:
        """Handle an event; if the process is killed, fail with Lambda's own message."""
        if not self._limits().get(SWITCH):
            return super().invoke(event, request_id, **context)
        result: dict[str, Any] = {"status": "error", "log": ""}
        with Watch(self, self.config.get("MemorySize", 128)) as watch:
            try:
                result = super().invoke(event, request_id, **context)
            except RuntimeError:  # it did not start
                if not watch.has_killed:
                    raise
        if watch.has_killed and result["status"] == "error":
            result["error"] = _KILLED.format(request_id)
        return result


class Watch(threading.Thread):
    """Watches the process of an environment until the block ends.

    Args:
        environment: the environment.
        megabytes: its function's MemorySize.

    Attributes:
        has_killed: whether the process exceeded its memory and was killed.
    """

    def __init__(self, environment: Environment, megabytes: int) -> None:
        super().__init__(daemon=True, name=f"watch-{environment.func_name}")
        self._environment, self._megabytes = environment, megabytes
        self._ended = threading.Event()
        self.has_killed = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        """Wait until the process has started, and watch it."""
        child: Any = self._environment._proc
        while child is None or child.poll() is not None:  # it belongs to an earlier invocation
            if self._ended.wait(CHECK_SECONDS):
                return
            child = self._environment._proc
        with suppress(psutil.NoSuchProcess):  # it has ended
            self._watch(child, psutil.Process(child.pid))

    def _watch(self, child: Any, process: psutil.Process) -> None:
        credit: Credit | None = None
        is_stopped = False
        try:
            while not self._ended.wait(CHECK_SECONDS if credit else 0):
                if process.memory_info().rss > self._megabytes << 20:
                    self.has_killed = True
                    process.kill()
                    child.wait()
                    return
                times = process.cpu_times()
                used, now = times.user + times.system, time.monotonic()
                if credit is None:
                    if self._environment.is_started:
                        credit = Credit(self._megabytes / MEGABYTES_PER_VCPU, used, now)
                    else:
                        self._ended.wait(CHECK_SECONDS)
                elif (suffices := credit.suffices(used, now)) == is_stopped:
                    process.resume() if suffices else process.suspend()
                    is_stopped = not suffices
        finally:
            if is_stopped:
                with suppress(psutil.NoSuchProcess):
                    process.resume()


def limit_functions(limits: Limits) -> None:
    """Have the emulator hold Python functions to their MemorySize while `limits` say so."""
    class_of, execute = lambda_runtime._worker_class_for, lambda_svc._execute_function_warm
    killed = re.compile(re.escape(_KILLED).replace(re.escape("{}"), ".*"))

    def worker_class_for(config: dict[str, Any]) -> Any:
        usual = class_of(config)
        return partial(Environment, limits) if usual is lambda_runtime.Worker else usual

    def execute_function_warm(*arguments: Any) -> dict[str, Any]:
        result: dict[str, Any] = execute(*arguments)
        if result.get("error") and killed.fullmatch(result["body"]["errorMessage"]):
            result["body"]["errorType"] = "Runtime.ExitError"
        return result

    lambda_runtime._worker_class_for = worker_class_for
    lambda_svc._execute_function_warm = execute_function_warm
