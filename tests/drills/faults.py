"""AWS that throttles, fails, is slow or loses responses: faults on the wire, below the SDK.

The SDK's own retries see them, as they see real ones; what it waits between them is noted and not
waited for.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import botocore.endpoint
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ReadTimeoutError

type Fault = Literal["throttled", "overrun", "broken", "slow down", "timed out", "answer lost"]

# HTTP status and code, for DynamoDB, SQS and EMR, and for S3.
JSON_FAULTS = {
    "throttled": (400, "ThrottlingException"),
    "overrun": (400, "ProvisionedThroughputExceededException"),
    "broken": (500, "InternalServerError"),
}
S3_FAULTS = {"broken": (500, "InternalError"), "slow down": (503, "SlowDown")}


@dataclass
class Weather:
    """The faults of a block.

    Attributes:
        faults: what may go wrong with each service or `service.Operation`.
        share: of the requests that it goes wrong with, 0 to 1.
        chance: decides.
        sent: requests per operation.
        hit: how many of them went wrong.
        most: the most requests that one call made of each operation.
        waits: seconds that the SDK waited, each.
    """

    faults: dict[str, list[Fault]]
    share: float = 0.5
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    hit: int = 0
    most: dict[str, int] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)

    def fault(self, service: str, operation: str) -> Fault | None:
        """Return the fault of a request, or None."""
        possible = self.faults.get(f"{service}.{operation}", self.faults.get(service, []))
        if not possible or self.chance.random() >= self.share:
            return None
        self.hit += 1
        return self.chance.choice(possible)


@contextmanager
def weather(now: Weather) -> Iterator[Weather]:
    """Inject the faults while the block runs."""
    answered: Callable = botocore.endpoint.Endpoint._do_get_response

    def answer(endpoint: Any, request: Any, operation: Any, context: dict) -> Any:
        service = operation.service_model.service_name
        attempt = context["retries"]["attempt"]
        now.most[operation.name] = max(now.most.get(operation.name, 0), attempt)
        fault = now.fault(service, operation.name)
        if fault in ("timed out", "answer lost"):
            if fault == "answer lost":
                answered(endpoint, request, operation, context)
            return None, ReadTimeoutError(endpoint_url=request.url)
        if fault:
            return _refusal(endpoint, request, operation, fault), None
        return answered(endpoint, request, operation, context)

    mine, really_sleep = threading.get_ident(), time.sleep

    def sleep(seconds: float) -> None:
        """Note a wait instead of taking it; other threads share the module, and do sleep."""
        if threading.get_ident() == mine:
            now.waits.append(seconds)
        else:
            really_sleep(seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.endpoint.Endpoint, "_do_get_response", answer)
        patch.setattr(botocore.endpoint.time, "sleep", sleep)
        yield now


def _refusal(endpoint: Any, request: Any, operation: Any, fault: Fault) -> tuple[Any, dict]:
    """An error response as the service sends it and the SDK parses it."""
    if operation.service_model.service_name == "s3":
        status, code = S3_FAULTS[fault]
        body = f"<Error><Code>{code}</Code><Message>by the drill</Message></Error>"
    else:
        status, code = JSON_FAULTS[fault]
        body = f'{{"__type": "{code}", "message": "by the drill"}}'
    response = AWSResponse(request.url, status, {}, None)
    response._content = body.encode()
    protocol = operation.service_model.resolved_protocol
    parser = endpoint._response_parser_factory.create_parser(protocol)
    read = {"status_code": status, "headers": {}, "body": body.encode()}
    return response, parser.parse(read, operation.output_shape)
