"""What a launch is, step by step; each step may be repeated after a crash without harm."""

import io
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import ClientError

import intake
import runs
from cluster import (
    JOB,
    MODULES,
    ClusterSettings,
    cluster_name,
    cluster_request,
    find_cluster,
    log_uri,
)
from datasets import Dataset, Folder, dataset, files_that_matter, fingerprint
from layout import code_prefix, environment_key, input_prefix
from runs import BEFORE_LAUNCH, Launch, Resume, Skip, State, parse_time
from spark.movielens import DatasetError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table
    from mypy_boto3_emr import EMRClient
    from mypy_boto3_s3 import S3Client

# Longer than the function may run (LauncherFunction's Timeout), so that a lease never ends while
# its owner lives.
LEASE = timedelta(minutes=4)
JOB_FOLDER = Path(__file__).parent / "spark"
MAX_COPY = 5 * 2**30  # bytes; what one CopyObject takes
# What EMR answers when it does not take the request as it is: asking again cannot help.
REFUSALS = frozenset({"ValidationException", "InvalidRequestException", "AccessDeniedException"})


@dataclass(frozen=True)
class Outcome:
    """What became of a drop.

    Attributes:
        action: `launched` a cluster, `failed` the run, `skipped` a data set that has its run.
        run_id: the run.
    """

    action: Literal["launched", "failed", "skipped"]
    run_id: str


class EnvironmentMissingError(Exception):
    """The archive of the job's native dependencies is not on S3; the message says what to do."""


class ClusterRefusedError(Exception):
    """EMR does not take a cluster request; the message is EMR's."""


def modules_zip() -> bytes:
    """The job's modules as a zip for --py-files; the same modules give the same bytes."""
    blob = io.BytesIO()
    with zipfile.ZipFile(blob, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(JOB_FOLDER.glob("*.py")):
            if path.name != JOB:
                archive.writestr(zipfile.ZipInfo(path.name), path.read_bytes())
    return blob.getvalue()


@dataclass(frozen=True)
class Launcher:
    """Carries out what a dropped folder asks for.

    Attributes:
        s3: client.
        emr: client that does not repeat a request by itself.
        runs_table: the runs table.
        settings: of the clusters.
    """

    s3: "S3Client"
    emr: "EMRClient"
    runs_table: "Table"
    settings: ClusterSettings

    def launch(self, folder: Folder, dropped_at: datetime) -> Outcome:
        """Give a complete folder its run, if it has none.

        Args:
            folder: complete and settled.
            dropped_at: when the file arrived that asks.

        Raises:
            botocore.exceptions.ClientError: AWS did not do its part; the message shall come back.
        """
        decision = self._claim(folder, dropped_at)
        if isinstance(decision, Skip):
            return Outcome("skipped", decision.run["run_id"])
        run_id: str = decision.run["run_id"]
        try:
            data = dataset(folder)
            intake.check(self.s3, data)
            self._check_environment()
            self._prepare(run_id, data)
            runs.advance(self.runs_table, run_id, State.LAUNCHING, datetime.now(UTC))
            cluster_id = self._cluster(run_id, parse_time(decision.run["created_at"]))
        except (DatasetError, EnvironmentMissingError, ClusterRefusedError) as error:
            runs.fail(
                self.runs_table, run_id, str(error), datetime.now(UTC), only_from=BEFORE_LAUNCH
            )
            return Outcome("failed", run_id)
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
        """The run that is ours to launch, or the one that somebody else sees to."""
        mark = fingerprint(files_that_matter(folder))
        while True:
            now = datetime.now(UTC)
            known = runs.of_dataset(self.runs_table, mark)
            decision = runs.decide(known, dropped_at, now)
            match decision:
                case Skip():
                    return decision
                case Resume(run):
                    if runs.take_over(self.runs_table, run, now, LEASE):
                        return decision
                case Launch(failed):
                    run = runs.claim(self.runs_table, mark, folder.name, failed, now, LEASE)
                    if run is not None:
                        return Resume(run)
            # Somebody else was faster: what they did decides.

    def _check_environment(self) -> None:
        """See that the cluster will find the job's native dependencies."""
        bucket, key = self.settings.results_bucket, environment_key(self.settings.environment)
        try:
            self.s3.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] != "404":
                raise
            raise EnvironmentMissingError(
                f"the job's environment s3://{bucket}/{key} is not there: "
                f"`make environment STACK={self.settings.stack}` builds it and puts it there"
            ) from error

    def _prepare(self, run_id: str, data: Dataset) -> None:
        """Put the run's input and code under its own prefix."""
        bucket = self.settings.results_bucket
        for file in data.files:
            if file.size > MAX_COPY:
                raise DatasetError(f"{file.name} has {file.size} bytes; at most 5 GiB are taken")
            try:
                self.s3.copy_object(
                    Bucket=bucket,
                    Key=input_prefix(run_id) + file.name,
                    CopySource={"Bucket": data.folder.bucket, "Key": file.key},
                    CopySourceIfMatch=file.etag,
                    # Copying tags would need permissions that nothing else here needs.
                    TaggingDirective="REPLACE",
                )
            except ClientError as error:
                if error.response["Error"]["Code"] not in {"PreconditionFailed", "NoSuchKey"}:
                    raise
                raise DatasetError(
                    f"{file.name} was replaced while the run was prepared; "
                    "the folder's new content gets a run of its own"
                ) from error
        self.s3.put_object(Bucket=bucket, Key=code_prefix(run_id) + MODULES, Body=modules_zip())
        self.s3.put_object(
            Bucket=bucket, Key=code_prefix(run_id) + JOB, Body=(JOB_FOLDER / JOB).read_bytes()
        )

    def _cluster(self, run_id: str, since: datetime) -> str:
        """The id of the run's cluster: the one that is there already, or a new one."""
        name = cluster_name(self.settings.stack, run_id)
        found = find_cluster(self.emr, name, since)
        if found:
            return found
        try:
            answer = self.emr.run_job_flow(**cluster_request(self.settings, run_id))
        except ClientError as error:
            refusal = error.response["Error"]
            if refusal["Code"] not in REFUSALS:
                raise
            raise ClusterRefusedError(
                f"EMR refused the cluster: {refusal['Code']}: {refusal['Message']}"
            ) from error
        return answer["JobFlowId"]
