"""The pipeline end to end: the deployed template, its permissions enforced, from drop to answer."""

import gzip
import io
import random
import zipfile
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from tests.builders.world import World
from tests.spark import oracle

pytestmark = pytest.mark.e2e

FOLDER = "my films/50% ü+1"
MOVIES = {number: f"Film {number}, The ({1990 + number})" for number in range(1, 16)}
MOVIES_DAT = "".join(f"{number}::{title}::Drama|Comedy\n" for number, title in MOVIES.items())

type Rating = tuple[int, int, float]


def ratings(seed: int) -> list[Rating]:
    """Forty users who each rate some of the first 14 films, of near one taste."""
    chance = random.Random(seed)
    return [
        (user, movie, min(5.0, max(0.5, (6 + movie % 3 + chance.randint(-2, 2)) / 2)))
        for user in range(1, 41)
        for movie in range(1, 15)
        if chance.random() < 0.6
    ]


def files(rated: list[Rating]) -> dict[str, str]:
    """The files of a folder."""
    lines = (f"{user}::{movie}::{rating:g}::97830\n" for user, movie, rating in rated)
    return {"ratings.dat": "".join(lines), "movies.dat": MOVIES_DAT}


def expected(rated: list[Rating]) -> dict[int, list[tuple[float, int, int]]]:
    """Each film's neighbours by the oracle: score, co-raters and id, best first."""
    best = defaultdict(list)
    for first, second, count, *_, score in oracle.similarities(rated, 10, 0.95):
        best[first].append((score, count, second))
        best[second].append((score, count, first))
    return {
        movie: sorted(rows, key=lambda row: (-row[0], -row[1], row[2]))
        for movie, rows in best.items()
    }


def answers_are_exact(
    ask: Callable[[str], tuple[int, Any]], rated: list[Rating], run_id: str
) -> None:
    """Ask an API for every film's neighbours, and see that it answers what the oracle says."""
    told = expected(rated)
    assert len(told) == 14
    for movie, title in MOVIES.items():
        status, body = ask(f"/movies/{movie}/similar?limit=50&measure=cosine")
        assert status == 200
        assert body["run_id"] == run_id
        assert body["movie"]["title"] == title
        rows = [(row["score"], row["co_raters"], row["movie_id"]) for row in body["similar"]]
        assert rows == told.get(movie, [])
    assert body["reason"] == "0 users rated it; 10 are needed"


def clusters(world: World) -> int:
    """How many clusters were ever launched."""
    pages = world.cloud.client("emr").get_paginator("list_clusters").paginate()
    return sum(len(page["Clusters"]) for page in pages)


def drained(world: World) -> bool:
    """Whether no dropped file waits to be looked at."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible",
             "ApproximateNumberOfMessagesDelayed"]  # fmt: skip
    answer = world.cloud.client("sqs").get_queue_attributes(
        QueueUrl=world.cloud.outputs["LaunchQueue"], AttributeNames=names
    )
    return all(int(value) == 0 for value in answer["Attributes"].values())


def test_a_dropped_folder_is_answered_from_exactly_and_handled_once(world: World) -> None:
    world.cloud.limit(lambda_memory=1)
    before = clusters(world)
    rated = ratings(seed=1)
    world.drop(FOLDER, files(rated))
    run = world.wait_for_run(FOLDER, "LIVE", "FAILED")

    assert run["state"] == "LIVE", run.get("reason")
    assert run["counts"]["ratings"] == len(rated)
    assert clusters(world) == before + 1
    answers_are_exact(world.cloud.get, rated, run["run_id"])

    _, found = world.cloud.get("/movies?title=the%20film%203")
    assert found["movies"][0]["movie_id"] == 3

    world.drop(FOLDER, files(rated))
    world.wait_until(lambda: drained(world), "the launcher has looked at the same files again")
    assert clusters(world) == before + 1
    assert len(world.runs(FOLDER)) == 1

    changed = ratings(seed=2)
    world.drop(FOLDER, {"ratings.dat": files(changed)["ratings.dat"]})
    world.wait_until(lambda: len(world.runs(FOLDER)) == 2, "the changed file has a run")
    second = world.wait_for_run(FOLDER, "LIVE", "FAILED")
    assert second["state"] == "LIVE", second.get("reason")
    assert clusters(world) == before + 2
    assert [run["state"] for run in world.runs(FOLDER)] == ["LIVE", "SUPERSEDED"]
    _, body = world.cloud.get("/movies/1/similar?measure=cosine")
    assert [row["score"] for row in body["similar"]] == [
        row[0] for row in expected(changed)[1][:10]
    ]

    world.drop("garbage", {"ratings.dat": "not a rating\n" * 50, "movies.dat": MOVIES_DAT})
    failed = world.wait_for_run("garbage", "LIVE", "FAILED")
    assert failed["state"] == "FAILED"
    assert "ratings.dat: 50 of 50 sampled lines are malformed" in failed["reason"]
    assert clusters(world) == before + 2
    assert world.cloud.get("/movies/1/similar?measure=cosine") == (200, body)


def zipped(members: dict[str, str]) -> bytes:
    """A zip of these members."""
    blob = io.BytesIO()
    with zipfile.ZipFile(blob, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return blob.getvalue()


def test_a_zip_and_sparks_parts_are_answered_from_exactly_and_a_broken_zip_is_refused(
    world: World,
) -> None:
    world.cloud.limit(lambda_memory=1)
    before = clusters(world)
    s3, bucket = world.cloud.client("s3"), world.cloud.outputs["DatasetsBucket"]
    rated = ratings(seed=4)
    members = {f"ml-0m/{name}": text for name, text in files(rated).items()}
    archive = zipped(members | {"ml-0m/README": "read"})
    s3.put_object(Bucket=bucket, Key="ml-0m.zip", Body=archive)
    run = world.wait_for_run("ml-0m.zip", "LIVE", "FAILED")
    assert run["state"] == "LIVE", run.get("reason")
    answers_are_exact(world.cloud.get, rated, run["run_id"])

    rated = ratings(seed=5)
    lines = files(rated)["ratings.dat"].splitlines(keepends=True)
    s3.put_object(Bucket=bucket, Key="spark/movies.dat", Body=MOVIES_DAT.encode())
    for number in (1, 0):
        part = gzip.compress("".join(lines[number::2]).encode())
        key = f"spark/ratings.dat/part-0000{number}-5e3a-c000.txt.gz"
        s3.put_object(Bucket=bucket, Key=key, Body=part)
    run = world.wait_for_run("spark", "LIVE", "FAILED")
    assert run["state"] == "LIVE", run.get("reason")
    answers_are_exact(world.cloud.get, rated, run["run_id"])

    s3.put_object(Bucket=bucket, Key="broken.ZIP", Body=archive[:-40])
    run = world.wait_for_run("broken.ZIP", "LIVE", "FAILED")
    assert run["state"] == "FAILED"
    assert "broken.ZIP is damaged or incomplete, so it cannot be unpacked" in run["reason"]
    assert clusters(world) == before + 2


def test_a_folder_that_only_the_job_finds_hopeless_fails_in_the_jobs_words(world: World) -> None:
    good = files(ratings(seed=3))
    sampled = 70_000  # the intake check looks at head, middle and end
    good_lines = good["ratings.dat"] * (sampled // len(good["ratings.dat"]) + 1)
    rubbish = "rubbish " * 50_000 + "\n"
    lines = good_lines + ("no rating\n" * 30_000) + good_lines + ("no rating\n" * 30_000)
    world.drop("sly", {"ratings.dat": lines + rubbish + good_lines, "movies.dat": MOVIES_DAT})
    run = world.wait_for_run("sly", "LIVE", "FAILED")
    assert run["state"] == "FAILED"
    assert "lines are malformed (columns 6000" in run["reason"]
    assert run["log_uri"].startswith("s3://")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/movies/1/similar?limit=0", 400),
        ("/movies/999", 404),
        ("/nowhere", 404),
        ("/runs/none", 404),
        ("/movies", 400),
        ("/movies/%2e%2e%2f", 400),
    ],
)
def test_errors_are_problems_with_a_detail(world: World, path: str, status: int) -> None:
    got, body = world.cloud.get(path)
    assert (got, body["status"]) == (status, status)
    assert body["detail"]


def test_a_drop_with_a_nearly_right_name_says_what_it_waits_for_until_it_has_its_run(
    world: World,
) -> None:
    def waits_for() -> list[str]:
        _, body = world.cloud.get("/runs")
        return [each["waits_for"] for each in body["waiting"] if each["folder"] == "nearly"]

    right = files(ratings(7))
    world.drop("nearly", {"Ratings.JSON": "[]"})
    world.wait_until(lambda: waits_for() != [], "the drop is shown")
    (told,) = waits_for()
    assert told.startswith("Ratings.JSON is not taken: write it as ratings.csv")
    world.drop("nearly", right)
    world.wait_for_run("nearly", "LAUNCHING", "STARTING", "RUNNING", "INDEXING", "LIVE")
    world.wait_until(lambda: waits_for() == [], "the drop is no longer shown")
