"""The self-join: the same pairs, integers and doubles as an independent computation."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.testing import assertDataFrameEqual

from spark.contracts.movielens import FORMATS, Format
from spark.engine.self_join import cosine, neighbours, read_ratings, similarities
from tests.builders.folders import folder, ratings_frame
from tests.spark import oracle

pytestmark = pytest.mark.spark

PAIRS = (
    "movie1 int, movie2 int, numPairs long, sum_xy double, sum_xx double, sum_yy double, "
    "score double"
)
IDS = st.sampled_from([1, 2, 3, 5, 8, 65133, 2**31 - 2, 2**31 - 1])
HALF_STARS = st.integers(1, 10).map(lambda half: half / 2)
RATINGS = st.dictionaries(st.tuples(st.integers(1, 12), IDS), HALF_STARS, max_size=60)


def rows(pairs: DataFrame) -> list[tuple]:
    """The pairs as plain tuples, sorted."""
    return sorted(tuple(row) for row in pairs.collect())


def test_a_pair_is_summed_over_the_users_who_rated_both(spark: SparkSession) -> None:
    ratings = ratings_frame(
        spark,
        [(1, 7, 5.0), (1, 3, 4.0), (2, 7, 0.5), (2, 3, 1.5), (3, 3, 5.0), (4, 7, 5.0), (4, 9, 2.0)],
    )
    # By hand, movies 3 and 7 over users 1 and 2: 4 * 5 + 1.5 * 0.5 and so on.
    together = (3, 7, 2, 20.75, 18.25, 25.25, 20.75 / (18.25**0.5 * 25.25**0.5))
    alone = (7, 9, 1, 10.0, 25.0, 4.0, 1.0)
    pairs = similarities(ratings, 1, 0.0)
    assert pairs.schema.simpleString() == spark.createDataFrame([], PAIRS).schema.simpleString()
    assert rows(pairs) == [together, alone]
    assertDataFrameEqual(similarities(ratings, 2, 0.0), spark.createDataFrame([together], PAIRS))
    assertDataFrameEqual(similarities(ratings, 1, 1.0), spark.createDataFrame([alone], PAIRS))


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


def test_thousands_of_scores_are_exact_to_the_last_bit(spark: SparkSession) -> None:
    draw = random.Random(20)
    table = [
        (user, movie * 20_000_003 % 2**31, draw.randint(1, 10) / 2)
        for user in range(1, 81)
        for movie in range(1, 101)
        if draw.random() < 0.4
    ]
    expected = oracle.similarities(table, 3, 0.5)
    assert len(expected) > 4000
    assert rows(similarities(ratings_frame(spark, table), 3, 0.5)) == expected


def test_the_score_reproduces_published_tables(spark: SparkSession) -> None:
    published = [
        (143.0, 162.75, 126.5, 0.9966215554619151),
        (180.5, 207.75, 158.5, 0.9946998598171956),
        (332.25, 439.75, 256.5, 0.989278067592776),
        (102072.0, 100414.0, 113210.75, 0.9573387913508588),
        (44755.5, 47380.25, 45733.25, 0.961461075725028),
    ]
    table = spark.createDataFrame(published, "xy double, xx double, yy double, score double")
    computed = table.select(
        cosine(F.col("xy"), F.col("xx"), F.col("yy")).alias("computed"), "score"
    )
    assert [row.computed for row in computed.collect()] == [row[-1] for row in published]


def test_a_movies_neighbours_come_from_pairs_in_which_it_is_first_or_second(
    spark: SparkSession,
) -> None:
    draw = random.Random(8)
    table = [(u, m, draw.randint(6, 8) / 2) for u in range(1, 9) for m in range(1, 31)]
    expected = oracle.neighbours(oracle.similarities(table, 2, 0.98), most=30)
    similar = similarities(ratings_frame(spark, table), 2, 0.98)
    assert 5 < len(expected[15]) < 29
    found = [(row.movie_id, row.score, row.numPairs) for row in neighbours(similar, 15).collect()]
    assert found == expected[15]


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_the_self_join_reads_every_format(
    spark: SparkSession, tmp_path: Path, form: Format
) -> None:
    lines = ["userId,movieId,rating,timestamp"] if form.header else []
    rows = [(1, 31, 2.5, 1260759144), (2**31 - 1, 65133, 5.0, 12)]
    lines += [form.ratings_separator.join(str(value) for value in row) for row in rows]
    where = folder(tmp_path, **{form.ratings: "\n".join(lines) + "\n"})
    assert [tuple(row) for row in read_ratings(spark, str(where), form).collect()] == rows
