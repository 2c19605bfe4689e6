"""A step on local Spark: its command, the download of its code, and its credentials."""

import io
import json
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from local.access import Access
from local.emr import step
from local.emr.metadata import Credentials, InstanceMetadata
from local.emr.step import (
    SparkStep,
    StepError,
    Submission,
    download_code,
    driver_memory,
    local_command,
    parse_submission,
)
from spark.runtime import native

BUCKET = "results"
CODE = f"s3://{BUCKET}/runs/1/code/"


@pytest.fixture
def s3() -> Any:
    with mock_aws():
        client = boto3.client("s3", region_name="eu-central-1")
        where = {"LocationConstraint": "eu-central-1"}
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
        yield client


def put(s3: Any, **objects: bytes) -> None:
    """Put objects under the code's prefix."""
    for name, content in objects.items():
        s3.put_object(Bucket=BUCKET, Key=f"runs/1/code/{name.replace('__', '.')}", Body=content)


def zipped(**files: str) -> bytes:
    blob = io.BytesIO()
    with zipfile.ZipFile(blob, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return blob.getvalue()


def test_options_for_clusters_are_removed_and_the_jobs_arguments_kept() -> None:
    given = [
        "spark-submit",
        *("--deploy-mode", "cluster", "--executor-memory", "9g", "--name", "it"),
        *("--conf", "spark.pyspark.python=/usr/bin/python3.13"),
        *("--conf", "spark.yarn.appMasterEnv.PYSPARK_PYTHON=/usr/bin/python3.13"),
        *("--conf", "spark.executorEnv.PYTHONPATH=./deps"),
        *("--conf", "spark.default.parallelism=24"),
        *("s3://a/job.py", "--dataset", "s3://in/", "--master", "of the universe"),
    ]
    submission = parse_submission(given)
    assert submission == Submission(
        "s3://a/job.py",
        ["--dataset", "s3://in/", "--master", "of the universe"],
        options=["--name", "it", "--conf", "spark.executorEnv.PYTHONPATH=./deps"],
    )
    command = local_command(["--name", "it", "job.py"], Path("work"))
    assert command[0].endswith("/.venv/bin/spark-submit")
    assert command[command.index("--master") + 1] == "local[*]"
    assert command[-3:] == ["--name", "it", "job.py"]


def test_archives_modules_and_driver_variables_are_parsed() -> None:
    submission = parse_submission(
        [
            "spark-submit",
            *("--conf", "spark.yarn.appMasterEnv.PYTHONPATH=./job:./environment"),
            *("--conf", "spark.yarn.appMasterEnv.AWS_REGION=eu-central-1"),
            *("--archives", "s3://a/x.tar.gz#environment,s3://a/job.zip#job,s3://a/more.zip"),
            *("--py-files", "s3://a/modules.zip,s3://a/other.py"),
            "s3://a/job.py",
        ]
    )
    assert submission.environment == {
        "PYTHONPATH": "./job:./environment",
        "AWS_REGION": "eu-central-1",
    }
    assert submission.archives == {
        "environment": "s3://a/x.tar.gz",
        "job": "s3://a/job.zip",
        "more.zip": "s3://a/more.zip",
    }
    assert submission.modules == ["s3://a/modules.zip", "s3://a/other.py"]
    assert submission.options == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["hive", "-f", "query"], "runs spark-submit only, not 'hive'"),
        ([], "runs spark-submit only, not ''"),
        (["spark-submit", "--name", "it"], "Missing application resource"),
        (["spark-submit", "--archives", "s3://a/b.zip#..", "job.py"], "has an invalid folder name"),
        (
            ["spark-submit", "--archives", "s3://a/b.zip#../c", "job.py"],
            "has an invalid folder name",
        ),
    ],
)
def test_a_step_that_cannot_run_is_refused(arguments: list[str], reason: str) -> None:
    with pytest.raises(StepError, match=reason):
        parse_submission(arguments)


@pytest.mark.parametrize(("gib", "given"), [(4, 2), (16, 4), (24, 6), (128, 8)])
def test_spark_gets_a_quarter_of_the_memory_within_limits(gib: int, given: int) -> None:
    assert driver_memory(gib * 2**30) == given


def test_code_is_downloaded_and_data_are_not(s3: Any, tmp_path: Path) -> None:
    put(s3, job__py=b"job", a__zip=b"a", b__py=b"b", job__zip=zipped(**{"in/it.py": "it"}))
    submission = Submission(
        CODE + "job.py",
        ["--dataset", f"s3://{BUCKET}/no/such/"],
        options=["--name", "it"],
        modules=[CODE + "a.zip", CODE + "b.py"],
        archives={"environment": f"s3://{BUCKET}/no/such.tar.gz", "job": CODE + "job.zip"},
    )
    *options, modules, job, flag, dataset = download_code(
        submission, s3, tmp_path / "code", tmp_path / "work"
    )
    assert options == ["--name", "it", "--py-files"]
    assert [Path(path).read_bytes() for path in modules.split(",")] == [b"a", b"b"]
    assert Path(job).read_bytes() == b"job"
    assert (flag, dataset) == ("--dataset", f"s3://{BUCKET}/no/such/")
    assert (tmp_path / "work/job/in/it.py").read_text() == "it"
    # The archive of native code is not downloaded: only the loops of this tree are in its folder.
    content = [path.name for path in (tmp_path / "work/environment").iterdir()]
    assert content == [native.LIBRARY]


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        (f"s3://{BUCKET}/a/../../../../x", "is not a valid S3 URI"),
        (f"s3://{BUCKET}//x", "is not a valid S3 URI"),
        ("s3://../x", "is not a valid S3 URI"),
        (f"s3://{BUCKET}/", "is not a valid S3 URI"),
        ("/etc/passwd", "is not a valid S3 URI"),
        (f"s3://{BUCKET}/no/such.py", "no/such.py: .*404"),
    ],
)
def test_missing_code_and_keys_that_lead_out_of_the_folder_are_refused(
    s3: Any, tmp_path: Path, uri: str, reason: str
) -> None:
    with pytest.raises(StepError, match=reason):
        download_code(Submission(uri, []), s3, tmp_path / "code", tmp_path / "work")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_archive_is_a_zip_whose_files_stay_in_its_folder(s3: Any, tmp_path: Path) -> None:
    put(s3, job__py=b"job", bad__zip=b"no zip", job__zip=zipped(**{"../../it.py": "it"}))
    work = tmp_path / "work"
    download_code(
        Submission(CODE + "job.py", [], archives={"job": CODE + "job.zip"}), s3, work, work
    )
    assert [path.parent for path in tmp_path.rglob("it.py")] == [work / "job"]
    with pytest.raises(StepError, match=r"bad\.zip is not a zip"):
        download_code(
            Submission(CODE + "job.py", [], archives={"job": CODE + "bad.zip"}), s3, work, work
        )


@pytest.fixture
def metadata() -> Iterator[InstanceMetadata]:
    """The metadata service of a node without permissions."""

    def none() -> Credentials:
        now = datetime.now(UTC)
        return Credentials("nodes", "ASIANODES", "node", "session", now, now + timedelta(hours=1))

    with InstanceMetadata(none) as metadata:
        yield metadata


def test_a_steps_last_error_is_the_jobs_and_not_a_line_of_a_java_stack(
    metadata: InstanceMetadata, tmp_path: Path
) -> None:
    run = SparkStep(Access("", "", ""), metadata, [], tmp_path)
    assert run.last_error() == ""
    (tmp_path / "stderr").write_text("26/11/26 WARN Utils: an Exception that is none\n")
    (tmp_path / "stdout").write_text(
        """Caused by: org.apache.spark.api.python.PythonException: Traceback (most recent):
  File "storage.py", line 59, in replacing
OSError: When initiating multiple part upload: AWS Error ACCESS_DENIED

\tat org.apache.spark.api.python.BasePythonRunner$ReaderIterator.handlePythonException(Runner:1)
\tat org.apache.spark.util.SparkErrorUtils.tryWithSafeFinally(SparkErrorUtils.scala:83)
\t... 1 more
"""
    )
    expected = "OSError: When initiating multiple part upload: AWS Error ACCESS_DENIED"
    assert run.last_error() == expected


def test_the_job_has_the_nodes_credentials_the_drivers_variables_and_no_keys(
    s3: Any,
    metadata: InstanceMetadata,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of this shell")
    monkeypatch.setattr(Access, "client", lambda *_: s3)
    program = "import json, os; print(json.dumps([os.getcwd(), dict(os.environ)]))"
    monkeypatch.setattr(step, "local_command", lambda *_: [sys.executable, "-c", program])
    put(s3, job__py=b"")
    access = Access("http://127.0.0.1:1", "http://127.0.0.1:2", "root's")
    driver = ("--conf", "spark.yarn.appMasterEnv.AWS_REGION=eu-north-1")
    run = SparkStep(access, metadata, ["spark-submit", *driver, CODE + "job.py"], tmp_path / "step")
    run.start()
    try:
        assert run._process is not None
        assert run._process.wait(60) == 0
    finally:
        run.stop()
    folder, environment = json.loads((tmp_path / "step/stdout").read_text())
    assert folder == str(tmp_path / "step/work")
    assert {name: environment[name] for name in environment if name.startswith("AWS_")} == {
        "AWS_REGION": "eu-north-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.endpoint,
        "AWS_EC2_METADATA_DISABLED": "false",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }
    assert "root's" not in environment.values()


def test_code_and_logs_are_transferred_with_the_nodes_credentials(
    metadata: InstanceMetadata, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Access] = []

    def refuse(access: Access, service: str) -> Any:
        seen.append(access)
        raise StepError(service)

    monkeypatch.setattr(Access, "client", refuse)
    access = Access("http://127.0.0.1:1", "http://127.0.0.1:2", "root's")
    run = SparkStep(access, metadata, ["spark-submit", CODE + "job.py"], tmp_path / "step")
    with pytest.raises(StepError, match="s3"):
        run.start()
    with pytest.raises(StepError, match="s3"):
        run.put_logs(BUCKET, "logs/")
    assert [(each.key, each.secret, each.token) for each in seen] == [
        ("ASIANODES", "node", "session")
    ] * 2
