"""The job on S3, with the job's own S3 client, as on the nodes of a cluster."""

import hashlib
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spark.contracts.manifest import MANIFEST, SIMILARITIES, Manifest
from tests.builders.folders import folder
from tests.builders.results import manifest_of
from tests.builders.submission import environment, spark_submit
from tests.conftest import ROOT, Observed
from tests.drills.test_storage_faults import FaultyS3, faulty_s3
from tests.spark.test_measures import movie_lines, table

pytestmark = pytest.mark.spark

OPTIONS = "--min-co-raters", "3", "--min-score", "0.9", "--blocks", "3", "--similar-users", "5"


@pytest.fixture(scope="module")
def s3() -> Iterator[FaultyS3]:
    """A local S3 with programmable failures."""
    with faulty_s3() as made:
        yield made


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ratings, a malformed line, movies and tags."""
    ratings = table()
    lines = "".join(f"{user}::{movie}::{stars:g}::1\n" for user, movie, stars in ratings)
    return folder(
        tmp_path_factory.mktemp("dataset"),
        ratings_dat=f"{lines}no rating\n",
        movies_dat=movie_lines(ratings),
        tags_dat="1::8::robots::1\n2::8::robots::1\n3::15::robots::1\n",
    )


def submit(dataset: str, output: str, work: Path, *, endpoint: str = "") -> str:
    """Run the job as a step does, with four attempts per task; returns its output."""
    settings = {"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": "eu-central-1"} if endpoint else {}
    done = subprocess.run(
        spark_submit(
            ROOT / "spark" / "similarity_job.py", "--dataset", dataset, "--output", output,
            *OPTIONS, master="local[2,4]", conf={"spark.local.dir": work},
        ),
        cwd=work, capture_output=True, text=True, check=False, timeout=300,
        env=environment(**settings),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def local(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result for the data set, in a local folder."""
    output = tmp_path_factory.mktemp("result")
    submit(str(dataset), str(output), tmp_path_factory.mktemp("work"))
    return output


def on_s3(s3: FaultyS3, dataset: Path, work: Path) -> str:
    """Run the job with input and output on S3, after an attempt that died; returns its output."""
    for path in dataset.iterdir():
        s3.truth.upload_file(str(path), s3.bucket, f"input/{path.name}")
    left = (
        f"{SIMILARITIES}/cell-9999-9999.parquet",
        f"{SIMILARITIES}/.cell.{'0' * 32}",
        "failure.json",
    )
    for name in left:
        s3.truth.put_object(Bucket=s3.bucket, Key=f"runs/1/{name}", Body=b"PAR1")
    return submit(f"s3://{s3.bucket}/input", s3.place, work, endpoint=s3.endpoint)


def assert_equal(s3: FaultyS3, local: Path) -> None:
    """Assert that S3 has the same files as the folder, byte for byte, and nothing else."""
    manifest = Manifest.from_json(s3.content(MANIFEST).decode())
    expected = manifest_of(local)
    assert manifest.counts == expected.counts
    assert manifest.quality == expected.quality
    parts = [manifest.titles, manifest.quality, *manifest.neighbours, *manifest.similar_users]
    for part in filter(None, parts):
        blob = s3.content(part.name)
        assert (len(blob), hashlib.sha256(blob).hexdigest()) == (part.bytes, part.sha256)
    files = {path.relative_to(local).as_posix(): path for path in local.rglob("*")}
    there = {
        name for name, path in files.items() if path.is_file() and not path.name.startswith(".")
    }
    assert set(s3.listed()) == there
    for name in there - {MANIFEST}:  # it has timings
        assert s3.content(name) == files[name].read_bytes(), name
    pairs = [s3.content(name) for name in s3.listed() if name.startswith(SIMILARITIES)]
    rows = sum(pq.read_table(pa.BufferReader(each)).num_rows for each in pairs)
    assert rows == manifest.counts["pairs"] > 0
    assert any(name.startswith("rejects/") for name in there)


def test_the_result_on_s3_equals_that_in_a_folder_and_the_manifest_comes_last(
    s3: FaultyS3, dataset: Path, local: Path, tmp_path: Path
) -> None:
    made: list[str] = []

    def watch(method: str, path: str, _: dict[str, str]) -> None:
        if method in ("PUT", "POST") and not path.endswith(("/", "?delete")):
            made.append(f"{method} {unquote(urlsplit(path).path)}")

    s3.rule = watch
    on_s3(s3, dataset, tmp_path)
    assert_equal(s3, local)
    manifest = f"PUT /{s3.bucket}/runs/1/{MANIFEST}"
    assert (made[-1], made.count(manifest)) == (manifest, 1), "written once, complete, and last"


@pytest.mark.drill(
    "Storage",
    injected="one in 25 of all requests of a whole job is forbidden, broken, throttled or cut",
    promised="the job gives the same result, to the byte",
)
def test_a_job_gives_the_same_result_although_s3_fails_at_times(
    s3: FaultyS3, dataset: Path, local: Path, tmp_path: Path, observed: Observed
) -> None:
    chance = random.Random(5)
    faults = "403 AccessDenied", "500 InternalError", "503 SlowDown", "cut", "half"
    s3.rule = lambda *_: chance.choice(faults) if chance.random() < 1 / 25 else None
    said = on_s3(s3, dataset, tmp_path)
    assert_equal(s3, local)
    assert len(s3.failed) >= 5, "too few failures were injected"
    observed(
        len(s3.failed), f"the same bytes; {said.count('retrying in')} retried reads and writes"
    )
