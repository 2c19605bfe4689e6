"""The operator's commands for finished runs: roll back, promote, rebuild the index, rerun."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import live_pointer
import runs
from runs import RunError
from runs.states import FINAL, State
from s3_keys import manifest_key, run_prefix
from spark.contracts.manifest import Manifest, ManifestError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient


@dataclass(frozen=True)
class Operations:
    """Runs the operator's commands; each method returns a message for the operator.

    Attributes:
        s3: client.
        sqs: client.
        runs_table: the runs table.
        index_table: the index table.
        index_queue_url: URL of the indexer's queue.
        launch_queue_url: URL of the launcher's queue.
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
        """Make the previous run live again, at once.

        Raises:
            RunError: there is no previous run.
        """
        pointer = live_pointer.roll_back(self.runs_table, self.index_table, now)
        return f"{pointer.run_id} is live again; {pointer.previous} is kept"

    def promote(self, run_id: str, now: datetime) -> str:
        """Make a run live that is superseded or was held back for its quality.

        The previous run goes live at once; any other run is indexed again first.

        Raises:
            RunError: the run or its result does not exist, or its state does not allow this.
        """
        pointer = live_pointer.read(self.index_table)
        if pointer and pointer.run_id == run_id:
            return f"{run_id} is already live"
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
        return f"{run_id} is being indexed and will then go live"

    def rebuild(self, now: datetime) -> str:
        """Index the live run again from the results bucket, after a loss of the index table.

        Raises:
            RunError: no run is live, or its result does not exist.
        """
        run = runs.newest_live(self.runs_table)
        if run is None:
            raise RunError(
                "the runs table has no LIVE run to index again; GET /runs lists all runs"
            )
        self._reindex(run["run_id"], State.LIVE, now)
        return f"{run['run_id']} is being indexed again from its result"

    def rerun(self, run_id: str) -> str:
        """Repeat a run with the same cluster request, input and code.

        Raises:
            RunError: the run does not exist, has not ended, or never requested a cluster.
        """
        run = self._run(run_id)
        if run["state"] not in FINAL:
            raise RunError(
                f"run {run_id} is {run['state']}; only a run that has ended can be rerun"
            )
        if "request" not in run:
            raise RunError(f"run {run_id} never requested a cluster: drop its folder again")
        self.sqs.send_message(
            QueueUrl=self.launch_queue_url, MessageBody=json.dumps({"rerun": run_id})
        )
        return f"a rerun of {run_id} has been requested"

    def _reindex(self, run_id: str, source: State, now: datetime) -> None:
        self._check_result(run_id)
        runs.reindex(self.runs_table, run_id, source, now)
        # Looks like S3's event of the manifest, so the indexer handles it in the same way.
        message = {"detail": {"object": {"key": manifest_key(run_id)}}}
        self.sqs.send_message(QueueUrl=self.index_queue_url, MessageBody=json.dumps(message))

    def _check_result(self, run_id: str) -> None:
        """Check that the result of a run exists, before the run leaves its state."""
        try:
            response = self.s3.get_object(Bucket=self.bucket, Key=manifest_key(run_id))
            manifest = Manifest.from_json(response["Body"].read())
        except self.s3.exceptions.NoSuchKey as error:
            raise RunError(f"the result of run {run_id} no longer exists") from error
        except ManifestError as error:
            raise RunError(f"the result of run {run_id} cannot be used: {error}") from error
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=run_prefix(run_id)
        )
        keys = {item["Key"] for page in pages for item in page.get("Contents", [])}
        parts = [part.name for part in (*manifest.neighbours, manifest.titles)]
        missing = [name for name in parts if run_prefix(run_id) + name not in keys]
        if missing:
            raise RunError(f"the result of run {run_id} lacks {', '.join(missing[:3])}")

    def _run(self, run_id: str) -> runs.Run:
        run = runs.get(self.runs_table, run_id)
        if run is None:
            raise RunError(f"run {run_id} does not exist")
        return run
