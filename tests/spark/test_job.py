"""The job from the command line: what it writes, what it refuses, where it runs."""

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

import similarity_job
from local.java import java_home
from manifest import Manifest
from tests.conftest import ROOT, movielens
from tests.spark import oracle
from tests.spark.conftest import folder

pytestmark = pytest.mark.spark

# Twelve users rate both of movies 1 and 2; 3 has one rater; 4 is in no movies file.
RATINGS = [(user, movie, 3 + (user + movie) % 3 / 2) for user in range(1, 13) for movie in (1, 2)]
RATINGS += [(1, 3, 5.0), (1, 4, 4.0)]
RATINGS_DAT = "".join(f"{u}::{m}::{r:g}::97830\n" for u, m, r in RATINGS)
MOVIES_DAT = '1::A "quoted" ünïcode (1990)::Drama\n2::B, The (1991)::Comedy|Drama\n3::C (1992)::\n'


@pytest.fixture
def running(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> SparkSession:
    """Lets the job's main() run in the shared session, which it forgets instead of stopping it."""
    monkeypatch.setattr(SparkSession, "stop", lambda session: session.catalog.clearCache())
    return spark


def run(dataset: Path, output: Path, *arguments: str) -> int:
    """Run the job in this process."""
    return similarity_job.main(["--dataset", str(dataset), "--output", str(output), *arguments])


def read_lines(output: Path, *names: str) -> list[dict[str, Any]]:
    """The JSON Lines of parts."""
    blobs = (gzip.decompress((output / name).read_bytes()) for name in names)
    return [json.loads(line) for blob in blobs for line in blob.splitlines()]


def manifest_of(output: Path) -> Manifest:
    """The manifest that the job wrote."""
    return Manifest.from_json((output / "manifest.json").read_text())


@pytest.mark.usefixtures("running")
def test_a_folder_becomes_a_result_that_its_manifest_describes(
    spark: SparkSession, tmp_path: Path
) -> None:
    dataset = folder(tmp_path / "my [odd] 50% data", ratings_dat=RATINGS_DAT, movies_dat=MOVIES_DAT)
    output = tmp_path / "result"
    assert run(dataset, output, "--min-score", "0.5") == 0

    manifest = manifest_of(output)
    assert manifest.counts == {
        "ratings": 26, "users": 12, "movies": 4, "duplicates": 0, "rejected": 0,
        "pairs": 1, "movies_with_neighbours": 2,
    }  # fmt: skip
    assert manifest.dataset == {
        "format": "dat", "lines": {"ratings.dat": 26, "movies.dat": 3},
    }  # fmt: skip
    for part in [*manifest.neighbours, manifest.titles]:
        blob = (output / part.name).read_bytes()
        assert (len(blob), hashlib.sha256(blob).hexdigest()) == (part.bytes, part.sha256)
        assert len(gzip.decompress(blob).splitlines()) == part.records

    pairs = spark.read.parquet(str(output / "similarities"))
    assert pairs.dtypes == [
        ("movie1", "int"), ("movie2", "int"), ("numPairs", "bigint"), ("sum_xy", "double"),
        ("sum_xx", "double"), ("sum_yy", "double"), ("score", "double"),
    ]  # fmt: skip
    expected = oracle.similarities(RATINGS, 10, 0.5)
    assert [tuple(row) for row in pairs.collect()] == expected

    lines = read_lines(output, *(part.name for part in manifest.neighbours))
    assert [line["movie_id"] for line in lines] == [1, 2, 3, 4]
    assert lines[0] == {
        "movie_id": 1, "title": 'A "quoted" ünïcode (1990)', "year": 1990, "genres": ["Drama"],
        "ratings": 12, "neighbours": [{
            "movie_id": 2, "title": "B, The (1991)", "year": 1991, "genres": ["Comedy", "Drama"],
            "score": expected[0][-1], "co_raters": 12,
        }],
    }  # fmt: skip
    assert lines[3] == {
        "movie_id": 4, "title": None, "year": None, "genres": [], "ratings": 1, "neighbours": [],
    }  # fmt: skip
    titles = read_lines(output, manifest.titles.name)
    assert titles == [{k: v for k, v in line.items() if k != "neighbours"} for line in lines]


@pytest.mark.usefixtures("running")
def test_malformed_lines_are_rejected_counted_and_kept_for_reading(tmp_path: Path) -> None:
    ratings = RATINGS_DAT + "1::2::9::1\nnonsense\n1::1::4::999999\n"
    output = tmp_path / "result"
    assert run(folder(tmp_path / "d", ratings_dat=ratings, movies_dat=MOVIES_DAT), output) == 0

    manifest = manifest_of(output)
    assert manifest.rejects == {"ratings.dat": {"columns": 1, "rating": 1}, "movies.dat": {}}
    assert (manifest.counts["rejected"], manifest.counts["duplicates"]) == (2, 1)
    stored = (f"rejects/{path.name}" for path in (output / "rejects").glob("part-*"))
    rejects = read_lines(output, *stored)
    assert sorted((r["file"], r["defect"], r["line"]) for r in rejects) == [
        ("ratings.dat", "columns", "nonsense"), ("ratings.dat", "rating", "1::2::9::1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"ratings_dat": "rubbish\n" * 9, "movies_dat": MOVIES_DAT}, "ratings.dat: 9 of 9 lines"),
        ({"ratings_dat": "", "movies_dat": MOVIES_DAT}, "ratings.dat has no line of data"),
        ({"ratings_dat": RATINGS_DAT, "movies_dat": "\n\n"}, "movies.dat has no line of data"),
        ({"ratings_dat": RATINGS_DAT}, "is no MovieLens folder"),
        ({}, "is no MovieLens folder"),
    ],
)
@pytest.mark.usefixtures("running")
def test_a_hopeless_folder_leaves_a_reason_and_no_manifest(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    output = folder(tmp_path / "result", manifest_json="from an earlier attempt")
    assert run(folder(tmp_path / "d", **files), output) == 1

    failure = json.loads((output / "failure.json").read_text())
    assert message in failure["message"]
    assert not (output / "manifest.json").exists()


@pytest.mark.usefixtures("running")
def test_a_second_run_into_the_same_place_replaces_the_first(tmp_path: Path) -> None:
    output = folder(tmp_path / "result", keep_me="a file of somebody else")
    dataset = folder(tmp_path / "d", ratings_dat="rubbish\n", movies_dat=MOVIES_DAT)
    assert run(dataset, output) == 1
    folder(dataset, ratings_dat=RATINGS_DAT)
    assert run(dataset, output) == 0
    assert run(dataset, output) == 0

    parts = {part.name for part in manifest_of(output).neighbours}
    stored = {f"neighbours/{path.name}" for path in (output / "neighbours").glob("part-*")}
    assert parts == stored
    assert not (output / "failure.json").exists()
    assert (output / "keep.me").exists()


@pytest.mark.usefixtures("running")
def test_scores_survive_the_way_through_json_bit_by_bit(
    spark: SparkSession, tmp_path: Path
) -> None:
    output = tmp_path / "result"
    assert run(movielens("ml-100k"), output) == 0
    scores = {
        (row.movie1, row.movie2): row.score
        for row in spark.read.parquet(str(output / "similarities")).collect()
    }
    told = 0
    for line in read_lines(output, *(part.name for part in manifest_of(output).neighbours)):
        for neighbour in line["neighbours"]:
            pair = sorted((line["movie_id"], neighbour["movie_id"]))
            assert scores[pair[0], pair[1]] == neighbour["score"]
            told += 1
    assert told > 1000


@pytest.mark.parametrize(
    "arguments", [["--min-co-raters", "0"], ["--min-score", "1.5"], ["--neighbours", "0"]]
)
def test_arguments_out_of_range_are_refused(tmp_path: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(tmp_path, tmp_path, *arguments)
    assert ended.value.code == 2


def test_the_job_runs_on_separate_executors_from_the_files_the_launcher_ships(
    tmp_path: Path,
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    shutil.copy(ROOT / "spark" / "similarity_job.py", code)
    with zipfile.ZipFile(code / "modules.zip", "w") as archive:
        for path in (ROOT / "spark").glob("*.py"):
            archive.write(path, path.name)
    dataset = folder(tmp_path / "d", ratings_dat=RATINGS_DAT, movies_dat=MOVIES_DAT)
    output = tmp_path / "result"
    python = ROOT / ".venv" / "bin"
    done = subprocess.run(
        ["spark-submit", "--master", "local-cluster[2,1,1024]",
         "--conf", "spark.executor.memory=1g", "--conf", "spark.ui.enabled=false",
         "--conf", "spark.driver.host=127.0.0.1",
         "--py-files", "modules.zip", "similarity_job.py",
         "--dataset", dataset, "--output", output, "--min-score", "0.5"],
        cwd=code, capture_output=True, text=True, check=False, timeout=240,
        env=os.environ | {
            "PATH": f"{python}:{os.environ['PATH']}", "JAVA_HOME": str(java_home()),
            "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_WORKER_DIR": str(tmp_path / "work"),
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert manifest_of(output).counts["pairs"] == 1
    assert "similarities: started" in done.stdout, "spark-submit shows what the driver tells"
