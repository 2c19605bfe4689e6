"""Neighbours: symmetric, best first, with ties always in the same order."""

import pytest
from pyspark.sql import SparkSession
from pyspark.testing import assertDataFrameEqual

from neighbours import neighbour_lists, top_neighbours

pytestmark = pytest.mark.spark

PAIRS = "movie1 int, movie2 int, numPairs long, score double"


def test_a_pair_makes_each_the_others_neighbour(spark: SparkSession) -> None:
    pairs = spark.createDataFrame([(1, 2, 10, 0.99)], PAIRS)
    assertDataFrameEqual(
        top_neighbours(pairs, 5),
        spark.createDataFrame(
            [(1, 2, 0.99, 10, 1), (2, 1, 0.99, 10, 1)],
            "movie_id int, neighbour_id int, score double, co_raters long, rank int",
        ),
    )


def test_ties_go_by_co_raters_and_then_by_id(spark: SparkSession) -> None:
    pairs = spark.createDataFrame(
        [(9, 10, 12, 0.97), (2, 9, 11, 0.98), (3, 9, 12, 0.98), (4, 9, 11, 0.98)], PAIRS
    )
    best = top_neighbours(pairs, 3).where("movie_id = 9").orderBy("rank").collect()
    assert [row.neighbour_id for row in best] == [3, 2, 4]


def test_every_movie_gets_a_line_and_its_neighbours_in_order(spark: SparkSession) -> None:
    catalogue = spark.createDataFrame(
        [(1, "A", 1990, ["x"], 5), (2, None, None, [], 1), (12, "C", 1991, [], 9)],
        "movie_id int, title string, year int, genres array<string>, ratings long",
    )
    pairs = spark.createDataFrame([(1, 12, 10, 0.96), (1, 2, 20, 0.99)], PAIRS)
    lists = neighbour_lists(top_neighbours(pairs, 50), catalogue).orderBy("movie_id").collect()
    assert [[n.movie_id for n in row.neighbours] for row in lists] == [[2, 12], [1], [1]]
    assert lists[0].neighbours[1].asDict() == {
        "movie_id": 12, "title": "C", "year": 1991, "genres": [], "score": 0.96, "co_raters": 10,
    }  # fmt: skip


def test_a_movie_without_neighbours_has_an_empty_list(spark: SparkSession) -> None:
    catalogue = spark.createDataFrame(
        [(1, "A", 1990, ["x"], 5)],
        "movie_id int, title string, year int, genres array<string>, ratings long",
    )
    nothing = top_neighbours(spark.createDataFrame([], PAIRS), 50)
    assert neighbour_lists(nothing, catalogue).first().neighbours == []
