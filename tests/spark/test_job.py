"""The job from the command line: what it writes, what it refuses, and where it runs."""

import gzip
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from spark.contracts.movielens import only_format
from spark.contracts.movielens_lines import split_line
from spark.output import neighbours, results
from tests.builders.folders import folder
from tests.builders.results import manifest_of, read_lines, run
from tests.builders.submission import environment, spark_submit
from tests.conftest import ROOT, movielens
from tests.spark import oracle
from tools.setup.java import java_home

pytestmark = pytest.mark.spark

# Twelve users rate movies 1 and 2; movie 3 has one rater; movie 4 is not in the movies file.
RATINGS = [(user, movie, 3 + (user + movie) % 3 / 2) for user in range(1, 13) for movie in (1, 2)]
RATINGS += [(1, 3, 5.0), (1, 4, 4.0)]
RATINGS_DAT = "".join(f"{u}::{m}::{r:g}::97830\n" for u, m, r in RATINGS)
MOVIES_DAT = '1::A "quoted" ünïcode (1990)::Drama\n2::B, The (1991)::Comedy|Drama\n3::C (1992)::\n'


@pytest.mark.usefixtures("running")
def test_a_folder_becomes_a_result_that_its_manifest_describes(
    spark: SparkSession, tmp_path: Path
) -> None:
    dataset = folder(
        tmp_path / "my [odd] 50% data",
        ratings_dat=RATINGS_DAT,
        movies_dat=MOVIES_DAT,
        tags_dat="1::1::not read::0",
        ratings_csv="neither",
    )
    output = tmp_path / "result"
    assert run(dataset, output, "--min-score", "0.5", "--measures", "cosine") == 0

    manifest = manifest_of(output)
    assert manifest.counts == {
        "ratings": 26, "users": 12, "movies": 4, "duplicates": 0, "left_out": 0,
        "duplicate_movies": 0, "rejected": 0, "doubled_users": 0, "pairs": 1,
        "movies_with_neighbours": 2,
    }  # fmt: skip
    assert manifest.timings.keys() == {"read", "similarities", "neighbours", "quality"}
    assert (manifest.measure, manifest.measures) == ("cosine", {"cosine": {}})
    assert manifest.dataset == {
        "format": "dat", "timestamps": True, "lines": {"ratings.dat": 26, "movies.dat": 3},
        "unterminated": [],
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
        "ratings": 12, "others": [{
            "movie_id": 2, "title": "B, The (1991)", "year": 1991, "genres": ["Comedy", "Drama"],
            "ratings": 12,
        }],
        "neighbours": {"cosine": [[0, expected[0][-1], 12, expected[0][-1]]]},
    }  # fmt: skip
    assert lines[3] == {
        "movie_id": 4, "title": None, "year": None, "genres": [], "ratings": 1, "others": [],
        "neighbours": {"cosine": []},
    }  # fmt: skip
    titles = read_lines(output, manifest.titles.name)
    about = set(lines[0]) - {"others", "neighbours"}
    assert titles == [{k: v for k, v in line.items() if k in about} for line in lines]


@pytest.mark.usefixtures("running")
def test_links_add_ids_to_all_movies_and_change_nothing_else(tmp_path: Path) -> None:
    files = {
        "ratings_csv": RATINGS_DAT.replace("::", ","),
        "movies_csv": "1,One (1990),Drama\n2,Two (1991),Comedy\n3,Three (1992),\n",
    }
    links = "movieId,imdbId,tmdbId\n1,0114709,862\n2,113497,\n2\nnonsense\nx,1,1\n4,,7\n5,1,1\n"
    read = []
    for name, more in (
        ("without", {}),
        ("broken", {"links_csv": b"PK\x03\x04"}),
        ("with", {"links_csv": links}),
    ):
        output = tmp_path / f"{name}-result"
        assert run(folder(tmp_path / name, **files, **more), output, "--min-score", "0.5") == 0
        manifest = manifest_of(output)
        assert manifest.counts["rejected"] == 0
        lines = read_lines(output, *(part.name for part in manifest.neighbours))
        read.append((lines, read_lines(output, manifest.titles.name)))
    ids = {1: {"imdb_id": "tt0114709", "tmdb_id": 862}, 2: {"imdb_id": "tt0113497"},
           3: {}, 4: {"tmdb_id": 7}}  # fmt: skip

    def with_ids(movie: dict[str, Any]) -> dict[str, Any]:
        return movie | ids[movie["movie_id"]]

    (lines, titles), broken, (lines_with, titles_with) = read
    assert broken == (lines, titles)
    assert titles_with == [with_ids(movie) for movie in titles]
    assert lines_with == [
        with_ids(line) | {"others": [with_ids(other) for other in line["others"]]} for line in lines
    ]
    assert any(line["others"] for line in lines)


@pytest.mark.usefixtures("running")
def test_parts_follow_each_other_by_movie_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "ROWS_PER_PART", 25 * 50)
    movies = "".join(f"{id * 37 % 211 * 10_000_000}::M::Drama\n" for id in range(1, 211))
    dataset = folder(tmp_path / "d", ratings_dat="10000000::10000000::4::1\n", movies_dat=movies)
    assert run(dataset, tmp_path / "result", "--measures", "cosine") == 0

    manifest = manifest_of(tmp_path / "result")
    lines = read_lines(tmp_path / "result", *(part.name for part in manifest.neighbours))
    assert [line["movie_id"] for line in lines] == [id * 10_000_000 for id in range(1, 211)]
    assert [part.records for part in manifest.neighbours] == [21] * 10, (
        "9, rounded up to 10 for two cores"
    )
    assert manifest.titles.records == 210


@pytest.mark.usefixtures("running")
def test_malformed_lines_are_rejected_counted_and_stored(tmp_path: Path) -> None:
    ratings = RATINGS_DAT + "1::2::9::1\nnonsense\n1::1::4::999999\n"
    output = tmp_path / "result"
    movies = MOVIES_DAT + "1::Again (1990)::Drama\n" + "x" * 10_000
    assert run(folder(tmp_path / "d", ratings_dat=ratings, movies_dat=movies), output) == 0

    manifest = manifest_of(output)
    assert manifest.rejects == {
        "ratings.dat": {"columns": 1, "scale": 1}, "movies.dat": {"columns": 1},
    }  # fmt: skip
    counts = (manifest.counts[name] for name in ("rejected", "duplicates", "duplicate_movies"))
    assert tuple(counts) == (3, 1, 1)
    stored = (f"rejects/{path.name}" for path in (output / "rejects").iterdir())
    rejects = read_lines(output, *stored)
    assert sorted((r["file"], r["defect"], r["line"]) for r in rejects) == [
        ("movies.dat", "columns", "x" * 500),
        ("ratings.dat", "columns", "nonsense"), ("ratings.dat", "scale", "1::2::9::1"),
    ]  # fmt: skip


@pytest.mark.usefixtures("running")
def test_only_the_latest_ratings_of_a_user_with_too_many_count(tmp_path: Path) -> None:
    ratings = RATINGS_DAT + "12::4::3::1\n12::4::4::2\n"
    dataset = folder(tmp_path / "d", ratings_dat=ratings, movies_dat=MOVIES_DAT)
    assert run(dataset, tmp_path / "result", "--max-ratings-per-user", "2") == 0
    manifest = manifest_of(tmp_path / "result")
    of_user = Counter(line.split("::")[0] for line in RATINGS_DAT.splitlines())
    of_user["12"] += 1
    left_out = sum(max(0, count - 2) for count in of_user.values())
    counts = manifest.counts
    assert left_out > 0
    assert (counts["left_out"], counts["duplicates"]) == (left_out, 1)
    assert counts["ratings"] == sum(of_user.values()) - left_out
    assert manifest.parameters["max_ratings_per_user"] == 2


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"ratings_dat": "rubbish\n" * 9, "movies_dat": MOVIES_DAT}, "ratings.dat: 9 of 9 lines"),
        ({"ratings_dat": "", "movies_dat": MOVIES_DAT}, "ratings.dat has no line of data"),
        ({"ratings_dat": RATINGS_DAT, "movies_dat": "\n\n"}, "movies.dat has no line of data"),
        ({"ratings_dat": RATINGS_DAT}, "is not a MovieLens folder"),
        ({}, "is not a MovieLens folder"),
    ],
)
@pytest.mark.usefixtures("running")
def test_an_unusable_folder_leaves_a_reason_and_no_manifest(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    output = folder(tmp_path / "result", manifest_json="from an earlier attempt")
    assert run(folder(tmp_path / "d", **files), output) == 1

    failure = json.loads((output / "failure.json").read_text())
    assert message in failure["message"]
    assert not (output / "manifest.json").exists()


@pytest.mark.usefixtures("running")
def test_a_failure_shows_the_malformed_lines_and_their_defects(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ratings = "1::1::4::0\n" + "1::1::9::0\n" * 7 + "rubbish\n"
    dataset = folder(tmp_path / "d", ratings_dat=ratings, movies_dat=MOVIES_DAT)
    assert run(dataset, tmp_path / "result") == 1

    failure = json.loads((tmp_path / "result" / "failure.json").read_text())
    assert failure == {
        "error": "DatasetError",
        "message": "ratings.dat: 8 of 9 lines are malformed (columns 1, scale 7): expected "
        "userId::movieId::rating::timestamp, where ratings are from 0.5 to 5 in half stars; found "
        "'1::1::9::0'",
        "report": [{"file": "ratings.dat", "defect": "scale", "line": "1::1::9::0"}] * 5,
    }
    printed = capsys.readouterr().err
    assert failure["message"] in printed
    assert printed.count("ratings.dat, scale: '1::1::9::0'") == 5


@pytest.mark.usefixtures("running")
def test_a_file_whose_lines_are_half_good_is_used(tmp_path: Path) -> None:
    half = RATINGS_DAT + "rubbish\n" * len(RATINGS)
    dataset = folder(tmp_path / "d", ratings_dat=half, movies_dat=MOVIES_DAT)
    assert run(dataset, tmp_path / "result") == 0
    folder(dataset, ratings_dat=half + "rubbish\n")
    assert run(dataset, tmp_path / "result") == 1


@pytest.mark.usefixtures("running")
def test_a_job_that_dies_leaves_no_manifest_that_an_earlier_run_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = folder(tmp_path / "d", ratings_dat=RATINGS_DAT, movies_dat=MOVIES_DAT)
    output = folder(tmp_path / "result", manifest_json="from an earlier attempt")

    def disk_full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(results, "write_titles", disk_full)
    with pytest.raises(OSError, match="disk full"):
        run(dataset, output)
    assert (output / "neighbours").is_dir()
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


def raw_ratings(dataset: Path) -> list[oracle.Rating]:
    """The ratings of a real release, read without the job's reader."""
    format = only_format((path.name for path in dataset.iterdir()), str(dataset))
    with (dataset / format.ratings).open() as lines:
        table = [split_line(line, format.ratings_separator) for line in lines]
    return [(int(u), int(m), float(r)) for u, m, r, _ in table[1 if format.header else 0 :]]


@pytest.mark.parametrize(
    ("release", "users", "movies"), [("ml-latest-small", 610, 9_742), ("ml-100k", 943, 1_682)]
)
@pytest.mark.usefixtures("running")
def test_a_real_release_gives_exactly_the_oracles_pairs_and_neighbours(
    spark: SparkSession, tmp_path: Path, release: str, users: int, movies: int
) -> None:
    dataset = movielens(release)
    assert run(dataset, tmp_path, "--neighbours", "20", "--measures", "cosine") == 0

    ratings = raw_ratings(dataset)
    pairs = oracle.similarities(ratings, 10, 0.95)
    assert len(pairs) > 10_000
    written = spark.read.parquet(str(tmp_path / "similarities")).collect()
    assert sorted(tuple(row) for row in written) == pairs

    manifest = manifest_of(tmp_path)
    expected = oracle.neighbours(pairs, 20)
    assert manifest.counts == {
        "ratings": len(ratings), "users": users, "movies": movies, "duplicates": 0,
        "left_out": 0, "duplicate_movies": 0, "rejected": 0, "doubled_users": 0,
        "pairs": len(pairs),
        "movies_with_neighbours": len(expected),
    }  # fmt: skip
    lines = read_lines(tmp_path, *(part.name for part in manifest.neighbours))
    assert len(lines) == movies
    found = {
        line["movie_id"]: [
            (line["others"][place]["movie_id"], score, co_raters)
            for place, score, co_raters, _ in line["neighbours"]["cosine"]
        ]
        for line in lines
        if line["neighbours"]["cosine"]
    }
    assert found == expected


@pytest.mark.usefixtures("executors")
def test_the_job_can_be_submitted_to_separate_executors_without_packaging(tmp_path: Path) -> None:
    dataset = folder(tmp_path / "d", ratings_dat=RATINGS_DAT, movies_dat=MOVIES_DAT)
    output = tmp_path / "result"
    variables = environment(HOME="/proc")  # read-only
    for name in ("PYTHONPATH", "PYSPARK_PYTHON"):
        variables.pop(name, None)
    done = subprocess.run(
        spark_submit(
            ROOT / "spark" / "similarity_job.py", "--dataset", dataset.as_uri(),
            "--output", output.as_uri(), "--min-score", "0.5",
            master="local-cluster[2,1,1024]", conf={"spark.executor.memory": "1g"},
        ),
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240, env=variables,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert manifest_of(output).counts["pairs"] == 1
    assert "similarities: started" in done.stdout, "spark-submit shows the driver's output"


def test_started_by_hand_the_workers_run_on_the_drivers_python(tmp_path: Path) -> None:
    other = folder(tmp_path / "bin", python3="#!/bin/sh\nexit 1\n")
    (other / "python3").chmod(0o755)
    dataset = folder(tmp_path / "d", ratings_dat=RATINGS_DAT, movies_dat=MOVIES_DAT)
    foreign = "PYTHONPATH", "PYSPARK_PYTHON", "SPARK_HOME"
    done = subprocess.run(
        [sys.executable, ROOT / "spark" / "similarity_job.py",
         "--dataset", dataset, "--output", tmp_path / "result", "--measures", "cosine"],
        capture_output=True, text=True, check=False, timeout=240,
        env={key: value for key, value in os.environ.items() if key not in foreign} | {
            "PATH": f"{other}:{os.environ['PATH']}", "JAVA_HOME": str(java_home()),
            "SPARK_LOCAL_IP": "127.0.0.1",
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert manifest_of(tmp_path / "result").counts["users"] == 12
