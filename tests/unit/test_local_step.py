"""The step that local Spark runs: its command, what is staged, and the order of what goes back."""

from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from local.step import Staging, StepError, driver_memory, local_command, submitted

BUCKET = "results"


@pytest.fixture
def s3() -> Any:
    with mock_aws():
        client = boto3.client("s3", region_name="eu-central-1")
        where = {"LocationConstraint": "eu-central-1"}
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
        yield client


def put(s3: Any, **objects: str) -> None:
    for key, text in objects.items():
        s3.put_object(Bucket=BUCKET, Key=key.replace("__", "/"), Body=text.encode())


def keys(s3: Any) -> set[str]:
    return {item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])}


def test_what_only_a_cluster_has_is_left_out_and_the_job_s_arguments_stay() -> None:
    step = [
        "spark-submit",
        *("--deploy-mode", "cluster", "--executor-memory", "9g", "--name", "it"),
        *("--conf", "spark.pyspark.python=/usr/bin/python3.13"),
        *("--conf", "spark.yarn.appMasterEnv.PYSPARK_PYTHON=/usr/bin/python3.13"),
        *("--conf", "spark.executorEnv.PYTHONPATH=./deps", "--py-files", "modules.zip"),
        *("--conf", "spark.default.parallelism=24"),
        *("--archives", "s3://a/b.tar.gz#environment"),
        *("job.py", "--dataset", "in", "--master", "of the universe"),
    ]
    command = local_command(submitted(step), Path("work"))
    assert command[0].endswith("/.venv/bin/spark-submit")
    assert command[command.index("--master") + 1] == "local[*]"
    assert "cluster" not in command
    assert "--executor-memory" not in command
    assert not any("/usr/bin/python3.13" in argument for argument in command)
    left = [
        *("--name", "it", "--conf", "spark.executorEnv.PYTHONPATH=./deps"),
        *("--py-files", "modules.zip"),
        *("job.py", "--dataset", "in", "--master", "of the universe"),
    ]
    assert command[-len(left) :] == left


def test_a_step_that_is_no_spark_submit_is_refused() -> None:
    with pytest.raises(StepError, match="hive"):
        submitted(["hive", "-f", "query"])


@pytest.mark.parametrize(("gib", "given"), [(4, 2), (16, 4), (24, 6), (128, 8)])
def test_spark_gets_a_quarter_of_the_memory_within_limits(gib: int, given: int) -> None:
    assert driver_memory(gib * 2**30) == given


def test_arguments_become_paths_where_their_objects_stand(s3: Any, tmp_path: Path) -> None:
    put(s3, a__job="job", a__jobs="no", in__x="1", **{"in__deep/y z+%": "2"})
    staging = Staging.empty(s3, tmp_path / "s3")
    assert staging.fetch("--dataset") == "--dataset"
    assert Path(staging.fetch("s3://results/a/job")).read_text() == "job"
    assert not (tmp_path / "s3/results/a/jobs").exists()
    folder = staging.fetch("s3://results/in/")
    assert folder.endswith("/results/in/")
    assert (Path(folder) / "deep" / "y z+%").read_text() == "2"
    both = staging.fetch("s3://results/a/job#alias,s3://results/in/x")
    first, second = both.split(",")
    assert first.endswith("/results/a/job#alias")
    assert Path(second).read_text() == "1"
    assert Path(staging.fetch("s3://results/out/")).is_dir()


def test_only_what_is_new_or_changed_goes_back_the_manifest_last(s3: Any, tmp_path: Path) -> None:
    put(s3, out__input="same", out__old="old", out__gone="gone")
    staging = Staging.empty(s3, tmp_path / "s3")
    out = Path(staging.fetch("s3://results/out/"))
    uploaded: list[str] = []
    s3.meta.events.register(
        "before-call.s3.PutObject", lambda params, **_: uploaded.append(params["url_path"])
    )
    (out / "parts").mkdir()
    for name in ("manifest.json", "z", "parts/a", "_SUCCESS", ".z.crc"):
        (out / name).write_text(name)
    (out / "old").write_text("new")
    (out / "gone").unlink()
    staging.put_back()
    written = [path.rpartition("/out/")[2] for path in uploaded]
    assert written == ["z", "parts/a", "old", "manifest.json"]
    assert keys(s3) == {"out/input", "out/old", "out/z", "out/parts/a", "out/manifest.json"}
    assert s3.get_object(Bucket=BUCKET, Key="out/old")["Body"].read() == b"new"


def test_a_key_that_leads_out_of_the_staging_is_refused(s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket=BUCKET, Key="in/../../../x", Body=b"x")
    with pytest.raises(StepError, match="cannot be staged"):
        Staging.empty(s3, tmp_path / "s3").fetch("s3://results/in/")
