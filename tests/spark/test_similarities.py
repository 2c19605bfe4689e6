"""Similarities: the same pairs, integers and doubles as an independent computation, to the bit."""

import csv
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from self_join import similarities
from tests.conftest import movielens
from tests.spark import oracle
from tests.spark.conftest import ratings_frame

pytestmark = pytest.mark.spark

IDS = st.sampled_from([1, 2, 3, 5, 8, 65133, 2**31 - 2, 2**31 - 1])
HALF_STARS = st.integers(1, 10).map(lambda half: half / 2)
RATINGS = st.dictionaries(st.tuples(st.integers(1, 12), IDS), HALF_STARS, max_size=60)


def rows(pairs: DataFrame) -> list[tuple]:
    """The pairs as plain tuples, sorted."""
    return sorted(tuple(row) for row in pairs.collect())


@settings(max_examples=12, deadline=None)
@given(
    ratings=RATINGS,
    min_co_raters=st.integers(1, 4),
    min_score=st.sampled_from([0.0, 0.5, 0.9, 0.95, 1.0]),
)
def test_pairs_and_sums_and_scores_are_exact(
    spark: SparkSession, ratings: dict, min_co_raters: int, min_score: float
) -> None:
    table = [(user, movie, rating) for (user, movie), rating in ratings.items()]
    pairs = similarities(ratings_frame(spark, table), min_co_raters, min_score)
    assert rows(pairs) == oracle.similarities(table, min_co_raters, min_score)


@pytest.mark.parametrize(
    ("pairs", "sum_xy", "sum_xx", "sum_yy", "score"),
    [
        (10, 143.0, 162.75, 126.5, 0.9966215554619151),
        (13, 180.5, 207.75, 158.5, 0.9946998598171956),
        (24, 332.25, 439.75, 256.5, 0.989278067592776),
        (6449, 102072.0, 100414.0, 113210.75, 0.9573387913508588),
        (2873, 44755.5, 47380.25, 45733.25, 0.961461075725028),
    ],
)
def test_the_formula_reproduces_published_scores(
    spark: SparkSession, pairs: int, sum_xy: float, sum_xx: float, sum_yy: float, score: float
) -> None:
    computed = spark.sql(f"SELECT {sum_xy}D / (sqrt({sum_xx}D) * sqrt({sum_yy}D)) AS score")
    assert computed.first().score == score
    assert sum_xy / (math.sqrt(sum_xx) * math.sqrt(sum_yy)) == score
    assert pairs > 0


def test_real_ratings_give_exactly_the_oracles_pairs(spark: SparkSession) -> None:
    with (movielens("ml-latest-small") / "ratings.csv").open() as lines:
        table = [
            (int(line["userId"]), int(line["movieId"]), float(line["rating"]))
            for line in csv.DictReader(lines)
            if int(line["userId"]) % 5 == 0
        ]
    pairs = similarities(ratings_frame(spark, table), 5, 0.9)
    assert rows(pairs) == oracle.similarities(table, 5, 0.9) != []
