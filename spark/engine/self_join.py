"""Item-item similarity by a self-join: the tutorial's program, plain and exact.

Tests and benchmarks compare faster engines with it.
"""

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from spark.contracts.movielens import Format


def similarities(ratings: DataFrame, min_co_raters: int, min_score: float) -> DataFrame:
    """The cosine similarity of every pair of movies over the users who rated both.

    The sums are exact: products of half stars are quarters, and doubles hold those exactly.
    `cosine` computes the score from them.

    Args:
        ratings: `user`, `movie`, `rating`; each user and movie once.
        min_co_raters: pairs with fewer common users are dropped.
        min_score: pairs with a lower score are dropped.

    Returns:
        `movie1`, `movie2` (int, the smaller id first), `numPairs` (long), `sum_xy`, `sum_xx`,
        `sum_yy`, `score` (double).
    """
    sums = sums_of(pairs_of(ratings))
    score = cosine(F.col("sum_xy"), F.col("sum_xx"), F.col("sum_yy"))
    has_co_raters = F.col("numPairs") >= min_co_raters
    has_score = F.col("score") >= min_score
    return sums.withColumn("score", score).where(has_co_raters & has_score)


def pairs_of(ratings: DataFrame) -> DataFrame:
    """Every two movies that a user rated, once, with the user's ratings of both.

    Args:
        ratings: see `similarities`.

    Returns:
        `user`, `movie1`, `x`, `movie2`, `y`; the smaller id first.
    """
    first = ratings.select("user", F.col("movie").alias("movie1"), F.col("rating").alias("x"))
    second = ratings.select("user", F.col("movie").alias("movie2"), F.col("rating").alias("y"))
    return first.join(second, "user", how="inner").where(F.col("movie1") < F.col("movie2"))


def sums_of(pairs: DataFrame) -> DataFrame:
    """The four sums of every pair of movies, over the users who rated both.

    Args:
        pairs: from `pairs_of`.

    Returns:
        `movie1`, `movie2` (int), `numPairs` (long), `sum_xy`, `sum_xx`, `sum_yy` (double).
    """
    return pairs.groupBy("movie1", "movie2").agg(
        F.count("*").alias("numPairs"),
        F.sum(F.col("x") * F.col("y")).alias("sum_xy"),
        F.sum(F.col("x") * F.col("x")).alias("sum_xx"),
        F.sum(F.col("y") * F.col("y")).alias("sum_yy"),
    )


def cosine(sum_xy: Column, sum_xx: Column, sum_yy: Column) -> Column:
    """The score of a pair, in the order of operations that reproduces published tables exactly.

    Args:
        sum_xy: sum of the products of both movies' ratings, over the users who rated both.
        sum_xx: sum of the squares of the first movie's ratings, over the same users.
        sum_yy: the same for the second movie.
    """
    return sum_xy / (F.sqrt(sum_xx) * F.sqrt(sum_yy))


def neighbours(similar: DataFrame, movie: int) -> DataFrame:
    """The movies that are similar to one movie, which is first in some pairs and second in others.

    Args:
        similar: from `similarities`.
        movie: id.

    Returns:
        `movie_id` (int), `numPairs` (long), `score` (double), ranked as the job ranks: by score,
        then co-raters, then the smaller id.
    """
    is_first = F.col("movie1") == movie
    other = F.when(is_first, F.col("movie2")).otherwise(F.col("movie1"))
    found = similar.where(is_first | (F.col("movie2") == movie))
    rows = found.select(other.alias("movie_id"), "numPairs", "score")
    return rows.orderBy(F.desc("score"), F.desc("numPairs"), "movie_id")


def read_ratings(spark: SparkSession, folder: str, form: Format) -> DataFrame:
    """The ratings of a folder, if every line is good and none is a duplicate.

    The job has its own reader (ingest/ratings.py), which is faster and checks every line.

    Args:
        spark: session.
        folder: URI of a MovieLens folder.
        form: of the folder.

    Returns:
        `user`, `movie` (int), `rating` (double), `timestamp` (long).
    """
    return spark.read.csv(
        f"{folder.rstrip('/')}/{form.ratings}",
        schema="user int, movie int, rating double, timestamp long",
        sep=form.ratings_separator,
        header=form.header,
    )
