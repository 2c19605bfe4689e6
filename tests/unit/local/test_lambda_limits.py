"""Functions of the local cloud have the memory, the CPU and the time that Lambda gives them."""

import io
import uuid
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from local.lambda_limits import MEGABYTES_PER_VCPU, SWITCH, TICK, Credit, limit_functions

CODE = """
import time

def take(event):
    return len(b"x" * (event["megabytes"] << 20))

def spin(event):
    end = time.process_time() + event["seconds"]
    while time.process_time() < end:
        pass

def sleep(event):
    time.sleep(event["seconds"])

def handler(event, context):
    began = time.monotonic()
    globals()[event["do"]](event)
    return time.monotonic() - began
"""

type Invoke = Callable[..., dict[str, Any]]


@pytest.fixture
def limits() -> dict[str, int]:
    return {SWITCH: 1}


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, limits: dict[str, int]) -> Iterator[Invoke]:
    """Invokes a function of the emulator with a MemorySize, a Timeout and code."""
    for module, name in (
        (lambda_runtime, "_worker_class_for"),
        (lambda_svc, "_execute_function_warm"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))  # restored after the test
    limit_functions(lambda: limits)
    name = f"greedy-{uuid.uuid4()}"

    def invoke(
        event: dict[str, Any], memory: int = 128, timeout: int = 60, code: str = CODE
    ) -> dict[str, Any]:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as file:
            file.writestr("greedy.py", code)
        config = {
            "FunctionName": name,
            "FunctionArn": f"arn:aws:lambda:eu-central-1:123456789012:function:{name}",
            "Runtime": "python3.13",
            "Handler": "greedy.handler",
            "MemorySize": memory,
            "Timeout": timeout,
        }
        function = {"config": config, "code_zip": packed.getvalue()}
        return lambda_svc._execute_function_warm(function, event, "a-request")

    yield invoke
    lambda_runtime.invalidate_worker(name)


def process_of_the_function() -> psutil.Process:
    """Return the process in which the emulator runs the function."""
    (workers,) = [each for key, each in lambda_runtime._workers.items() if "greedy-" in key]
    (worker,) = workers
    return psutil.Process(worker._proc.pid)


KILLED = {
    "errorType": "Runtime.ExitError",
    "errorMessage": "RequestId: a-request Error: Runtime exited with error: signal: killed",
}


def test_a_function_above_its_memory_is_killed_and_the_next_event_has_a_new_process(
    invoke: Invoke,
) -> None:
    assert invoke({"do": "take", "megabytes": 1}).get("error") is None
    first = process_of_the_function()
    answer = invoke({"do": "take", "megabytes": 300})
    assert (answer["error"], answer["body"]) == (True, KILLED)
    assert not first.is_running()
    assert invoke({"do": "take", "megabytes": 1}).get("error") is None
    assert process_of_the_function().pid != first.pid


def test_a_function_that_loads_too_much_is_killed(invoke: Invoke) -> None:
    greedy = "import time\nTAKEN = b'x' * (300 << 20)\ntime.sleep(60)\n"
    answer = invoke({}, code=greedy)
    assert (answer["error"], answer["body"]) == (True, KILLED)


def test_a_function_with_enough_memory_runs(invoke: Invoke) -> None:
    assert invoke({"do": "take", "megabytes": 300}, memory=512).get("error") is None


def test_a_function_has_the_cpu_share_of_its_memory(invoke: Invoke) -> None:
    used, memory = 0.3, 443  # a quarter of a CPU
    took = invoke({"do": "spin", "seconds": used}, memory=memory)["body"]
    assert took >= 0.8 * used * MEGABYTES_PER_VCPU / memory


def test_the_code_of_a_function_is_loaded_at_full_speed(invoke: Invoke) -> None:
    spinning = CODE + "\nBEGAN = time.monotonic()\nspin({'seconds': 0.3})\n"
    spinning += "TOOK = time.monotonic() - BEGAN\ndef handler(*_): return TOOK, time.process_time()"
    took, used = invoke({}, code=spinning)["body"]
    assert took < 0.5 * used * MEGABYTES_PER_VCPU / 128


def test_a_function_that_sleeps_beyond_its_timeout_times_out(invoke: Invoke) -> None:
    answer = invoke({"do": "sleep", "seconds": 60}, timeout=1)
    assert answer["error"]
    assert answer["body"]["errorType"] == "Sandbox.Timedout"
    assert answer["body"]["errorMessage"] == "Task timed out after 1.00 seconds"
    assert invoke({"do": "sleep", "seconds": 0}).get("error") is None


def test_a_function_whose_cpu_share_is_too_small_for_its_work_times_out(
    invoke: Invoke,
) -> None:
    work = {"do": "spin", "seconds": 0.3}
    assert invoke(work, timeout=2, memory=1769).get("error") is None
    lambda_runtime.reset()
    answer = invoke(work, timeout=2, memory=128)
    assert answer["body"]["errorMessage"] == "Task timed out after 2.00 seconds"


def test_no_process_stays_stopped_after_its_event(invoke: Invoke) -> None:
    invoke({"do": "spin", "seconds": 0.1})
    assert process_of_the_function().status() != psutil.STATUS_STOPPED


def test_without_the_limit_the_emulator_is_unchanged(
    invoke: Invoke, limits: dict[str, int]
) -> None:
    limits.clear()
    assert invoke({"do": "take", "megabytes": 300}).get("error") is None
    assert invoke({"do": "spin", "seconds": 0.3})["body"] < 0.3 * MEGABYTES_PER_VCPU / 128 / 2


@given(
    share=st.floats(0.01, 2),
    looks=st.lists(st.floats(0.001, 0.1), min_size=1, max_size=300),
    uses=st.floats(0, 3),
)
def test_the_cpu_time_never_exceeds_the_share_by_more_than_one_interval(
    share: float, looks: list[float], uses: float
) -> None:
    credit, used, now, may = Credit(share, 0, 0), 0.0, 0.0, True
    for seconds in looks:
        now += seconds
        used += uses * seconds if may else 0
        may = credit.suffices(used, now)
        assert used <= share * now + TICK + uses * max(looks) + 1e-9


def test_unused_cpu_time_is_not_saved_up() -> None:
    credit = Credit(0.5, 0, 0)
    assert credit.suffices(0, now=100)
    assert not credit.suffices(0.5, now=100.1)
    assert not credit.suffices(0.5, now=100.9)
    assert credit.suffices(0.5, now=101)
