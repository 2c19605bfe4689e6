"""Indexing of a run: check the manifest, load the parts, promote, remove the retired run."""

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import batched
from typing import TYPE_CHECKING, Any, Literal

import index_table
import live_pointer
import quality_gate
import runs
from run_item import QualityItem
from runs import ON_CLUSTER, State
from s3_keys import manifest_key, run_prefix
from spark.contracts.manifest import Manifest, ManifestError, Part
from spark.contracts.quality import Quality, QualityError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

SQS_BATCH = 10  # maximum number of messages in a SendMessageBatch


@dataclass(frozen=True)
class PartTask:
    """The message for one part of a run's `neighbours/`.

    Attributes:
        action: `load` it into the index or `remove` it.
        run_id: the run.
        part: its entry in the manifest, as a dictionary.
    """

    action: Literal["load", "remove"]
    run_id: str
    part: dict[str, Any]


class PartError(Exception):
    """A part does not match its manifest; the message names the difference."""


@dataclass(frozen=True)
class Indexer:
    """Loads runs into the index.

    Attributes:
        s3: client.
        sqs: client.
        runs_table: the runs table.
        index_table: the index table.
        bucket: the results bucket.
        queue_url: URL of the queue of part tasks.
        max_loss: see `quality_gate.regression_reason`.
    """

    s3: "S3Client"
    sqs: "SQSClient"
    runs_table: "Table"
    index_table: "Table"
    bucket: str
    queue_url: str
    max_loss: float

    def start(self, run_id: str, now: datetime) -> str:
        """Check a run's manifest, catalogue and quality, and send one message per part.

        Returns:
            The outcome, for the log.
        """
        run = runs.get(self.runs_table, run_id)
        if run is not None and run["state"] in {State.FAILED, State.SUPERSEDED}:
            if run.get("in_index"):
                self._clear_again(run_id)
            return "ignored: the run has ended; items left in the index are removed"
        if run is None or run["state"] not in ON_CLUSTER | {State.INDEXING}:
            return "ignored: the run is not waiting for a result"
        try:
            manifest = self._manifest(run_id)
            self._read(run_id, manifest.titles)
            quality = self._quality(run_id, manifest)
        except (ManifestError, PartError, QualityError) as error:
            self._fail(run_id, str(error), now)
            return f"failed: {error}"
        runs.advance(
            self.runs_table,
            run_id,
            State.INDEXING,
            now,
            only_from=ON_CLUSTER,
            counts=manifest.counts,
            measure=manifest.measure,
            measures=list(manifest.measures),
            min_co_raters=int(manifest.parameters["min_co_raters"] or 0),
            min_score=str(manifest.parameters["min_score"]),
            titles=run_prefix(run_id) + manifest.titles.name,
            parts=len(manifest.neighbours),
            quality=quality,
            in_index=True,
        )
        run["quality"] = quality
        try:
            live_pointer.check_not_worse(
                self.runs_table, live_pointer.read(self.index_table), run, self.max_loss
            )
        except live_pointer.HeldBackError as error:
            return self._hold_back(run_id, str(error), now)
        self._send("load", run_id, manifest)
        return f"sent {len(manifest.neighbours)} parts"

    def process_part(self, task: PartTask, now: datetime) -> str:
        """Load or remove a part; the last loaded part promotes the run.

        Returns:
            The outcome, for the log.
        """
        part = Part(**task.part)
        if task.action == "remove":
            return self._remove(task.run_id, part)
        run = runs.get(self.runs_table, task.run_id)
        if run is None or run["state"] != State.INDEXING:
            self._clear_again(task.run_id)
            return "ignored: the run is not being indexed"
        try:
            index_table.write(self.index_table, task.run_id, self._read(task.run_id, part))
        except PartError as error:
            self._fail(task.run_id, str(error), now)
            return f"failed: {error}"
        run = runs.record_indexed_part(self.runs_table, task.run_id, part.name)
        if run["state"] != State.INDEXING:
            self._clear_again(task.run_id)  # removed before this part was written
            return "too late: the run's indexing has ended"
        done = len(run["parts_indexed"])
        if done < run["parts"]:
            return f"loaded, {done} of {run['parts']}"
        return self._promote(run, now)

    def _promote(self, run: runs.Run, now: datetime) -> str:
        try:
            pointer = live_pointer.promote(
                self.runs_table, self.index_table, run, now, self.max_loss
            )
        except live_pointer.HeldBackError as error:  # another run went live meanwhile
            return self._hold_back(run["run_id"], str(error), now)
        if pointer.run_id != run["run_id"]:
            self._clear(run["run_id"])
            return f"superseded by {pointer.run_id}"
        if pointer.retired:
            self._clear(pointer.retired)
        return "live"

    def _hold_back(self, run_id: str, reason: str, now: datetime) -> str:
        self._fail(run_id, reason, now, held_back=True)
        return f"held back: {reason}"

    def _fail(self, run_id: str, reason: str, now: datetime, **fields: Any) -> None:
        runs.fail(self.runs_table, run_id, reason, now, **fields)
        self._clear(run_id)  # even if another function failed it: it may have died before this

    def _clear(self, run_id: str) -> None:
        """Send messages to remove a run's items; without a valid manifest they are unknown."""
        try:
            self._send("remove", run_id, self._manifest(run_id))
        except ManifestError:
            runs.set_attributes(self.runs_table, run_id, in_index=False)

    def _clear_again(self, run_id: str) -> None:
        """Remove items again, in case the call that ended the indexing died before that."""
        pointer = live_pointer.read(self.index_table)
        if pointer is None or run_id not in (pointer.run_id, pointer.previous):
            self._clear(run_id)
        elif pointer.retired and run_id == pointer.run_id:
            self._clear(pointer.retired)

    def _remove(self, run_id: str, part: Part) -> str:
        pointer = live_pointer.read(self.index_table)
        if pointer and run_id in (pointer.run_id, pointer.previous):
            return "ignored: the run is live or the previous one"
        run = runs.get(self.runs_table, run_id)
        if run and run["state"] == State.INDEXING:
            return "ignored: the run is being reindexed"
        try:
            index_table.remove(self.index_table, run_id, self._read(run_id, part))
            outcome = "removed"
        except PartError as error:
            outcome = f"nothing to remove, the part was never loaded: {error}"
        runs.record_removed_part(self.runs_table, run_id, part.name)
        return outcome

    def _send(self, action: Literal["load", "remove"], run_id: str, manifest: Manifest) -> None:
        for parts in batched(manifest.neighbours, SQS_BATCH, strict=False):
            response = self.sqs.send_message_batch(
                QueueUrl=self.queue_url,
                Entries=[
                    {
                        "Id": str(number),
                        "MessageBody": json.dumps(asdict(PartTask(action, run_id, asdict(part)))),
                    }
                    for number, part in enumerate(parts)
                ],
            )
            if response.get("Failed"):
                raise RuntimeError(f"SQS rejected {len(response['Failed'])} part tasks")

    def _manifest(self, run_id: str) -> Manifest:
        try:
            response = self.s3.get_object(Bucket=self.bucket, Key=manifest_key(run_id))
        except self.s3.exceptions.NoSuchKey as error:
            raise ManifestError("manifest.json does not exist") from error
        manifest = Manifest.from_json(response["Body"].read())
        if not manifest.neighbours:
            raise ManifestError("manifest.json names no parts: there is nothing to index")
        return manifest

    def _quality(self, run_id: str, manifest: Manifest) -> QualityItem | None:
        """Read quality.json and convert it for the runs table."""
        if manifest.quality is None:
            return None
        return quality_gate.to_item(Quality.from_json(self._bytes(run_id, manifest.quality)))

    def _bytes(self, run_id: str, part: Part) -> bytes:
        """Read a part and check it against the manifest."""
        key = run_prefix(run_id) + part.name
        try:
            blob = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except self.s3.exceptions.NoSuchKey as error:
            raise PartError(f"{part.name} is in the manifest but not in S3") from error
        if hashlib.sha256(blob).hexdigest() != part.sha256:
            raise PartError(
                f"{part.name} does not match the manifest: {len(blob)} bytes with a different "
                f"SHA-256; {part.bytes} bytes expected"
            )
        return blob

    def _read(self, run_id: str, part: Part) -> Iterator[dict[str, Any]]:
        """Return the lines of a part after checking all of it.

        Decompresses it twice to save memory: with many neighbours a part has hundreds of megabytes.
        """
        blob = self._bytes(run_id, part)
        try:
            with gzip.open(io.BytesIO(blob)) as unpacked:
                lines = sum(1 for _ in unpacked)
        except (OSError, EOFError, zlib.error) as error:
            raise PartError(f"{part.name} is not a gzip file: {error}") from error
        if lines != part.records:
            raise PartError(f"{part.name} has {lines} lines; the manifest says {part.records}")
        return map(json.loads, gzip.GzipFile(fileobj=io.BytesIO(blob)))
