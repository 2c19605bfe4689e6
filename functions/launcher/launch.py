"""The steps of a launch; each is idempotent, so a launch can be repeated after a crash."""

import importlib.util
import io
import json
import py_compile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError

import run_claims
import runs
from cost import BudgetError, check_budget, estimate
from datasets import (
    Dataset,
    DatasetFile,
    Folder,
    dataset,
    dataset_files,
    fingerprints_of,
    is_plain,
    list_files,
)
from instance_types import UnknownInstanceTypeError
from launcher import intake, unpacking
from launcher.cluster_request import (
    BOOTSTRAP,
    JOB,
    PACKAGE,
    ClusterSettings,
    cluster_name,
    cluster_request,
    cluster_size,
    find_cluster,
    idle_seconds,
    log_uri,
    security_configuration,
    security_configuration_name,
)
from launcher.intake import IntakeError, lasting_error
from run_claims import Launch, Resume, Skip
from run_states import BEFORE_LAUNCH, FINAL, State
from runs import Run, parse_time
from s3_keys import code_prefix, environment_key, input_prefix
from spark.contracts.movielens import DatasetError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table
    from mypy_boto3_emr import EMRClient
    from mypy_boto3_s3 import S3Client

# Longer than LauncherFunction's timeout, so a lease never ends while its owner is running.
LEASE = timedelta(minutes=4)
JOB_FOLDER = Path(__file__).parent.parent / "spark"
# Error codes with which EMR rejects the request itself: a retry cannot succeed.
REFUSAL_CODES = frozenset(
    {"ValidationException", "InvalidRequestException", "AccessDeniedException"}
)
THROTTLED = frozenset({"ThrottlingException", "Throttling"})
# Longest seconds until the next request after 0, 1, 2... throttled ones.
THROTTLE_DELAYS = (5, 10, 20, 40, 80, 160, 300)
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


@dataclass(frozen=True)
class PreparedRun:
    """A run whose cluster can be requested.

    Attributes:
        request: the RunJobFlow request.
        ratings_bytes: size of the ratings file.
        intake: the findings of the intake check, one per file.
    """

    request: dict[str, Any]
    ratings_bytes: int
    intake: list[dict[str, Any]]


class EnvironmentMissingError(Exception):
    """The archive of the job's native dependencies is missing; the message says what to do."""


class ClusterRefusedError(Exception):
    """EMR rejected the cluster request; the message is EMR's."""


class ThrottledError(Exception):
    """EMR throttles the launch of a run; no cluster was requested.

    Attributes:
        run_id: the run.
    """

    def __init__(self, run_id: str, operation: str) -> None:
        super().__init__(f"EMR throttles {operation}")
        self.run_id = run_id


def package() -> bytes:
    """Build the zip of the job's package, which YARN unpacks for driver and executors.

    It includes bytecode, which Python does not check against the sources. YARN unpacks the zip into
    a read-only folder, so without it every Python process would compile every module.
    """
    blob = io.BytesIO()
    with (
        zipfile.ZipFile(blob, "w", zipfile.ZIP_DEFLATED) as archive,
        tempfile.TemporaryDirectory() as scratch,
    ):
        for path in sorted(JOB_FOLDER.rglob("*.py")):
            if path.name == JOB:
                continue
            name = path.relative_to(JOB_FOLDER.parent).as_posix()
            compiled = Path(scratch) / "module.pyc"
            py_compile.compile(
                str(path),
                str(compiled),
                name,
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
            archive.writestr(zipfile.ZipInfo(name), path.read_bytes())
            cached = importlib.util.cache_from_source(name)
            archive.writestr(zipfile.ZipInfo(cached), compiled.read_bytes())
    return blob.getvalue()


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
        return self._start(decision.run, lambda: self._new_request(decision.run["run_id"], folder))

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
        current = run_claims.for_dataset(self.runs_table, original["fingerprint"]) or original
        is_ours = (
            current.get("rerun_of") == run_id and parse_time(current["created_at"]) > requested_at
        )
        if is_ours:
            decision = run_claims.decide(current, requested_at, now)
            if not isinstance(decision, Resume) or not run_claims.take_over(
                self.runs_table, current, now, LEASE
            ):
                return Outcome("skipped", current["run_id"])
        elif current["state"] not in FINAL:
            return Outcome("skipped", current["run_id"])
        else:
            fingerprint, folder = original["fingerprint"], original["folder"]
            made = run_claims.claim(
                self.runs_table, fingerprint, folder, current, now, LEASE, rerun_of=run_id
            )
            if made is None:
                return Outcome("skipped", current["run_id"])
            current = made
        return self._start(current, lambda: self._cloned_request(current["run_id"], original))

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
        if not run_claims.take_over(self.runs_table, run, now, LEASE):
            return Outcome("skipped", run_id)
        try:
            cluster_id = self._cluster(run, json.loads(run["request"]))
        except PERMANENT_ERRORS as error:
            return self._failed(run_id, error)
        return self._launched(run_id, cluster_id)

    def _start(self, run: Run, prepare: Callable[[], PreparedRun]) -> Outcome:
        """Prepare a run that this launcher has leased, and launch its cluster."""
        run_id: str = run["run_id"]
        try:
            self._check_environment()
            prepared = prepare()
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
            cluster_id = self._cluster(run, prepared.request)
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

    def _new_request(self, run_id: str, folder: Folder) -> PreparedRun:
        """Check a folder, copy it and the code under the run's prefix, and build the request."""
        with unpacking.opened(self.s3, folder) as source:
            data = dataset(source.folder)
            can_be_copied = data.is_plain and not folder.is_archive
            if can_be_copied:  # so a bad file is not even copied
                findings = intake.check(self.s3, data)
            for name, files in data.sources.items():
                self._write_input(input_prefix(run_id) + name, source, files)
        own = self._own_input(run_id, data)
        if not can_be_copied:
            findings = intake.check(self.s3, own)
        self._put_code(run_id)
        size = own.ratings.size
        request = cluster_request(self.settings, run_id, size)
        return PreparedRun(request, size, [asdict(each) for each in findings])

    def _cloned_request(self, run_id: str, original: Run) -> PreparedRun:
        """Copy another run's input and code, and rename its request for the new run.

        Raises:
            DatasetError: the input or code of the original run no longer exists.
        """
        bucket, size = self.settings.results_bucket, 0
        for old, new in (
            (input_prefix(original["run_id"]), input_prefix(run_id)),
            (code_prefix(original["run_id"]), code_prefix(run_id)),
        ):
            objects = self.s3.list_objects_v2(Bucket=bucket, Prefix=old).get("Contents", [])
            if not objects:
                raise DatasetError(f"s3://{bucket}/{old} no longer exists: drop the folder again")
            for each in objects:
                source: Any = {"Bucket": bucket, "Key": each["Key"]}
                key = new + each["Key"].removeprefix(old)
                self.s3.copy_object(
                    Bucket=bucket, Key=key, CopySource=source, TaggingDirective="REPLACE"
                )
                size = max(size, each["Size"])
        request = json.loads(original["request"].replace(original["run_id"], run_id))
        return PreparedRun(request, size, original.get("intake", []))

    def _claim(self, folder: Folder, dropped_at: datetime) -> Resume | Skip:
        """Claim or take over the run of a folder, or skip it because another launcher has it."""
        fingerprints = fingerprints_of(dataset_files(folder))
        while True:
            now = datetime.now(UTC)
            known = run_claims.for_dataset(self.runs_table, *fingerprints)
            decision = run_claims.decide(known, dropped_at, now)
            match decision:
                case Skip():
                    return decision
                case Resume(run):
                    if run_claims.take_over(self.runs_table, run, now, LEASE):
                        return decision
                case Launch(failed):
                    # A failed run may be known by its ETags.
                    fingerprint = failed["fingerprint"] if failed else fingerprints[0]
                    made = run_claims.claim(
                        self.runs_table, fingerprint, folder.name, failed, now, LEASE
                    )
                    if made is not None:
                        return Resume(made)
            # Another launcher was faster: decide again with its run.

    def _check_environment(self) -> None:
        """Check that the archive of the job's native dependencies exists."""
        bucket, key = self.settings.results_bucket, environment_key(self.settings.environment)
        try:
            self.s3.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] != "404":
                raise
            raise EnvironmentMissingError(
                f"the job's environment s3://{bucket}/{key} does not exist: run "
                f"`make environment STACK={self.settings.stack}` to build and upload it"
            ) from error

    def _own_input(self, run_id: str, data: Dataset) -> Dataset:
        """Return the run's own copy of a data set."""
        bucket, prefix = self.settings.results_bucket, input_prefix(run_id)
        copied = list_files(self.s3, bucket, prefix)
        files = tuple(file for file in copied if file.stands_for in data.sources)
        return dataset(Folder(bucket, prefix, files))

    def _write_input(
        self, key: str, source: unpacking.Source, files: tuple[DatasetFile, ...]
    ) -> None:
        """Write a file of the input under the run's prefix: a copy, or what is in a packed one."""
        bucket, (file, *_) = self.settings.results_bucket, files
        if not file.etag or not is_plain(files):  # a zip's member has no ETag
            unpacking.unpack(self.s3, source, files, bucket, key)
            return
        if file.size > unpacking.MAX_FILE:
            raise DatasetError(f"{file.name} has {file.size} bytes; the limit is 5 GiB")
        try:
            self.s3.copy_object(
                Bucket=bucket,
                Key=key,
                CopySource={"Bucket": source.folder.bucket, "Key": file.key},
                CopySourceIfMatch=file.etag,
                # Copying object tags would require further permissions.
                TaggingDirective="REPLACE",
            )
        except ClientError as error:
            raise lasting_error(error, file) or error from error

    def _put_code(self, run_id: str) -> None:
        """Write the job's code under the run's prefix."""
        files = {name: (JOB_FOLDER / name).read_bytes() for name in (JOB, BOOTSTRAP)}
        for name, body in {PACKAGE: package(), **files}.items():
            self.s3.put_object(
                Bucket=self.settings.results_bucket, Key=code_prefix(run_id) + name, Body=body
            )

    def _cluster(self, run: Run, request: dict[str, Any]) -> str:
        """Return the id of the run's cluster: an existing one, or a new one."""
        try:
            return self._find_or_request(run, request)
        except ClientError as error:
            if error.response["Error"]["Code"] in THROTTLED:
                raise ThrottledError(run["run_id"], error.operation_name) from error
            raise

    def _find_or_request(self, run: Run, request: dict[str, Any]) -> str:
        name = cluster_name(self.settings.stack, run["run_id"])
        failed = run.get("failed_start", {}).get("cluster_id")
        found = find_cluster(self.emr, name, parse_time(run["created_at"]), excluding=failed)
        if found:
            return found
        self._ensure_security_configuration()
        try:
            response = self.emr_once.run_job_flow(**request)
        except ClientError as error:
            refusal = error.response["Error"]
            if refusal["Code"] not in REFUSAL_CODES:
                raise
            raise ClusterRefusedError(
                f"EMR refused the cluster: {refusal['Code']}: {refusal['Message']}"
            ) from error
        return response["JobFlowId"]

    def _ensure_security_configuration(self) -> None:
        """Create the security configuration that the request names, unless it exists."""
        name = security_configuration_name(self.settings)
        try:
            self.emr.create_security_configuration(
                Name=name, SecurityConfiguration=security_configuration(self.settings)
            )
        except self.emr.exceptions.InvalidRequestException:
            self.emr.describe_security_configuration(
                Name=name
            )  # raises an error if it does not exist
