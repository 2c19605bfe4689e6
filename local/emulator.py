"""Runs the emulator with patches that bring it closer to AWS.

- TLS: the template's buckets refuse requests without TLS. Loopback traffic never leaves the machine
  and TLS would require every client to trust a certificate. So a request counts as encrypted unless
  its X-Forwarded-Proto says otherwise.
- Managed policies: the emulator refuses unknown ones, or treats them as allowing everything, which
  would make every role with one an administrator. The ones in use are defined here.
- TerminateJobFlows: IAM sees the cluster's ARN and tags, because the sweeper may only terminate the
  clusters of its own stack.
- Checksums: the emulator computes CRC64NVME and CRC32C byte by byte in Python and blocks all other
  requests meanwhile. Amazon's own library takes a thousandth of the time.
- DynamoDB: the file `LIMITS`, which may change at any time, limits batches; see `BatchLimits`.
- IAM decisions: the actions that roles were allowed or denied are logged to the file `ACCESS_LOG`.
  Tests find permissions there that nobody needs.
- Functions: held to the memory and CPU share of their MemorySize if `LIMITS` says so; see
  lambda_limits.py.
"""

import json
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import ministack.app
from awscrt import checksums
from ministack.core import iam_actions, iam_evaluator
from ministack.services import dynamodb, emr, iam, s3

from local.lambda_limits import limit_functions

type Answer = tuple[int, dict[str, str], str | bytes]
type Handler = Callable[[dict[str, Any]], Answer]

UNIT = 1024  # bytes per write unit
THROTTLED = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"
_emulator = ministack.app.app
# The actions that each policy allows, by name. https://docs.aws.amazon.com/aws-managed-policy/latest/reference/
_POLICIES: dict[str, list[str]] = {
    "AWSXrayWriteOnlyAccess": [  # SAM attaches it to traced functions
        "xray:PutTraceSegments",
        "xray:PutTelemetryRecords",
        "xray:GetSamplingRules",
        "xray:GetSamplingTargets",
        "xray:GetSamplingStatisticSummaries",
    ],
    "service-role/AmazonEMRServicePolicy_v2": [],  # the fake EMR does not use its role
}


async def _as_encrypted(
    scope: dict[str, Any], receive: Callable[..., Awaitable[Any]], send: Callable[..., Any]
) -> None:
    """The emulator's ASGI application, as if behind a proxy that terminates TLS."""
    headers = scope.get("headers", [])
    if scope["type"] == "http" and all(name != b"x-forwarded-proto" for name, _ in headers):
        scope = scope | {"headers": [*headers, (b"x-forwarded-proto", b"https")]}
    await _emulator(scope, receive, send)


def _define_policies() -> None:
    for name, actions in _POLICIES.items():
        allow = [{"Effect": "Allow", "Action": actions, "Resource": "*"}] if actions else []
        document = json.dumps({"Version": "2012-10-17", "Statement": allow})
        arn = f"{iam._AWS_MANAGED_POLICY_PREFIX}{name}"
        iam._aws_managed_policies[arn] = iam._make_aws_managed_record(name, document)


def _authorize_by_cluster() -> None:
    """Make IAM evaluate TerminateJobFlows of one cluster by the cluster's ARN and tags."""
    arn_of, context_of = iam_actions.extract_resource_arn, iam_actions.request_tag_context

    def terminated(service: str, body: bytes) -> str | None:
        ids = json.loads(body).get("JobFlowIds", []) if service == "elasticmapreduce" else []
        return ids[0] if len(ids) == 1 else None

    def extract_resource_arn(service: str, method: str, path: str, headers: Any, body: bytes,
                             query: Any, region: str, account: str) -> Any:  # fmt: skip
        if cluster := terminated(service, body):
            return f"arn:aws:elasticmapreduce:{region}:{account}:cluster/{cluster}"
        return arn_of(service, method, path, headers, body, query, region, account)

    def request_tag_context(service: str, action: str, body: bytes, query: Any) -> Any:
        context = context_of(service, action, body, query)
        if cluster := terminated(service, body):
            tags = emr._clusters.get(cluster, {}).get("Tags", [])
            context |= {f"elasticmapreduce:ResourceTag/{tag['Key']}": tag["Value"] for tag in tags}
        return context

    iam_actions.extract_resource_arn = extract_resource_arn
    iam_actions.request_tag_context = request_tag_context


def _enforce_and_log(log: Path) -> None:
    """Refuse unsigned requests to S3, and log the actions that roles were allowed or denied.

    The emulator accepts unsigned requests to S3, but none of the template's buckets is public.

    Args:
        log: file for the decisions, one JSON line each: ROLE/SESSION, action, ARN, allowed or not.
    """
    evaluate, logged = iam_evaluator.enforce, set()

    def enforce(key: str, action: str, service: str, region: str,
                resource_arn: str = "*", service_context: Any = None) -> Any:  # fmt: skip
        if service == "s3" and not key and iam_evaluator._signed_request.get() is None:
            return iam_evaluator.EvalResult("ImplicitDeny", "anonymous", "", "not signed")
        denied = evaluate(key, action, service, region, resource_arn, service_context)
        _, _, session = iam_evaluator.caller_arn().partition(":assumed-role/")
        decision = (session, action, resource_arn, denied is None)
        if session and decision not in logged:
            logged.add(decision)
            with log.open("a") as file:
                file.write(json.dumps(decision) + "\n")
        return denied

    iam_evaluator.enforce = enforce


def use_fast_checksums() -> None:
    """Replace the emulator's checksums by those of Amazon's library; they have the same values."""
    s3._crc64nvme, s3._crc32c = checksums.crc64nvme, checksums.crc32c


class BatchLimits:
    """Limits for the emulator's batch operations.

    Attributes:
        limits: returns the current limits. `keys` per BatchGetItem: further ones are returned as
            UnprocessedKeys. `write_units` per second for BatchWriteItem, all tables together:
            further ones are returned as UnprocessedItems. A missing limit means unlimited.
        clock: returns the time in seconds.
    """

    def __init__(
        self, limits: Callable[[], Mapping[str, int]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limits, self.clock = limits, clock
        self._units, self._since = 0.0, clock()

    def limit_reads(self, handler: Handler) -> Handler:
        """Make BatchGetItem answer only a random part of its keys."""

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

    def limit_writes(self, handler: Handler) -> Handler:
        """Make BatchWriteItem write only as much as its write units allow."""

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
    """Return the members of a batch, each with its table."""
    items = data.get("RequestItems") or {}
    return [(table, each) for table, of in items.items() for each in of.get(member, [])]


def _with_keys(
    data: dict[str, Any], keys: list[tuple[str, Any]], wanted: set[int]
) -> dict[str, Any]:
    """Return a BatchGetItem reduced to some of its keys."""
    items: dict[str, Any] = {}
    for place, (table, key) in enumerate(keys):
        if place in wanted:
            of = items.setdefault(table, data["RequestItems"][table] | {"Keys": []})
            of["Keys"].append(key)
    return data | {"RequestItems": items}


def read_limits(path: Path) -> Mapping[str, int]:
    """Return the limits in a file; none if the file does not exist."""
    limits: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    return limits


if __name__ == "__main__":
    del os.environ["PYTHONPATH"]  # functions must find nothing but what their packages carry
    use_fast_checksums()
    _define_policies()
    _enforce_and_log(Path(os.environ["ACCESS_LOG"]))
    limits = partial(read_limits, Path(os.environ["LIMITS"]))
    limit_functions(limits)
    batch_limits = BatchLimits(limits)
    dynamodb._batch_get_item = batch_limits.limit_reads(dynamodb._batch_get_item)
    dynamodb._batch_write_item = batch_limits.limit_writes(dynamodb._batch_write_item)
    _authorize_by_cluster()
    ministack.app.app = _as_encrypted
    ministack.app.main()
