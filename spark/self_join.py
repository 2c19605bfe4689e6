"""Item-item similarity by self-join: the tutorial's program, plain and exact.

It is the oracle that tests and benchmarks hold faster engines against.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


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
    first = ratings.select("user", F.col("movie").alias("movie1"), F.col("rating").alias("x"))
    second = ratings.select("user", F.col("movie").alias("movie2"), F.col("rating").alias("y"))
    pairs = first.join(second, "user", how="inner").where(F.col("movie1") < F.col("movie2"))
    sums = pairs.groupBy("movie1", "movie2").agg(
        F.count("*").alias("numPairs"),
        F.sum(F.col("x") * F.col("y")).alias("sum_xy"),
        F.sum(F.col("x") * F.col("x")).alias("sum_xx"),
        F.sum(F.col("y") * F.col("y")).alias("sum_yy"),
    )
    score = cosine(F.col("sum_xy"), F.col("sum_xx"), F.col("sum_yy"))
    has_co_raters = F.col("numPairs") >= min_co_raters
    has_score = F.col("score") >= min_score
    return sums.withColumn("score", score).where(has_co_raters & has_score)


def cosine(sum_xy: Column, sum_xx: Column, sum_yy: Column) -> Column:
    """The score of a pair, in the one order of operations that gives published tables' last digit.

    Args:
        sum_xy: of the products of both movies' ratings, over the users who rated both.
        sum_xx: of the squares of the first movie's ratings, over the same users.
        sum_yy: of the squares of the second movie's.
    """
    return sum_xy / (F.sqrt(sum_xx) * F.sqrt(sum_yy))
