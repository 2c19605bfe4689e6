"""What an operator may do with finished runs: go back to the one before, promote one, rerun one."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import live
import runs
from layout import manifest_key
from runs import ENDED, RunError, State

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table
    from mypy_boto3_sqs import SQSClient


@dataclass(frozen=True)
class Promotion:
    """Carries out what an operator asks for.

    Attributes:
        sqs: client.
        runs_table: the runs table.
        index_table: the index table.
        index_queue_url: of the queue that the indexer works on.
        launch_queue_url: of the queue that the launcher works on.
    """

    sqs: "SQSClient"
    runs_table: "Table"
    index_table: "Table"
    index_queue_url: str
    launch_queue_url: str

    def roll_back(self, now: datetime) -> str:
        """Answer readers from the run before the live one, at once.

        Returns:
            What was done, for the operator; the same of the other methods.

        Raises:
            RunError: there is no such run.
        """
        pointer = live.roll_back(self.runs_table, self.index_table, now)
        return f"{pointer.run_id} is live again; {pointer.previous} is kept"

    def promote(self, run_id: str, now: datetime) -> str:
        """Make a superseded run live: at once where it is kept, else after it is indexed anew.

        Raises:
            RunError: the run is not there, or not superseded.
        """
        pointer = live.read(self.index_table)
        if pointer and pointer.run_id == run_id:
            return f"{run_id} is live already"
        run = self._run(run_id)
        if pointer and pointer.previous == run_id:
            return self.roll_back(now)
        if not runs.reindex(self.runs_table, run_id, now) and run["state"] != State.INDEXING:
            raise RunError(f"run {run_id} is {run['state']}; only a SUPERSEDED run can be promoted")
        # In the words of S3: the indexer takes it for the manifest's first event.
        message = {"detail": {"object": {"key": manifest_key(run_id)}}}
        self.sqs.send_message(QueueUrl=self.index_queue_url, MessageBody=json.dumps(message))
        return f"{run_id} is being indexed and goes live then"

    def rerun(self, run_id: str) -> str:
        """Have a run's cluster launched once more, as it was, on the same input and code.

        Raises:
            RunError: the run is not there, has not ended, or never came to a cluster.
        """
        run = self._run(run_id)
        if run["state"] not in ENDED:
            raise RunError(
                f"run {run_id} is {run['state']}; only a run that has ended can be rerun"
            )
        if "request" not in run:
            raise RunError(f"run {run_id} never asked for a cluster: drop its folder again")
        self.sqs.send_message(
            QueueUrl=self.launch_queue_url, MessageBody=json.dumps({"rerun": run_id})
        )
        return f"a rerun of {run_id} was asked for"

    def _run(self, run_id: str) -> runs.Run:
        run = runs.get(self.runs_table, run_id)
        if run is None:
            raise RunError(f"there is no run {run_id}")
        return run
