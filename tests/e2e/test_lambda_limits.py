"""The deployed cloud gives a function the memory and the CPU of its MemorySize, and no more."""

import io
import json
import uuid
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.builders.world import World

pytestmark = pytest.mark.e2e
CODE = """
import importlib.util
import time

def handler(event, context):
    if "module" in event:
        return importlib.util.find_spec(event["module"]) is not None
    began = time.monotonic()
    len(b"x" * (event.get("megabytes", 0) << 20))
    end = time.process_time() + event.get("cpu_seconds", 0)
    while time.process_time() < end:
        pass
    return time.monotonic() - began
"""


@pytest.fixture
def invoke(world: World) -> Iterator[Callable[..., tuple[str | None, Any]]]:
    """Invokes a function of 128 MB: the function's error, if any, and its answer."""
    client, name = world.cloud.client("lambda"), f"greedy-{uuid.uuid4()}"
    ours = client.get_function_configuration(FunctionName=world.cloud.outputs["SweeperFunction"])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("greedy.py", CODE)
    client.create_function(
        FunctionName=name,
        Role=ours["Role"],
        Runtime=ours["Runtime"],
        Handler="greedy.handler",
        Code={"ZipFile": packed.getvalue()},
        MemorySize=128,
        Timeout=60,
    )

    def invoke(**event: float | str) -> tuple[str | None, Any]:
        answer = client.invoke(FunctionName=name, Payload=json.dumps(event))
        return answer.get("FunctionError"), json.load(answer["Payload"])

    yield invoke
    client.delete_function(FunctionName=name)


def test_a_function_has_the_memory_and_the_cpu_that_it_is_given_and_no_more(
    world: World, invoke: Callable[..., tuple[str | None, Any]]
) -> None:
    assert invoke(megabytes=300)[0] is None, "without a limit nothing is enforced"
    world.cloud.limit(lambda_memory=1)
    error, told = invoke(megabytes=300)
    assert error == "Unhandled"
    assert told["errorType"] == "Runtime.ExitError"
    assert told["errorMessage"].endswith("Error: Runtime exited with error: signal: killed")
    error, took = invoke(cpu_seconds=0.2)
    assert error is None
    assert took >= 0.8 * 0.2 * 1769 / 128


def test_a_function_finds_no_module_of_the_project_that_its_package_lacks(
    invoke: Callable[..., tuple[str | None, Any]],
) -> None:
    assert invoke(module="json") == (None, True)
    assert invoke(module="local") == (None, False)
