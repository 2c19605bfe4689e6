"""Delivers EMR's events: finds the matching rules of EventBridge and calls their targets.

Like AWS, the emulator refuses PutEvents for aws.* sources. So this module lists the emulator's
rules, matches them with TestEventPattern, and calls the targets itself.
"""

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from local.access import ACCOUNT, REGION, Access


def event(detail_type: str, detail: Mapping[str, str], at: datetime) -> dict[str, Any]:
    """Return an event of EMR in EventBridge's envelope."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": detail_type,
        "source": "aws.emr",
        "account": ACCOUNT,
        "time": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [],
        "detail": dict(detail),
    }


def deliver(access: Access, event: Mapping[str, Any]) -> None:
    """Call all targets of all enabled rules that match an event.

    Raises:
        ValueError: a target is neither a function nor a queue.
    """
    events = access.client("events")
    text = json.dumps(event)
    for page in events.get_paginator("list_rules").paginate():
        for rule in page["Rules"]:
            pattern = rule.get("EventPattern")
            if rule["State"] != "ENABLED" or not pattern:
                continue
            if events.test_event_pattern(EventPattern=pattern, Event=text)["Result"]:
                for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
                    _call(access, target["Arn"], text)


def _call(access: Access, arn: str, text: str) -> None:
    service = arn.split(":")[2]
    if service == "lambda":
        access.client("lambda").invoke(FunctionName=arn, InvocationType="Event", Payload=text)
    elif service == "sqs":
        sqs = access.client("sqs")
        url = sqs.get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody=text)
    else:
        raise ValueError(f"the local cloud delivers events to functions and queues only: {arn}")
