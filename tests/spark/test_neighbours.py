"""Neighbours: a line for every movie, best first."""

import pytest
from pyspark.sql import SparkSession

from neighbours import neighbour_lists

pytestmark = pytest.mark.spark

BEST = "movie_id int, neighbour_id int, score double, co_raters long, rank int"


def test_every_movie_gets_a_line_and_its_neighbours_in_order(spark: SparkSession) -> None:
    catalogue = spark.createDataFrame(
        [(1, "A", 1990, ["x"], 5), (2, None, None, [], 1), (12, "C", 1991, [], 9)],
        "movie_id int, title string, year int, genres array<string>, ratings long",
    )
    best = spark.createDataFrame(
        [(1, 12, 0.96, 10, 2), (12, 1, 0.96, 10, 1), (1, 2, 0.99, 20, 1), (2, 1, 0.99, 20, 1)], BEST
    )
    lists = neighbour_lists(best, catalogue).orderBy("movie_id").collect()
    assert [[n.movie_id for n in row.neighbours] for row in lists] == [[2, 12], [1], [1]]
    assert lists[0].neighbours[1].asDict() == {
        "movie_id": 12, "title": "C", "year": 1991, "genres": [], "score": 0.96, "co_raters": 10,
    }  # fmt: skip


def test_a_movie_without_neighbours_has_an_empty_list(spark: SparkSession) -> None:
    catalogue = spark.createDataFrame(
        [(1, "A", 1990, ["x"], 5)],
        "movie_id int, title string, year int, genres array<string>, ratings long",
    )
    nothing = spark.createDataFrame([], BEST)
    assert neighbour_lists(nothing, catalogue).first().neighbours == []
