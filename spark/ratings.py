"""The ratings file: its lines as ratings, those that are none, and the latest of each pair."""

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from lines import columns, first_defect, is_id, is_integer, read_lines
from movielens import MAX_RATING, MIN_RATING, Format


def read_ratings(spark: SparkSession, uri: str, format: Format) -> DataFrame:
    """Every line of a ratings file with what it says; `movielens.rating_defect` has the rules.

    Returns:
        `line`, `number`, `defect` (null where the line is good) and, of good lines, `user` (int),
        `movie` (int), `rating` (double, half stars 0.5 to 5), `timestamp` (long, seconds).
    """
    lines = read_lines(spark, uri, format)
    split = lines.withColumn("columns", columns(F.col("line"), format.ratings_separator, count=4))
    user, movie, rating, timestamp = (F.col("columns")[index] for index in range(4))
    is_rating = rating.rlike(r"^[0-5](\.[05]0*)?\z") & rating.try_cast("double").between(
        MIN_RATING, MAX_RATING
    )
    defect = first_defect(
        [
            ("columns", F.col("columns").isNotNull()),
            ("user_id", is_id(user)),
            ("movie_id", is_id(movie)),
            ("rating", is_rating),
            ("timestamp", is_integer(timestamp)),
        ]
    )
    return split.select(
        "line",
        "number",
        defect.alias("defect"),
        user.try_cast("int").alias("user"),
        movie.try_cast("int").alias("movie"),
        rating.try_cast("double").alias("rating"),
        timestamp.try_cast("long").alias("timestamp"),
    )


def latest_ratings(lines: DataFrame) -> DataFrame:
    """The rating that counts of each user and movie: the latest, of equals the later line.

    Args:
        lines: from `read_ratings`.

    Returns:
        `user` (int), `movie` (int), `rating` (double); a user and movie once.
    """
    good = lines.where(F.col("defect").isNull())
    latest = F.max_by("rating", F.struct("timestamp", "number"))
    return good.groupBy("user", "movie").agg(latest.alias("rating"))
