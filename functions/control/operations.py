"""What an operator may do with finished runs: roll back, promote, rebuild the index, rerun."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import live_pointer
import runs
from runs import FINAL, RunError, State
from s3_keys import manifest_key, run_prefix
from spark.contracts.manifest import Manifest, ManifestError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient


@dataclass(frozen=True)
class Operations:
    """Carries out what an operator asks for.

    Attributes:
        s3: client.
        sqs: client.
        runs_table: the runs table.
        index_table: the index table.
        index_queue_url: of the queue that the indexer works on.
        launch_queue_url: of the queue that the launcher works on.
        bucket: the results bucket.
    """

    s3: "S3Client"
    sqs: "SQSClient"
    runs_table: "Table"
    index_table: "Table"
    index_queue_url: str
    launch_queue_url: str
    bucket: str

    def roll_back(self, now: datetime) -> str:
        """Answer readers from the run before the live one, at once.

        Returns:
            What was done, for the operator; the same of the other methods.

        Raises:
            RunError: there is no such run.
        """
        pointer = live_pointer.roll_back(self.runs_table, self.index_table, now)
        return f"{pointer.run_id} is live again; {pointer.previous} is kept"

    def promote(self, run_id: str, now: datetime) -> str:
        """Make a run live that is superseded or was held back for its quality.

        At once where it is kept, else after it is indexed anew.

        Raises:
            RunError: the run or its result is not there, or it is in no state for it.
        """
        pointer = live_pointer.read(self.index_table)
        if pointer and pointer.run_id == run_id:
            return f"{run_id} is live already"
        run = self._run(run_id)
        if pointer and pointer.previous == run_id:
            return self.roll_back(now)
        is_held_back = run["state"] == State.FAILED and run.get("held_back")
        if run["state"] not in {State.SUPERSEDED, State.INDEXING} and not is_held_back:
            raise RunError(
                f"run {run_id} is {run['state']}; only a run that is SUPERSEDED or was held back "
                "can be promoted"
            )
        self._reindex(run_id, State.FAILED if is_held_back else State.SUPERSEDED, now)
        return f"{run_id} is being indexed and goes live then"

    def rebuild(self, now: datetime) -> str:
        """Index the live run anew from the results bucket, as after the loss of the index table.

        Raises:
            RunError: no run is live, or its result is not there.
        """
        run = runs.newest_live(self.runs_table)
        if run is None:
            raise RunError("the runs table has no LIVE run to index anew; GET /runs lists them")
        self._reindex(run["run_id"], State.LIVE, now)
        return f"{run['run_id']} is being indexed anew from its result"

    def rerun(self, run_id: str) -> str:
        """Have a run's cluster launched once more, as it was, on the same input and code.

        Raises:
            RunError: the run is not there, has not ended, or never came to a cluster.
        """
        run = self._run(run_id)
        if run["state"] not in FINAL:
            raise RunError(
                f"run {run_id} is {run['state']}; only a run that has ended can be rerun"
            )
        if "request" not in run:
            raise RunError(f"run {run_id} never asked for a cluster: drop its folder again")
        self.sqs.send_message(
            QueueUrl=self.launch_queue_url, MessageBody=json.dumps({"rerun": run_id})
        )
        return f"a rerun of {run_id} was asked for"

    def _reindex(self, run_id: str, source: State, now: datetime) -> None:
        self._check_result(run_id)
        runs.reindex(self.runs_table, run_id, source, now)
        # In the words of S3: the indexer takes it for the manifest's first event.
        message = {"detail": {"object": {"key": manifest_key(run_id)}}}
        self.sqs.send_message(QueueUrl=self.index_queue_url, MessageBody=json.dumps(message))

    def _check_result(self, run_id: str) -> None:
        """See that a run's result is there, before the run leaves the state that it is in."""
        try:
            answer = self.s3.get_object(Bucket=self.bucket, Key=manifest_key(run_id))
            manifest = Manifest.from_json(answer["Body"].read())
        except self.s3.exceptions.NoSuchKey as error:
            raise RunError(f"the result of run {run_id} is not there any more") from error
        except ManifestError as error:
            raise RunError(f"the result of run {run_id} cannot be used: {error}") from error
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=run_prefix(run_id)
        )
        there = {item["Key"] for page in pages for item in page.get("Contents", [])}
        parts = [part.name for part in (*manifest.neighbours, manifest.titles)]
        gone = [name for name in parts if run_prefix(run_id) + name not in there]
        if gone:
            raise RunError(f"of the result of run {run_id} {', '.join(gone[:3])} is not there")

    def _run(self, run_id: str) -> runs.Run:
        run = runs.get(self.runs_table, run_id)
        if run is None:
            raise RunError(f"there is no run {run_id}")
        return run
