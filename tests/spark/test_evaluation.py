"""The evaluation on Spark: reading, ALS, and agreement with published figures."""

from pathlib import Path

import numpy as np
import pytest
from pyspark.ml.recommendation import ALS
from pyspark.sql import SparkSession
from scipy import sparse

from evaluation import models, runs, scoring, splits
from evaluation.baselines import als
from evaluation.interactions import Interactions, read
from evaluation.published import DATASET, PUBLISHED, TARGET, deviations
from spark.measures.registry import DEFAULT, MEASURES
from tests.builders.folders import folder, ratings_frame
from tests.conftest import movielens

pytestmark = pytest.mark.spark


def read_folder(spark: SparkSession, path: Path, scratch: Path) -> Interactions:
    return read(spark.sparkContext, path, scratch)


def test_a_folder_is_read_as_a_matrix_of_half_stars(spark: SparkSession, tmp_path: Path) -> None:
    path = folder(
        tmp_path / "ml",
        ratings_csv="userId,movieId,rating,timestamp\n9,20,4.5,1\n9,5,3,1\n2,20,0.5,1\n2,20,1,2\n",
        movies_csv='movieId,title,genres\n5,"A (1990)",Drama\n7,B (1991),War\n20,C (1992),War\n',
        tags_csv="userId,movieId,tag,timestamp\n9,7,Dark ,1\n2,7,dark,1\n",
    )
    found = read_folder(spark, path, tmp_path / "scratch")
    assert found.movies.ids.tolist() == [5, 7, 20]
    assert found.halves.toarray().tolist() == [[0, 0, 2], [6, 0, 9]]  # users 2 and 9
    assert found.tags == {(7, "dark"): pytest.approx(1 + np.log(2))}
    assert found.times is not None
    assert found.times.toarray().tolist() == [[0, 0, 2], [1, 0, 1]]  # the later of two ratings


def test_the_times_of_ratings_are_read_over_the_edges_of_what_is_read_at_once(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    table = np.where(random.random((30, 20)) < 0.5, random.integers(1, 10**9, (30, 20)), 0)
    lines = [f"{u + 1}::{m + 1}::4::{table[u, m]}\n" for u, m in np.argwhere(table)]
    random.shuffle(lines)
    movies = "".join(f"{movie}::M (1999)::Drama\n" for movie in range(1, 21))
    path = folder(tmp_path / "ml", ratings_dat="".join(lines), movies_dat=movies)
    monkeypatch.setattr("evaluation.interactions.SCANNED_AT_ONCE", 100)
    found = read_folder(spark, path, tmp_path / "scratch")
    assert found.times is not None
    assert np.array_equal(found.times.toarray(), table)


@pytest.mark.parametrize("column", ["", ",7"])
def test_ratings_without_times_or_with_equal_ones_have_no_order(
    spark: SparkSession, tmp_path: Path, column: str
) -> None:
    header = "userId,movieId,rating" + (",timestamp" if column else "")
    path = folder(
        tmp_path / "ml",
        ratings_csv=f"{header}\n1,5,4{column}\n1,6,4{column}\n2,5,3{column}\n",
        movies_csv="movieId,title,genres\n5,A (1990),Drama\n6,B (1991),War\n",
    )
    assert read_folder(spark, path, tmp_path / "scratch").times is None


def test_a_new_user_gets_the_factors_that_als_itself_finds(spark: SparkSession) -> None:
    # MLlib solves for the movies last. With one factor it converges at once, so solving for the
    # users again gives MLlib's own users.
    random = np.random.default_rng(0)
    likes = sparse.csr_array((random.random((30, 12)) < 0.4).astype(float))
    parameters = {"rank": 1, "iterations": 6, "regularisation": 0.05, "alpha": 2}
    found = als.factors(spark, likes * 10, parameters, seed=0)
    rows = [(int(u), int(m), 5.0) for u, m in zip(*likes.nonzero(), strict=True)]
    model = ALS(
        rank=1, maxIter=6, regParam=0.05, alpha=2, implicitPrefs=True, seed=0,
        userCol="user", itemCol="movie", ratingCol="rating",
    ).fit(ratings_frame(spark, rows))  # fmt: skip
    users = {row["id"]: row["features"] for row in model.userFactors.collect()}
    movies = {row["id"]: row["features"] for row in model.itemFactors.collect()}
    scores = found.scores(likes)
    for user, features in users.items():
        expected = [np.dot(features, movies[movie]) for movie in sorted(movies)]
        assert scores[user][sorted(movies)] == pytest.approx(expected, abs=0.02)


def test_movies_with_parallel_factors_have_cosine_one() -> None:
    found = als.Factors(np.array([[1.0, 2.0], [2.0, 4.0], [0.0, 0.0]]), {}).cosine()
    assert found == pytest.approx(np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]]))


@pytest.mark.slow
def test_the_published_table_is_reproduced(spark: SparkSession, tmp_path: Path) -> None:
    everything = read_folder(spark, movielens(DATASET), tmp_path)
    found = runs.published(spark, everything, lambda text: None)  # noqa: ARG005
    assert deviations(found) == []
    assert found[DEFAULT]["recall@20"] >= TARGET
    popularity = found["popularity"]["recall@20"]
    below = {name for name in MEASURES if found[name]["recall@20"] <= popularity}
    assert below <= {"cosine"}


def test_ease_matches_its_published_figures(spark: SparkSession, tmp_path: Path) -> None:
    """The part of the published table that takes seconds."""
    everything = read_folder(spark, movielens(DATASET), tmp_path)
    split = splits.by_rating(splits.rated_at_least(everything.halves, 10), 10, runs.SEED)
    training = models.Training(split.train, everything.movies, everything.tags)
    ease = scoring.users_lists(split, runs.summed(models.weights(training, "ease")))
    assert ease["recall@20"] == pytest.approx(PUBLISHED["ease"].recall, abs=0.01)
    assert ease["MAP@20"] == pytest.approx(PUBLISHED["ease"].precision, abs=0.01)
