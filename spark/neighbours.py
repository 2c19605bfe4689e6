"""Each movie with its neighbours, as users see them."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def neighbour_lists(neighbours: DataFrame, catalogue: DataFrame) -> DataFrame:
    """Every movie of the catalogue with its neighbours, best first.

    Args:
        neighbours: `movie_id`, `neighbour_id`, `score`, `co_raters`, `rank`, from `engine.compute`.
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
