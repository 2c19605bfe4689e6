"""Every call to AWS ends before its function times out."""

import importlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import ROOT

TEMPLATE = (ROOT / "template.yaml").read_text()
FUNCTIONS = ["launcher", "monitor", "sweeper", "notifier", "indexer", "query", "control"]
MARGIN = 5  # seconds for what a function does besides


def timeout(function: str) -> int:
    """The timeout of a function in the template, in seconds."""
    globals_, _, rest = TEMPLATE.partition("\nResources:")
    (default,) = re.findall(r"Timeout: (\d+)", globals_)
    (own,) = re.findall(rf"\n  {function.capitalize()}Function:\n(.*?)\n\n", rest, re.DOTALL)[:1]
    found = re.search(r"\n      Timeout: (\d+)", own)
    return int(found[1] if found else default)


def clients(value: Any) -> Iterator[Any]:
    """The clients of a module and of its objects."""
    if hasattr(value, "meta") and hasattr(getattr(value.meta, "client", value), "_endpoint"):
        yield getattr(value.meta, "client", value)
    elif hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        for name in value.__dataclass_fields__:
            yield from clients(getattr(value, name))


def longest(client: Any) -> float:
    """The duration of a call without a response: all attempts and the longest pauses."""
    config = client.meta.config
    attempts = config.retries["total_max_attempts"]
    pauses = sum(min(2**number, 20) for number in range(attempts - 1))
    return attempts * (config.connect_timeout + config.read_timeout) + pauses


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_call_without_a_response_ends_before_its_function(function: str) -> None:
    module = importlib.import_module(f"{function}.handler")
    found = {id(each): each for value in vars(module).values() for each in clients(value)}
    assert found, "there is a client"
    for client in found.values():
        service = client.meta.service_model.service_name
        assert longest(client) <= timeout(function) - MARGIN, (function, service)
