"""Prepares a run: its own copy of input and code, and the request for its cluster."""

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from datasets import Dataset, DatasetFile, Folder, dataset, is_plain, list_files
from launcher import intake, unpacking
from launcher.cluster_request import ClusterSettings, cluster_request
from launcher.intake import lasting_error
from launcher.job_package import write_code
from runs.item import Run
from s3_keys import code_prefix, environment_key, input_prefix
from spark.contracts.movielens import DatasetError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class EnvironmentMissingError(Exception):
    """The archive of the job's native dependencies is missing; the message says what to do."""


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


def check_environment(s3: "S3Client", settings: ClusterSettings) -> None:
    """Check that the archive of the job's native dependencies exists."""
    bucket, key = settings.results_bucket, environment_key(settings.environment)
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] != "404":
            raise
        raise EnvironmentMissingError(
            f"the job's environment s3://{bucket}/{key} does not exist: run "
            f"`make environment STACK={settings.stack}` to build and upload it"
        ) from error


def prepare(s3: "S3Client", settings: ClusterSettings, run_id: str, folder: Folder) -> PreparedRun:
    """Check a folder, copy it and the code under the run's prefix, and build the request."""
    bucket = settings.results_bucket
    with unpacking.opened(s3, folder) as source:
        data = dataset(source.folder)
        can_be_copied = data.is_plain and not folder.is_archive
        if can_be_copied:  # so a bad file is not even copied
            findings = intake.check(s3, data)
        for name, files in data.sources.items():
            _write_input(s3, bucket, input_prefix(run_id) + name, source, files)
    own = _own_input(s3, bucket, run_id, data)
    if not can_be_copied:
        findings = intake.check(s3, own)
    write_code(s3, bucket, run_id)
    size = own.ratings.size
    request = cluster_request(settings, run_id, size)
    return PreparedRun(request, size, [asdict(each) for each in findings])


def prepare_again(
    s3: "S3Client", settings: ClusterSettings, run_id: str, original: Run
) -> PreparedRun:
    """Copy another run's input and code, and rename its request for the new run.

    Raises:
        DatasetError: the input or code of the original run no longer exists.
    """
    bucket, size = settings.results_bucket, 0
    for old, new in (
        (input_prefix(original["run_id"]), input_prefix(run_id)),
        (code_prefix(original["run_id"]), code_prefix(run_id)),
    ):
        objects = s3.list_objects_v2(Bucket=bucket, Prefix=old).get("Contents", [])
        if not objects:
            raise DatasetError(f"s3://{bucket}/{old} no longer exists: drop the folder again")
        for each in objects:
            source: Any = {"Bucket": bucket, "Key": each["Key"]}
            key = new + each["Key"].removeprefix(old)
            s3.copy_object(Bucket=bucket, Key=key, CopySource=source, TaggingDirective="REPLACE")
            size = max(size, each["Size"])
    request = json.loads(original["request"].replace(original["run_id"], run_id))
    return PreparedRun(request, size, original.get("intake", []))


def _own_input(s3: "S3Client", bucket: str, run_id: str, data: Dataset) -> Dataset:
    """Return the run's own copy of a data set."""
    prefix = input_prefix(run_id)
    copied = list_files(s3, bucket, prefix)
    files = tuple(file for file in copied if file.stands_for in data.sources)
    return dataset(Folder(bucket, prefix, files))


def _write_input(
    s3: "S3Client",
    bucket: str,
    key: str,
    source: unpacking.Source,
    files: tuple[DatasetFile, ...],
) -> None:
    """Write a file of the input under the run's prefix: a copy, or what is in a packed one."""
    file, *_ = files
    if not file.etag or not is_plain(files):  # a zip's member has no ETag
        unpacking.unpack(s3, source, files, bucket, key)
        return
    if file.size > unpacking.MAX_FILE:
        raise DatasetError(f"{file.name} has {file.size} bytes; the limit is 5 GiB")
    try:
        s3.copy_object(
            Bucket=bucket,
            Key=key,
            CopySource={"Bucket": source.folder.bucket, "Key": file.key},
            CopySourceIfMatch=file.etag,
            # Copying object tags would require further permissions.
            TaggingDirective="REPLACE",
        )
    except ClientError as error:
        raise lasting_error(error, file) or error from error
