"""The engine on Spark: the self-join's pairs to the bit, and the best neighbours."""

import itertools
import math
import signal
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark import TaskContext
from pyspark.sql import SparkSession

from spark.contracts.movielens import FORMATS
from spark.engine.blocks import choose_blocks
from spark.engine.cells import CellLists, CellPlan, Thresholds
from spark.engine.entries import BLOCK_MOVIES
from spark.engine.pairs import Pairs
from spark.engine.self_join import similarities
from spark.engine.shuffle import (
    best_neighbours,
    collect_partitions,
    compute_cells,
)
from spark.engine.top_k import NeighbourLists
from spark.ingest.ratings import Ratings, read_ratings
from tests.builders.folders import folder, ratings_frame
from tests.builders.submission import environment, spark_submit
from tests.conftest import ROOT, Observed, movielens
from tests.spark import oracle

pytestmark = pytest.mark.spark

IDS = st.sampled_from([1, 2, 3, 5, 8, 65133, 2**31 - 2, 2**31 - 1])
HALF_STARS = st.integers(1, 10).map(lambda half: half / 2)
RATINGS = st.dictionaries(st.tuples(IDS, IDS), HALF_STARS, max_size=60)

type Table = list[tuple[int, int, float]]


def ratings_of(spark: SparkSession, path: Path, table: Table) -> Ratings:
    """Write a table to a folder, and read it."""
    source = path / "ratings.dat"
    source.write_text("".join(f"{u}::{m}::{r:g}::1\n" for u, m, r in table) or "\n")
    size = source.stat().st_size
    return read_ratings(spark.sparkContext, str(path), FORMATS[0].ratings_layout, size, str(path))


def run(
    spark: SparkSession, path: Path, table: Table, thresholds: Thresholds, blocks: int
) -> tuple:
    """Compute a table: the folder of pairs, the neighbours by movie, and the number of pairs."""
    ratings = ratings_of(spark, path, table)
    least = thresholds.min_co_raters
    of_movies = choose_blocks(ratings.movies, ratings.raters, ratings.squares, least, blocks)
    range_starts = np.array([0, 3, 65133], np.int32)
    plan = CellPlan(of_movies, thresholds, str(path / "pairs"))
    found = compute_cells(ratings, plan, range_starts)
    merged = best_neighbours(found, thresholds.neighbours)
    best: dict[int, list] = {}
    for number, lists in collect_partitions(merged, found.partitions.published):
        for rows in lists.values():
            assert (np.searchsorted(range_starts, rows.movies, side="right") == number + 1).all()
            assert (rows.cosines == rows.scores).all()
            for movie, *row in zip(*(column.tolist() for column in rows[:4]), strict=True):
                best.setdefault(movie, []).append(tuple(row))
    return path / "pairs", best, found.pairs


def stored(pairs: Path) -> list[tuple]:
    """The pairs of a folder, sorted."""
    rows = pq.read_table(pairs).to_pylist() if pairs.exists() else []
    return sorted(tuple(row.values()) for row in rows)


def sorted_best(pairs: list, count: int) -> dict[int, list]:
    """Each movie's best neighbours by a full sort."""
    found: dict[int, list] = {}
    for one, two, n, *_, score in pairs:
        found.setdefault(one, []).append((two, score, n))
        found.setdefault(two, []).append((one, score, n))
    by_rank = {
        movie: sorted(all_, key=lambda x: (-x[1], -x[2], x[0])) for movie, all_ in found.items()
    }
    return {movie: all_[:count] for movie, all_ in by_rank.items()}


@settings(max_examples=20, deadline=None)
@given(
    ratings=RATINGS,
    min_co_raters=st.integers(1, 4),
    min_score=st.sampled_from([-1.0, 0.0, 0.5, 0.9, 0.95, 1.0]),
    neighbours=st.integers(1, 4),
    blocks=st.integers(1, 4),
)
def test_pairs_sums_scores_and_neighbours_are_exact(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, ratings: dict,
    min_co_raters: int, min_score: float, neighbours: int, blocks: int,
) -> None:  # fmt: skip
    table = [(user, movie, rating) for (user, movie), rating in ratings.items()]
    thresholds = Thresholds(min_co_raters, min_score, neighbours)
    pairs, best, count = run(spark, tmp_path_factory.mktemp("engine"), table, thresholds, blocks)
    expected = oracle.similarities(table, min_co_raters, min_score)
    assert stored(pairs) == expected
    assert best == sorted_best(expected, neighbours)
    assert count == len(expected)


def test_real_ratings_match_the_self_join_to_the_bit(spark: SparkSession, tmp_path: Path) -> None:
    lines = (movielens("ml-100k") / "u.data").read_text().splitlines()
    rows = (map(int, line.split("\t")) for line in lines)
    table = [(user, movie, float(rating)) for user, movie, rating, _ in rows if user % 4 == 0]
    output, best, _ = run(spark, tmp_path, table, Thresholds(3, 0.9, 7), blocks=3)
    pairs = stored(output)
    joined = similarities(ratings_frame(spark, table), 3, 0.9).collect()
    assert pairs == sorted(tuple(row) for row in joined) != []
    assert best == sorted_best(pairs, 7)


def test_what_is_ranked_beside_the_cells_reaches_the_partitions_of_the_same_movies(
    spark: SparkSession, tmp_path: Path
) -> None:
    ratings = ratings_of(
        spark, tmp_path, [(user, movie, 4.0) for user in (1, 2) for movie in (1, 11)]
    )
    of_movies = choose_blocks(ratings.movies, ratings.raters, ratings.squares, 2, count=2)

    def rank(number: int) -> Iterator[CellLists]:
        for is_held_out in (False, True):
            movie, other = (
                np.array([{0: 1, 1: 11}[number]], np.int32),
                np.array([5 + is_held_out], np.int32),
            )
            rows = NeighbourLists(movie, other, np.ones(1), np.zeros(1, np.int32), np.ones(1))
            yield CellLists("content", rows, is_held_out)

    plan = CellPlan(of_movies, Thresholds(2, 0.9, 5))
    found = compute_cells(ratings, plan, np.array([0, 10], np.int32), rank_beside=rank)
    assert found.pairs == 1
    best, partitions = best_neighbours(found, 5), found.partitions

    def pairs(among: range) -> list[dict[str, list[tuple[int, int]]]]:
        return [
            {
                name: [*zip(rows.movies.tolist(), rows.neighbours.tolist(), strict=True)]
                for name, rows in lists.items()
            }
            for _, lists in collect_partitions(best, among)
        ]

    assert pairs(partitions.published) == [
        {"cosine": [(1, 11)], "content": [(1, 5)]},
        {"cosine": [(11, 1)], "content": [(11, 5)]},
    ]
    assert pairs(partitions.held_out) == [{"content": [(1, 6)]}, {"content": [(11, 6)]}]


def test_what_is_ranked_beside_the_cells_starts_after_them(
    spark: SparkSession, tmp_path: Path
) -> None:
    table = [(user, movie, 4.0) for user in (1, 2) for movie in (1, 2, 11, 12)]
    ratings = ratings_of(spark, tmp_path, table)
    of_movies = choose_blocks(ratings.movies, ratings.raters, ratings.squares, 2, count=2)

    def note() -> None:  # Spark numbers attempts in the order in which it starts them
        task = TaskContext.get()
        (tmp_path / f"task-{task.partitionId()}").write_text(str(task.taskAttemptId()))

    def measure(pairs: Pairs) -> np.ndarray:
        note()
        return pairs.n.astype(float)

    def rank(_: int) -> Iterator[CellLists]:
        note()
        return iter(())

    plan = CellPlan(of_movies, Thresholds(2, 0.9, 5, {"by n": measure}))
    compute_cells(ratings, plan, np.array([0, 10], np.int32), rank_beside=rank)
    tasks = range(len(of_movies.cells) + 2)
    attempts = [int((tmp_path / f"task-{number}").read_text()) for number in tasks]
    assert attempts == sorted(attempts)


def test_more_raters_than_a_field_holds_are_still_exact(
    spark: SparkSession, tmp_path: Path
) -> None:
    table = [(user, movie, 5.0) for user in range(1, 3001) for movie in (7, 9)]
    pairs, _, _ = run(spark, tmp_path, table, Thresholds(10, 0.95, 5), blocks=2)
    score = 75000 / (math.sqrt(75000) * math.sqrt(75000))
    assert stored(pairs) == [(7, 9, 3000, 75000.0, 75000.0, 75000.0, score)]


def test_a_user_can_have_more_movies_than_a_block_holds(
    spark: SparkSession, tmp_path: Path
) -> None:
    movies = BLOCK_MOVIES + 5
    table = [(user, movie, 4.0) for user in (1, 2) for movie in range(1, movies + 1)]
    _, best, count = run(spark, tmp_path, table, Thresholds(2, 0.9, 2), blocks=1)
    score = 32 / (math.sqrt(32) * math.sqrt(32))
    assert count == movies * (movies - 1) // 2
    assert best[movies] == [(1, score, 2), (2, score, 2)]
    assert best[1] == [(2, score, 2), (3, score, 2)]


def test_skewed_users_and_movies_and_sparse_ids_are_exact(
    spark: SparkSession, tmp_path: Path
) -> None:
    table = skewed(busiest=7_359, most_raters=35_000, movies=65_000)
    output, best, _ = run(spark, tmp_path, table, Thresholds(10, 0.85, 5), blocks=1)
    pairs = pairs_of_few(table, 10, 0.85)
    assert stored(output) == pairs
    assert best == sorted_best(pairs, 5)
    assert max(n for _, _, n, *_ in pairs) == 35_000
    assert len({movie for _, movie, _ in table}) == 65_000


def skewed(busiest: int, most_raters: int, movies: int) -> Table:
    """A table with sparse ids up to the largest.

    User 1 rates `busiest` movies, each of which twelve others rate; two movies have `most_raters`
    raters; the rest of `movies` has one each.
    """
    ids = [2**31 - 1 - 33_000 * number for number in range(movies)]
    table = [(1, ids[number], number % 10 / 2 + 0.5) for number in range(busiest)]
    table += [
        (2 + user, ids[(user + step) % busiest], 3 + user * step % 5 / 2)
        for user in range(busiest)
        for step in range(12)
    ]
    for user in range(10**6, 10**6 + most_raters):
        table += [(user, ids[busiest], user % 9 / 2 + 0.5), (user, ids[busiest + 1], 4.5)]
    table += [(10**6 + number, ids[number], 3.0) for number in range(busiest + 2, movies)]
    return table


def pairs_of_few(table: Table, min_co_raters: int, min_score: float) -> list[tuple]:
    """The pairs from plain loops, for tables in which all users but user 1 have few ratings."""
    by_user, by_movie = defaultdict(list), defaultdict(dict)
    for user, movie, rating in table:
        by_user[user].append(movie)
        by_movie[movie][user] = rating
    del by_user[1]
    common = Counter(
        pair for movies in by_user.values() for pair in itertools.combinations(sorted(movies), 2)
    )
    pairs = []
    for (one, two), n in common.items():
        if n < min_co_raters - 1:
            continue
        x, y = by_movie[one], by_movie[two]
        both = x.keys() & y.keys()
        xy = sum(x[user] * y[user] for user in both)
        xx, yy = (sum(stars[user] ** 2 for user in both) for stars in (x, y))
        score = xy / (math.sqrt(xx) * math.sqrt(yy))
        if len(both) >= min_co_raters and score >= min_score:
            pairs.append((one, two, len(both), xy, xx, yy, score))
    return sorted(pairs)


@pytest.mark.drill(
    "Clusters",
    injected="an executor is killed while the cells are summed up, as when a core node is lost",
    promised="the job succeeds with the same pairs and integers as the oracle",
)
@pytest.mark.usefixtures("executors")
def test_a_run_survives_the_loss_of_an_executor(tmp_path: Path, observed: Observed) -> None:
    table = [(u, m, (u * m) % 10 / 2 + 0.5) for u in range(1, 400) for m in range(1, 150)]
    lines = "".join(f"{u}::{m}::{r:g}::1\n" for u, m, r in table)
    dataset = folder(tmp_path / "d", ratings_dat=lines, movies_dat="1::One (1999)::Drama\n")
    output, log = tmp_path / "result", tmp_path / "log"
    with log.open("wb") as out:
        job = subprocess.Popen(
            spark_submit(
                ROOT / "spark" / "similarity_job.py", "--dataset", dataset, "--output", output,
                "--min-score", "0.5", "--blocks", "12", "--measures", "cosine",
                master="local-cluster[3,1,1024]", conf={"spark.executor.memory": "1g"},
            ),
            stdout=out, stderr=out, env=environment(),
        )  # fmt: skip
    try:
        wait_for(job, lambda: list(output.glob("similarities/cell-*.parquet")), "a first cell")
        of_job = {each.pid for each in psutil.Process(job.pid).children(recursive=True)}
        running = [
            each for each in psutil.process_iter(["cmdline"])
            if each.pid in of_job
            and "CoarseGrainedExecutorBackend" in " ".join(each.info["cmdline"] or [])
        ]  # fmt: skip
        running[0].send_signal(signal.SIGKILL)
        assert job.wait(timeout=480) == 0, log.read_text()[-3000:]
    finally:
        job.kill()
    assert "Lost executor" in log.read_text()
    assert stored(output / "similarities") == oracle.similarities(table, 10, 0.5)
    observed(1, "the same to the bit")


def wait_for(job: subprocess.Popen, condition: Callable[[], object], what: str) -> None:
    """Wait until a condition holds, at most three minutes and only while the job runs."""
    end = time.monotonic() + 180
    while not condition():
        assert job.poll() is None, f"the job ended before there was {what}"
        assert time.monotonic() < end, f"no {what}"
        time.sleep(0.05)
