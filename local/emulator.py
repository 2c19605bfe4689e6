"""The emulator, told what it does not know of IAM, strict, and taking loopback as encrypted.

The template closes its buckets to whoever comes without TLS. Nothing of loopback leaves the
machine, and a certificate would have to be trusted by every client first. A client that says
otherwise by X-Forwarded-Proto is taken at its word.

Policies of AWS that the emulator does not know it refuses, or takes for one that allows everything,
which would make every role that has one all-powerful. So those that are needed are told to it, and
so is which cluster TerminateJobFlows ends, for the sweep may end those of its own stack alone.

What the nodes write comes with a checksum that it would work out in Python, byte by byte, while
everybody else waits: that is compiled.

DynamoDB takes and gives as much at once as `LIMITS` says, a file that may change: see `Rationed`.

Which rights roles have used, and which they lacked, it notes in a file that `ACCESS_LOG` names: so
a test can find those that nobody needs.
"""

import json
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import ministack.app
import numba
import numpy as np
from ministack.core import iam_actions, iam_evaluator
from ministack.services import dynamodb, emr, iam, s3

type Answer = tuple[int, dict[str, str], str | bytes]
type Handler = Callable[[dict[str, Any]], Answer]

UNIT = 1024  # bytes that a write unit writes
THROTTLED = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"
_emulator = ministack.app.app
# By name: what each allows. https://docs.aws.amazon.com/aws-managed-policy/latest/reference/
_POLICIES: dict[str, list[str]] = {
    "AWSXrayWriteOnlyAccess": [  # SAM gives it to functions that are traced
        "xray:PutTraceSegments",
        "xray:PutTelemetryRecords",
        "xray:GetSamplingRules",
        "xray:GetSamplingTargets",
        "xray:GetSamplingStatisticSummaries",
    ],
    "service-role/AmazonEMRServicePolicy_v2": [],  # EMR is played without its rights
}


async def _as_encrypted(
    scope: dict[str, Any], receive: Callable[..., Awaitable[Any]], send: Callable[..., Any]
) -> None:
    """The emulator's ASGI application, as if it stood behind a gateway that ends TLS."""
    headers = scope.get("headers", [])
    if scope["type"] == "http" and all(name != b"x-forwarded-proto" for name, _ in headers):
        scope = scope | {"headers": [*headers, (b"x-forwarded-proto", b"https")]}
    await _emulator(scope, receive, send)


def _know_policies() -> None:
    for name, actions in _POLICIES.items():
        allow = [{"Effect": "Allow", "Action": actions, "Resource": "*"}] if actions else []
        document = json.dumps({"Version": "2012-10-17", "Statement": allow})
        arn = f"{iam._AWS_MANAGED_POLICY_PREFIX}{name}"
        iam._aws_managed_policies[arn] = iam._make_aws_managed_record(name, document)


def _know_clusters() -> None:
    """Have TerminateJobFlows of one cluster judged by the cluster's ARN and tags."""
    arn_of, context_of = iam_actions.extract_resource_arn, iam_actions.request_tag_context

    def to_end(service: str, body: bytes) -> str | None:
        asked = json.loads(body).get("JobFlowIds", []) if service == "elasticmapreduce" else []
        return asked[0] if len(asked) == 1 else None

    def extract_resource_arn(service: str, method: str, path: str, headers: Any, body: bytes,
                             query: Any, region: str, account: str) -> Any:  # fmt: skip
        if cluster := to_end(service, body):
            return f"arn:aws:elasticmapreduce:{region}:{account}:cluster/{cluster}"
        return arn_of(service, method, path, headers, body, query, region, account)

    def request_tag_context(service: str, action: str, body: bytes, query: Any) -> Any:
        context = context_of(service, action, body, query)
        if cluster := to_end(service, body):
            tags = emr._clusters.get(cluster, {}).get("Tags", [])
            context |= {f"elasticmapreduce:ResourceTag/{tag['Key']}": tag["Value"] for tag in tags}
        return context

    iam_actions.extract_resource_arn = extract_resource_arn
    iam_actions.request_tag_context = request_tag_context


def _judge_strictly(log: Path) -> None:
    """Refuse who comes without a signature, and note what each role was let do and was denied.

    The emulator lets anybody into S3 who does not sign; none of our buckets is open to the world.

    Args:
        log: a line of JSON with ROLE/SESSION, action, ARN and whether it was allowed, each once.
    """
    judge, told = iam_evaluator.enforce, set()

    def enforce(key: str, action: str, service: str, region: str,
                resource_arn: str = "*", service_context: Any = None) -> Any:  # fmt: skip
        if service == "s3" and not key and iam_evaluator._signed_request.get() is None:
            return iam_evaluator.EvalResult("ImplicitDeny", "anonymous", "", "not signed")
        denied = judge(key, action, service, region, resource_arn, service_context)
        _, _, session = iam_evaluator.caller_arn().partition(":assumed-role/")
        judged = (session, action, resource_arn, denied is None)
        if session and judged not in told:
            told.add(judged)
            with log.open("a") as file:
                file.write(json.dumps(judged) + "\n")
        return denied

    iam_evaluator.enforce = enforce


def sum_quickly() -> None:
    """Compile the emulator's CRC64NVME, as it is: the same sums in a thirtieth of the time."""
    s3._CRC64NVME_TABLE = np.array(s3._CRC64NVME_TABLE, np.uint64)
    s3._CRC64NVME_INIT = np.uint64(s3._CRC64NVME_INIT)
    s3._crc64nvme = numba.njit(s3._crc64nvme)


class Rationed:
    """The emulator's batches, within limits.

    Attributes:
        limits: reads them: `keys` that one BatchGetItem answers, the others are UnprocessedKeys;
            `write_units` that BatchWriteItem takes a second, of all tables together, the others are
            UnprocessedItems. What is not there is not limited.
        clock: seconds.
    """

    def __init__(
        self, limits: Callable[[], Mapping[str, int]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limits, self.clock = limits, clock
        self._units, self._since = 0.0, clock()

    def reads(self, handler: Handler) -> Handler:
        """BatchGetItem that answers only some of its keys, any of them."""

        def batch_get(data: dict[str, Any]) -> Answer:
            keys, most = _all_of(data, "Keys"), self.limits().get("keys")
            if most is None or len(keys) <= most:
                return handler(data)
            given = set(random.sample(range(len(keys)), most))
            status, headers, body = handler(_with_keys(data, keys, given))
            if status != 200:
                return status, headers, body
            left = _with_keys(data, keys, set(range(len(keys))) - given)["RequestItems"]
            return status, headers, json.dumps(json.loads(body) | {"UnprocessedKeys": left})

        return batch_get

    def writes(self, handler: Handler) -> Handler:
        """BatchWriteItem that takes only what its write units suffice for."""

        def batch_write(data: dict[str, Any]) -> Answer:
            most = self.limits().get("write_units")
            if most is None:
                return handler(data)
            now = self.clock()
            self._units = min(self._units + (now - self._since) * most, most)
            self._since = now
            taken: dict[str, list[Any]] = {}
            left: dict[str, list[Any]] = {}
            for table, requests in data.get("RequestItems", {}).items():
                for request in requests:
                    units = 1 + len(json.dumps(request)) // UNIT
                    fits = units <= self._units
                    self._units -= units if fits else 0
                    (taken if fits else left).setdefault(table, []).append(request)
            if not taken and left:
                refusal = {"__type": THROTTLED, "message": "The level of configured throughput ..."}
                return 400, {"Content-Type": "application/x-amz-json-1.0"}, json.dumps(refusal)
            status, headers, body = handler(data | {"RequestItems": taken})
            if status != 200 or not left:
                return status, headers, body
            return status, headers, json.dumps(json.loads(body) | {"UnprocessedItems": left})

        return batch_write


def _all_of(data: dict[str, Any], member: str) -> list[tuple[str, Any]]:
    """What a batch asks for, each with its table."""
    items = data.get("RequestItems") or {}
    return [(table, each) for table, of in items.items() for each in of.get(member, [])]


def _with_keys(
    data: dict[str, Any], keys: list[tuple[str, Any]], wanted: set[int]
) -> dict[str, Any]:
    """A BatchGetItem for some of its keys alone."""
    items: dict[str, Any] = {}
    for place, (table, key) in enumerate(keys):
        if place in wanted:
            of = items.setdefault(table, data["RequestItems"][table] | {"Keys": []})
            of["Keys"].append(key)
    return data | {"RequestItems": items}


def read_limits(path: Path) -> Mapping[str, int]:
    """What the file has; no limits where there is none."""
    limits: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    return limits


if __name__ == "__main__":
    sum_quickly()
    _know_policies()
    _judge_strictly(Path(os.environ["ACCESS_LOG"]))
    rationed = Rationed(lambda: read_limits(Path(os.environ["LIMITS"])))
    dynamodb._batch_get_item = rationed.reads(dynamodb._batch_get_item)
    dynamodb._batch_write_item = rationed.writes(dynamodb._batch_write_item)
    _know_clusters()
    ministack.app.app = _as_encrypted
    ministack.app.main()
