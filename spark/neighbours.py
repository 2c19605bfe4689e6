"""Each movie's neighbours: the best of its pairs, whichever of the two it is in them."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F


def top_neighbours(pairs: DataFrame, count: int) -> DataFrame:
    """The most similar movies of each movie.

    Args:
        pairs: `movie1`, `movie2`, `numPairs`, `score`.
        count: at most so many per movie.

    Returns:
        `movie_id`, `neighbour_id` (int), `score` (double), `co_raters` (long), `rank` (int from 1):
        by score, then co-raters, then the smaller id.
    """
    one_way = pairs.select(
        F.col("movie1").alias("movie_id"),
        F.col("movie2").alias("neighbour_id"),
        "score",
        F.col("numPairs").alias("co_raters"),
    )
    other_way = one_way.select(
        F.col("neighbour_id").alias("movie_id"),
        F.col("movie_id").alias("neighbour_id"),
        "score",
        "co_raters",
    )
    best_first = Window.partitionBy("movie_id").orderBy(
        F.desc("score"), F.desc("co_raters"), F.asc("neighbour_id")
    )
    return (
        one_way.union(other_way)
        .withColumn("rank", F.row_number().over(best_first))
        .where(F.col("rank") <= count)
    )


def neighbour_lists(neighbours: DataFrame, catalogue: DataFrame) -> DataFrame:
    """Every movie of the catalogue with its neighbours, best first.

    Args:
        neighbours: from `top_neighbours`.
        catalogue: `movie_id`, `title`, `year`, `genres`, `ratings`.

    Returns:
        The catalogue's columns and `neighbours`: an array of `movie_id`, `title`, `year`, `genres`,
        `score`, `co_raters`; empty for a movie without any.
    """
    about = catalogue.select(F.col("movie_id").alias("neighbour_id"), "title", "year", "genres")
    neighbour = F.struct(
        "rank",
        F.col("neighbour_id").alias("movie_id"),
        "title",
        "year",
        "genres",
        "score",
        "co_raters",
    )
    lists = (
        neighbours.join(about, "neighbour_id", how="inner")
        .groupBy("movie_id")
        .agg(F.array_sort(F.collect_list(neighbour)).alias("ranked"))
    )
    without_rank = F.transform("ranked", lambda one: one.dropFields("rank"))
    none = F.array().cast(
        "array<struct<movie_id:int,title:string,year:int,genres:array<string>,score:double,co_raters:bigint>>"
    )
    return catalogue.join(lists, "movie_id", how="left").select(
        *catalogue.columns, F.coalesce(without_rank, none).alias("neighbours")
    )
