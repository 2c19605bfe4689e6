"""The emulator's functions, within the memory and the CPU that Lambda gives them.

The emulator runs each execution environment as a process and ends an invocation at the function's
Timeout, but has no eye on its MemorySize. Here a function above it is killed, and while it handles
an event it has no more than the share of a CPU that comes with it
(https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html): it is stopped and
continued by signals, every 20 ms, the time that people measure of Lambda itself
(https://github.com/pwrdrvr/lambda-throttling).

Where it is kinder than Lambda: the start of an environment may take all the CPU, for Lambda gives
it more than the share there and does not say how much; processes that a function starts are not
counted; memory taken and given back between two looks goes unseen.
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

SWITCH = "lambda_memory"  # of the limits: 1 to hold functions to their MemorySize
MEGABYTES_OF_A_VCPU = 1769
LOOK_SECONDS = 0.02
TICK = 0.01  # CPU seconds by which a kernel counts what a process has used
_KILLED = "RequestId: {} Error: Runtime exited with error: signal: killed"


class Credit:
    """CPU seconds that may be used by now.

    Args:
        share: of one CPU.
        used: CPU seconds by now, which are not counted.
        now: seconds of any clock.
    """

    def __init__(self, share: float, used: float, now: float) -> None:
        self._share, self._used, self._now = share, used, now
        self._seconds = 0.0

    def suffices(self, used: float, now: float) -> bool:
        """Take off what was used since the last call, add what time has brought.

        Of what was not used no more than a tick is kept for later.
        """
        earned = self._share * (now - self._now)
        self._seconds = min(self._seconds + earned - (used - self._used), TICK)
        self._used, self._now = used, now
        return self._seconds >= 0


class Environment(lambda_runtime.Worker):  # type: ignore[misc]  # the emulator has no types
    """An execution environment that is held to its function's MemorySize.

    Args:
        limits: whether it is, asked at each invocation.
        whatever: of the emulator's own.

    Attributes:
        is_started: whether its code is loaded, and what it does now is to handle an event.
    """

    def __init__(self, limits: Limits, *whatever: Any) -> None:
        super().__init__(*whatever)
        self._limits = limits
        self.is_started = False

    def _spawn(self) -> None:
        self.is_started = False
        super()._spawn()
        self.is_started = True

    def invoke(self, event: Any, request_id: str, **context: Any) -> dict[str, Any]:
        """Handle an event; where the process is killed, fail in Lambda's words."""
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
    """Watches over the process of an environment until the block ends.

    Args:
        environment: which.
        megabytes: its function's MemorySize.

    Attributes:
        has_killed: whether it took more.
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
        """Wait for the process, which may have to be started first, and watch it."""
        child: Any = self._environment._proc
        while child is None or child.poll() is not None:  # the latter is of an earlier invocation
            if self._ended.wait(LOOK_SECONDS):
                return
            child = self._environment._proc
        with suppress(psutil.NoSuchProcess):  # it has ended
            self._watch(child, psutil.Process(child.pid))

    def _watch(self, child: Any, process: psutil.Process) -> None:
        credit: Credit | None = None
        is_stopped = False
        try:
            while not self._ended.wait(LOOK_SECONDS if credit else 0):
                if process.memory_info().rss > self._megabytes << 20:
                    self.has_killed = True
                    process.kill()
                    child.wait()
                    return
                times = process.cpu_times()
                used, now = times.user + times.system, time.monotonic()
                if credit is None:
                    if self._environment.is_started:
                        credit = Credit(self._megabytes / MEGABYTES_OF_A_VCPU, used, now)
                    else:
                        self._ended.wait(LOOK_SECONDS)
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

    def execute_function_warm(*whatever: Any) -> dict[str, Any]:
        result: dict[str, Any] = execute(*whatever)
        if result.get("error") and killed.fullmatch(result["body"]["errorMessage"]):
            result["body"]["errorType"] = "Runtime.ExitError"
        return result

    lambda_runtime._worker_class_for = worker_class_for
    lambda_svc._execute_function_warm = execute_function_warm
