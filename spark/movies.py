"""The movies file: titles, years and genres, and the catalogue of all that is known or rated."""

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from lines import columns, first_defect, is_id, read_lines
from movielens import BLANKS, GENRES_100K, NO_GENRES, Format

FIRST_FLAG = 5  # the column of u.item in which the genre flags begin


def read_movies(spark: SparkSession, uri: str, format: Format) -> DataFrame:
    """Every line of a movies file with what it says; `movielens.movie_defect` has the rules.

    Returns:
        `line`, `number`, `defect` (null where the line is good) and, of good lines, `movie` (int),
        `title`, `year` (int or null), `genres` (array of texts).
    """
    lines = read_lines(spark, uri, format)
    split = lines.withColumn(
        "columns", columns(F.col("line"), format.movies_separator, format.movies_columns)
    )
    movie, title = F.col("columns")[0], F.btrim(F.col("columns")[1], F.lit(BLANKS))
    defect = first_defect(
        [
            ("columns", F.col("columns").isNotNull()),
            ("movie_id", is_id(movie)),
            ("title", title != ""),
        ]
    )
    return split.select(
        "line",
        "number",
        defect.alias("defect"),
        movie.try_cast("int").alias("movie"),
        title.alias("title"),
        _year(title).alias("year"),
        _genres(format).alias("genres"),
    )


def catalogue(lines: DataFrame, rated: DataFrame) -> DataFrame:
    """All movies that are in the movies file or were rated.

    Args:
        lines: from `read_movies`; of several lines of one movie the first counts.
        rated: `movie` (int) and `ratings` (long), how many users rated it.

    Returns:
        `movie_id` (int), `title` (null where the file has none), `year` (int or null), `genres`
        (array, may be empty), `ratings` (long, how many users rated it).
    """
    good = lines.where(F.col("defect").isNull())
    first = F.min_by(F.struct("title", "year", "genres"), "number")
    movies = good.groupBy("movie").agg(first.alias("about"))
    return movies.join(rated, "movie", how="full").select(
        F.col("movie").alias("movie_id"),
        "about.title",
        "about.year",
        F.coalesce("about.genres", F.array().cast("array<string>")).alias("genres"),
        F.coalesce("ratings", F.lit(0)).alias("ratings"),
    )


def _year(title: Column) -> Column:
    """The year in parentheses at a title's end; of a span such as (1995-1997) the first."""
    # A span has a hyphen or an en dash and may be open: (1975-1979), (2007-).
    return F.regexp_extract(title, r"\((\d{4})(?:[-\u2013](?:\d{4})?)?\)\z", 1).try_cast("int")


def _genres(format: Format) -> Column:
    if format.name == "100k":
        flags = [
            F.when(F.col("columns")[FIRST_FLAG + index] == "1", F.lit(genre))
            for index, genre in enumerate(GENRES_100K)
            if genre != "unknown"
        ]
        return F.array_compact(F.array(*flags))
    genres = F.split(F.col("columns")[format.movies_columns - 1], r"\|")
    return F.filter(genres, lambda genre: ~genre.isin("", NO_GENRES))
