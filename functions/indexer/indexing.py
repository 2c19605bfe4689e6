"""Indexing of a run: check the manifest, load the parts, promote, remove the retired run."""

import json
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from itertools import batched
from typing import TYPE_CHECKING, Any, Literal

import index_table
import live_pointer
import quality_gate
import runs
from live_pointer import LivePointer
from quality_gate import HeldBackError, Limits
from runs import Run
from runs.diff import diff, to_item
from runs.item import RejectsItem
from runs.results import PartError, RunResults
from runs.states import ON_CLUSTER, State
from s3_keys import run_prefix
from spark.contracts import strength
from spark.contracts.manifest import REJECTS, Manifest, ManifestError, Part
from spark.contracts.quality import QualityError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

SQS_BATCH = 10  # maximum number of messages in a SendMessageBatch
# Seconds to read the results of two runs. With writing a part it is less than a function may run.
COMPARE_TIMEOUT = 50.0


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
        limits: of the quality gate.
        results: of the runs.
    """

    s3: "S3Client"
    sqs: "SQSClient"
    runs_table: "Table"
    index_table: "Table"
    bucket: str
    queue_url: str
    limits: Limits
    results: RunResults = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "results", RunResults(self.s3, self.bucket))

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
            manifest = self.results.manifest(run_id)
            self.results.lines(run_id, manifest.titles)
            found = self.results.quality(run_id, manifest)
        except (ManifestError, PartError, QualityError) as error:
            self._fail(run_id, str(error), now)
            return f"failed: {error}"
        quality = quality_gate.to_item(found) if found else None
        runs.advance(
            self.runs_table,
            run_id,
            State.INDEXING,
            now,
            only_from=ON_CLUSTER,
            counts=manifest.counts,
            rejects=rejects_of(manifest),
            rejects_uri=f"s3://{self.bucket}/{run_prefix(run_id)}{REJECTS}/",
            measure=manifest.measure,
            measures=list(manifest.measures),
            min_co_raters=int(manifest.parameters["min_co_raters"] or 0),
            min_score=str(manifest.parameters["min_score"]),
            titles=run_prefix(run_id) + manifest.titles.name,
            parts=len(manifest.neighbours),
            quality=quality,
            strength=strength.to_text(found.strength) if found else None,
            in_index=True,
        )
        run["counts"], run["quality"] = manifest.counts, quality
        run["rejects"] = rejects_of(manifest)
        try:
            self._check(run, live_pointer.read(self.index_table))
        except HeldBackError as error:
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
            lines = self.results.lines(task.run_id, part)
            index_table.write(self.index_table, task.run_id, lines)
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
                self.runs_table, self.index_table, run, now, partial(self._check_again, run)
            )
        except HeldBackError as error:  # another run went live meanwhile
            return self._hold_back(run["run_id"], str(error), now)
        if pointer.run_id != run["run_id"]:
            self._clear(run["run_id"])
            return f"superseded by {pointer.run_id}"
        if pointer.retired:
            self._clear(pointer.retired)
        return "live"

    def _check(self, run: Run, current: LivePointer | None) -> None:
        """Compare a run with the live run, and check whether it may replace it.

        Runs that an operator promoted pass; older runs are not compared, they will be superseded.

        Raises:
            HeldBackError: it may not.
        """
        by_hand = bool(run.get("promoted_by_hand"))
        live = found = None
        if current and current.run_id != run["run_id"]:
            if run["run_id"] < current.run_id and not by_hand:
                return
            live = runs.get(self.runs_table, current.run_id)
        if live:
            until = time.monotonic() + COMPARE_TIMEOUT
            found = diff(self.results.result(live, until), self.results.result(run, until))
            runs.set_attributes(self.runs_table, run["run_id"], comparison=to_item(found))
        if not by_hand and (why := quality_gate.reasons(run, live, found, self.limits)):
            raise HeldBackError("; ".join(why))

    def _check_again(self, run: Run, current: LivePointer | None) -> None:
        """Check a run whose parts are loaded, if another run than at first is live by now.

        Raises:
            HeldBackError: it may not replace that run.
        """
        before = run["comparison"]["before"]["run_id"] if "comparison" in run else None
        if (current.run_id if current else None) != before:
            self._check(run, current)

    def _hold_back(self, run_id: str, reason: str, now: datetime) -> str:
        self._fail(run_id, reason, now, held_back=True)
        return f"held back: {reason}"

    def _fail(self, run_id: str, reason: str, now: datetime, **fields: Any) -> None:
        runs.fail(self.runs_table, run_id, reason, now, **fields)
        self._clear(run_id)  # even if another function failed it: it may have died before this

    def _clear(self, run_id: str) -> None:
        """Send messages to remove a run's items; without a valid manifest they are unknown."""
        try:
            self._send("remove", run_id, self.results.manifest(run_id))
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
            index_table.remove(self.index_table, run_id, self.results.lines(run_id, part))
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


def rejects_of(manifest: Manifest) -> dict[str, RejectsItem]:
    """Return the malformed lines of each file that has any."""
    lines = manifest.dataset.get("lines", {})
    return {
        name: {"lines": lines.get(name, 0), "rejected": sum(kinds.values()), "kinds": kinds}
        for name, kinds in manifest.rejects.items()
        if any(kinds.values())
    }
