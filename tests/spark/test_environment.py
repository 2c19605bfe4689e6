"""The archive of dependencies: executors with a bare Python compute with it."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.cluster_request import ENCRYPTION
from spark.runtime import native
from tests.builders.folders import folder
from tests.builders.submission import environment, spark_submit
from tests.conftest import ROOT
from tests.spark import oracle
from tests.spark.test_engine import stored
from tests.spark.test_measures import check, lists_of, movie_lines
from tests.spark.test_similar_users import alike, expected
from tools.job_archive import ensure_archive
from tools.setup import class_archive

pytestmark = pytest.mark.spark

# Stacks are as deep as on EMR: ALS recurses.
JAVA = f"-XX:TieredStopAtLevel=1 {class_archive.options()}"
NATIVE = ("numpy", "pyarrow", "scipy.linalg")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python 3.13 without the job's dependencies."""
    folder = tmp_path_factory.mktemp("bare")
    base = Path(sys.base_prefix) / "bin" / "python3.13"
    subprocess.run([base, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    for module in NATIVE:
        output_text = subprocess.run(
            [python, "-c", f"import {module}"], capture_output=True, text=True
        )
        assert "ModuleNotFoundError" in output_text.stderr
    return python


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive, unpacked as on a node."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run(["tar", "xzf", ensure_archive(), "-C", folder], check=True)
    return folder


def test_the_archives_packages_can_be_imported(bare: Path, unpacked: Path) -> None:
    done = subprocess.run(
        [bare, "-c", f"import {', '.join(NATIVE)}, pyarrow.parquet; import pyarrow.fs as f; "
         "f.S3FileSystem; print(numpy.int32(42))"],
        env={"PYTHONPATH": str(unpacked)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "42\n", done.stderr


def test_the_archives_loops_are_those_of_the_sources(unpacked: Path, tmp_path: Path) -> None:
    native.build(tmp_path / "loops.so", native.CLUSTER)
    assert (unpacked / native.LIBRARY).read_bytes() == (tmp_path / "loops.so").read_bytes()


def large() -> list[oracle.Rating]:
    """Ratings whose broadcasts have arrays above 64 KiB, which pickle handles differently.

    250 movies have 50 neighbours each by EASE; 750 have only content; 9,000 users rated one movie.
    """
    draw = random.Random(20)
    ratings = [
        (user, movie, draw.randint(1, 10) / 2)
        for user in range(1, 121)
        for movie in range(1, 251)
        if draw.random() < 0.5
    ]
    return ratings + [(user, 1 + user % 1000, 3.5) for user in range(1000, 10_000)]


@pytest.mark.usefixtures("executors")
def test_executors_compute_all_measures_encrypted_with_the_archive_alone(
    bare: Path, unpacked: Path, tmp_path: Path
) -> None:
    table = large()
    lines = "".join(f"{u}::{m}::{r:g}::1\n" for u, m, r in table)
    dataset = folder(tmp_path / "d", ratings_dat=lines, movies_dat=movie_lines(table))
    output = tmp_path / "result"
    # As on a cluster: the job's entry point is a single file, and its modules are in an archive.
    code = tmp_path / "code"
    code.mkdir()
    shutil.copy(ROOT / "spark" / "similarity_job.py", code)
    job = tmp_path / "job"
    shutil.copytree(ROOT / "spark", job / "spark", ignore=lambda *_: ["__pycache__"])
    packed = Path(shutil.make_archive(str(tmp_path / "job"), "zip", job))
    archives = {"environment": ensure_archive(), "job": packed}
    conf = ENCRYPTION["spark-defaults"] | {
        "spark.authenticate.secret": "on YARN Spark makes its own",
        "spark.archives": ",".join(f"{each.as_uri()}#{name}" for name, each in archives.items()),
        "spark.executor.memory": "1g",
        "spark.pyspark.python": bare,
        "spark.executorEnv.PYTHONPATH": "./job:./environment",
        "spark.executorEnv.HOME": "/proc",  # read-only
    }
    done = subprocess.run(
        spark_submit(
            code / "similarity_job.py", "--dataset", dataset, "--output", output,
            "--min-score", "0.5", "--blocks", "4", "--similar-users", "9",
            "--measures", "damped,full-cosine,jaccard,hybrid,als",
            master="local-cluster[2,2,1024]", conf=conf, java=JAVA,
        ),
        capture_output=True, text=True, check=False, timeout=300,
        env=environment(PYTHONPATH=f"{job}:{unpacked}", HOME="/proc"),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert stored(output / "similarities") == oracle.similarities(table, 10, 0.5)
    lists = lists_of(output)
    movies, scores, n, cosine = oracle.by_measure(table, 10, beta=50, penalty=400)
    for measure, of_all in scores.items():
        for place, id in enumerate(movies.tolist()):
            of = of_all[place], n[place], cosine[place]
            check(lists[measure][id], movies.tolist(), *of, most=50)
    assert len(lists["als"]) == len(lists["hybrid"]) == 1000
    assert all(len(lists["als"][id]) == 50 for id in range(1, 251))
    similar = {line["user_id"]: [tuple(row) for row in line["similar"]] for line in alike(output)}
    assert {user: rows for user, rows in similar.items() if rows} == expected(table, 10, 0.5, 9)
