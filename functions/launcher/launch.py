"""The steps of a launch; each is idempotent, so a launch can be repeated after a crash."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

import runs
from cost import BudgetError, check_budget, estimate
from datasets import Folder, dataset_files, fingerprints_of
from instance_types import UnknownInstanceTypeError
from launcher.cluster_request import ClusterSettings, cluster_size, idle_seconds, log_uri
from launcher.clusters import ClusterRefusedError, launch_cluster
from launcher.intake import IntakeError
from launcher.preparation import (
    EnvironmentMissingError,
    PreparedRun,
    check_environment,
    prepare,
    prepare_again,
)
from runs import Run, claims, parse_time
from runs.claims import Launch, Resume, Skip
from runs.states import BEFORE_LAUNCH, FINAL, State
from spark.contracts.movielens import DatasetError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table
    from mypy_boto3_emr import EMRClient
    from mypy_boto3_s3 import S3Client

# Longer than LauncherFunction's timeout, so a lease never ends while its owner is running.
LEASE = timedelta(minutes=4)
CLOCK_DIFFERENCE = timedelta(seconds=5)  # at most, between two functions


@dataclass(frozen=True)
class Outcome:
    """The outcome of a launch.

    Attributes:
        action: `launched` a cluster, `failed` the run, or `skipped` a data set that has a run.
        run_id: the run.
    """

    action: Literal["launched", "failed", "skipped"]
    run_id: str


# Errors that a retry cannot fix: the run fails with the reason before it costs anything.
PERMANENT_ERRORS = (
    DatasetError,
    EnvironmentMissingError,
    ClusterRefusedError,
    BudgetError,
    UnknownInstanceTypeError,
)


@dataclass(frozen=True)
class Launcher:
    """Launches clusters.

    Attributes:
        s3: client.
        emr: client.
        emr_once: client without retries.
        runs_table: the runs table.
        settings: settings of clusters and job.
    """

    s3: "S3Client"
    emr: "EMRClient"
    emr_once: "EMRClient"
    runs_table: "Table"
    settings: ClusterSettings

    def launch(self, folder: Folder, dropped_at: datetime) -> Outcome:
        """Launch a run for a complete folder, unless it has one.

        Args:
            folder: a complete, settled folder.
            dropped_at: when the file of the event arrived.

        Raises:
            botocore.exceptions.ClientError: AWS failed; the message must be redelivered.
        """
        decision = self._claim(folder, dropped_at)
        if isinstance(decision, Skip):
            return Outcome("skipped", decision.run["run_id"])
        return self._start(
            decision.run, lambda run_id: prepare(self.s3, self.settings, run_id, folder)
        )

    def rerun(self, run_id: str, requested_at: datetime) -> Outcome:
        """Repeat a run that has ended as a new run with the same input and code.

        Args:
            run_id: the run to repeat.
            requested_at: when the operator requested it; a duplicate request starts no other run.

        Raises:
            botocore.exceptions.ClientError: AWS failed; the message must be redelivered.
        """
        original = runs.get(self.runs_table, run_id)
        if original is None or "request" not in original:
            return Outcome("skipped", run_id)
        now = datetime.now(UTC)
        current = claims.for_dataset(self.runs_table, original["fingerprint"]) or original
        is_ours = (
            current.get("rerun_of") == run_id and parse_time(current["created_at"]) > requested_at
        )
        if is_ours:
            decision = claims.decide(current, requested_at, now)
            if not isinstance(decision, Resume) or not claims.take_over(
                self.runs_table, current, now, LEASE
            ):
                return Outcome("skipped", current["run_id"])
        elif current["state"] not in FINAL:
            return Outcome("skipped", current["run_id"])
        else:
            fingerprint, folder = original["fingerprint"], original["folder"]
            made = claims.claim(
                self.runs_table, fingerprint, folder, current, now, LEASE, rerun_of=run_id
            )
            if made is None:
                return Outcome("skipped", current["run_id"])
            current = made
        return self._start(
            current, lambda run_id: prepare_again(self.s3, self.settings, run_id, original)
        )

    def launch_second_cluster(self, run_id: str) -> Outcome:
        """Launch the second cluster of a run whose first one failed to start; never a third.

        Args:
            run_id: the run.

        Raises:
            botocore.exceptions.ClientError: AWS failed; the message must be redelivered.
        """
        run = runs.get(self.runs_table, run_id)
        if run is None or "failed_start" not in run:
            return Outcome("skipped", run_id)
        return self._launch_again(run)

    def resume(self, run_id: str) -> Outcome:
        """Launch the cluster of a run that EMR has throttled.

        Args:
            run_id: the run.

        Raises:
            ThrottledError: EMR still throttles it.
            botocore.exceptions.ClientError: AWS failed; the message must be redelivered.
        """
        run = runs.get(self.runs_table, run_id)
        return self._launch_again(run) if run else Outcome("skipped", run_id)

    def _launch_again(self, run: Run) -> Outcome:
        """Launch the cluster of a run whose request is ready."""
        run_id, now = run["run_id"], datetime.now(UTC)
        is_ready = run["state"] == State.LAUNCHING and "request" in run
        if not is_ready or now < parse_time(run["lease_until"]) - CLOCK_DIFFERENCE:
            return Outcome("skipped", run_id)
        if not claims.take_over(self.runs_table, run, now, LEASE):
            return Outcome("skipped", run_id)
        try:
            cluster_id = launch_cluster(
                self.emr, self.emr_once, self.settings, run, json.loads(run["request"])
            )
        except PERMANENT_ERRORS as error:
            return self._failed(run_id, error)
        return self._launched(run_id, cluster_id)

    def _start(self, run: Run, prepare_run: Callable[[str], PreparedRun]) -> Outcome:
        """Prepare a run that this launcher has leased, and launch its cluster."""
        run_id: str = run["run_id"]
        try:
            check_environment(self.s3, self.settings)
            prepared = prepare_run(run_id)
            instance_type, nodes = cluster_size(prepared.request)
            idle = idle_seconds(prepared.request)
            expected = estimate(instance_type, nodes, prepared.ratings_bytes, idle)
            check_budget(expected, self.settings.max_run_cost)
            runs.advance(
                self.runs_table,
                run_id,
                State.LAUNCHING,
                datetime.now(UTC),
                request=json.dumps(prepared.request),
                estimated_cost=expected.to_item(),
                intake=prepared.intake,
                instance_type=instance_type,
                nodes=nodes,
            )
            cluster_id = launch_cluster(
                self.emr, self.emr_once, self.settings, run, prepared.request
            )
        except PERMANENT_ERRORS as error:
            return self._failed(run_id, error)
        return self._launched(run_id, cluster_id)

    def _failed(self, run_id: str, error: Exception) -> Outcome:
        """Fail a run that cannot be launched."""
        report = error.findings if isinstance(error, IntakeError) else None
        fields = {"intake": [asdict(each) for each in report]} if report else {}
        now = datetime.now(UTC)
        runs.fail(self.runs_table, run_id, str(error), now, BEFORE_LAUNCH, **fields)
        return Outcome("failed", run_id)

    def _launched(self, run_id: str, cluster_id: str) -> Outcome:
        """Record the cluster of a run."""
        runs.advance(
            self.runs_table,
            run_id,
            State.STARTING,
            datetime.now(UTC),
            cluster_id=cluster_id,
            log_uri=log_uri(self.settings, run_id),
        )
        return Outcome("launched", run_id)

    def _claim(self, folder: Folder, dropped_at: datetime) -> Resume | Skip:
        """Claim or take over the run of a folder, or skip it because another launcher has it."""
        fingerprints = fingerprints_of(dataset_files(folder))
        while True:
            now = datetime.now(UTC)
            known = claims.for_dataset(self.runs_table, *fingerprints)
            decision = claims.decide(known, dropped_at, now)
            match decision:
                case Skip():
                    return decision
                case Resume(run):
                    if claims.take_over(self.runs_table, run, now, LEASE):
                        return decision
                case Launch(failed):
                    # A failed run may be known by its ETags.
                    fingerprint = failed["fingerprint"] if failed else fingerprints[0]
                    made = claims.claim(
                        self.runs_table, fingerprint, folder.name, failed, now, LEASE
                    )
                    if made is not None:
                        return Resume(made)
            # Another launcher was faster: decide again with its run.
