"""Runs the operator's commands: rollback, promote, rebuild, rerun.

Invoked directly, for example by `make rollback`, with `{"command": ..., "run_id": ...}`. Permission
to invoke this function allows these commands and nothing else.
"""

import os
from datetime import UTC, datetime
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from clients import BOUNDED
from control.operations import Operations
from runs import RunError
from s3_keys import is_run_id

logger = Logger()
dynamodb = boto3.resource("dynamodb", config=BOUNDED)
operations = Operations(
    s3=boto3.client("s3", config=BOUNDED),
    sqs=boto3.client("sqs", config=BOUNDED),
    runs_table=dynamodb.Table(os.environ["RUNS_TABLE"]),
    index_table=dynamodb.Table(os.environ["INDEX_TABLE"]),
    index_queue_url=os.environ["INDEX_QUEUE_URL"],
    launch_queue_url=os.environ["LAUNCH_QUEUE_URL"],
    bucket=os.environ["RESULTS_BUCKET"],
)


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, str]:  # noqa: ARG001
    """Run a command; returns `done` or `refused` with a message for the operator."""
    command, run_id = event.get("command"), event.get("run_id")
    logger.info("command received", command=command, run_id=run_id)
    try:
        return {"done": carry_out(command, run_id)}
    except RunError as error:
        logger.warning("refused", reason=str(error))
        return {"refused": str(error)}


def carry_out(command: object, run_id: object) -> str:
    """Run one command.

    Raises:
        RunError: the command is refused; the message says why.
    """
    now = datetime.now(UTC)
    if command == "rollback":
        return operations.roll_back(now)
    if command == "rebuild":
        return operations.rebuild(now)
    if command not in {"promote", "rerun"}:
        raise RunError(f"unknown command {command!r}: use rollback, promote, rebuild or rerun")
    if not isinstance(run_id, str) or not is_run_id(run_id):
        raise RunError(f"{run_id!r} is not a run id; GET /runs lists them")
    return operations.promote(run_id, now) if command == "promote" else operations.rerun(run_id)
