"""Item-item similarity by self-join: the tutorial's program, plain and exact.

It is the oracle that tests and benchmarks hold faster engines against.
"""

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from spark.contracts.movielens import Format


def similarities(ratings: DataFrame, min_co_raters: int, min_score: float) -> DataFrame:
    """The cosine similarity of every pair of movies over the users who rated both.

    The sums are exact, since products of half stars are quarters and doubles hold those; `cosine`
    makes the score of them.

    Args:
        ratings: `user`, `movie`, `rating`; a user and movie once.
        min_co_raters: pairs with fewer common users are left out.
        min_score: pairs with a lower score are left out.

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
    """Every two movies that a user rated, each two once, with the user's ratings of both.

    Args:
        ratings: as `similarities` takes them.

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
    """The score of a pair, in the one order of operations that gives published tables' last digit.

    Args:
        sum_xy: of the products of both movies' ratings, over the users who rated both.
        sum_xx: of the squares of the first movie's ratings, over the same users.
        sum_yy: of the squares of the second movie's.
    """
    return sum_xy / (F.sqrt(sum_xx) * F.sqrt(sum_yy))


def neighbours(similar: DataFrame, movie: int) -> DataFrame:
    """What is similar to one movie, which is the first of some pairs and the second of others.

    Args:
        similar: from `similarities`.
        movie: id.

    Returns:
        `movie_id` (int), `numPairs` (long), `score` (double), in the order in which the job ranks:
        by score, then co-raters, then the smaller id.
    """
    is_first = F.col("movie1") == movie
    other = F.when(is_first, F.col("movie2")).otherwise(F.col("movie1"))
    found = similar.where(is_first | (F.col("movie2") == movie))
    rows = found.select(other.alias("movie_id"), "numPairs", "score")
    return rows.orderBy(F.desc("score"), F.desc("numPairs"), "movie_id")


def read_ratings(spark: SparkSession, folder: str, form: Format) -> DataFrame:
    """The ratings of a folder, every line of which is taken to be good and no other's duplicate.

    The job reads by itself (ratings.py): faster, and with an eye on the lines.

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
