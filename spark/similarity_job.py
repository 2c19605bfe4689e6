"""The job: reads a MovieLens folder, computes similar titles, writes them and last the manifest."""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import results
from manifest import Manifest
from movielens import HOPELESS_SHARE, DatasetError, Format, only_format
from movies import catalogue, read_movies
from neighbours import neighbour_lists, top_neighbours
from ratings import latest_ratings, read_ratings
from self_join import similarities
from storage import child, list_names

SAMPLES = 5  # rejected lines that a failure shows
EXAMPLE = """example:
  spark-submit spark/similarity_job.py --dataset ml-10M100K --output result
"""


@dataclass
class Stages:
    """Tells on stderr where the job is and how long it took; EMR keeps that in the step's log.

    Attributes:
        timings: seconds of each stage that has ended.
    """

    timings: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage."""
        print(f"{name}: started", file=sys.stderr, flush=True)  # noqa: T201
        start = time.monotonic()
        yield
        self.timings[name] = round(time.monotonic() - start, 3)
        print(f"{name}: {self.timings[name]:.1f} s", file=sys.stderr, flush=True)  # noqa: T201


@dataclass(frozen=True)
class Rejects:
    """The lines of a data set that are no data.

    Attributes:
        lines: lines of data per file name, rejected ones included.
        defects: rejected lines per file name and defect.
    """

    lines: dict[str, int]
    defects: dict[str, dict[str, int]]

    @property
    def total(self) -> int:
        """All rejected lines."""
        return sum(sum(kinds.values()) for kinds in self.defects.values())


class HopelessError(DatasetError):
    """A file that is not what its name says; carries samples of its lines."""

    def __init__(self, message: str, report: list[dict[str, str]]) -> None:
        super().__init__(message)
        self.report = report


def main(arguments: list[str] | None = None) -> int:
    """Run the job; returns the exit status."""
    options = parse(arguments)
    spark = start()
    try:
        results.clear(spark, options.output)
        run(spark, options)
    except DatasetError as error:
        report = error.report if isinstance(error, HopelessError) else []
        results.write_failure(spark, options.output, "DatasetError", str(error), report)
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    finally:
        spark.stop()
    return 0


def start() -> SparkSession:
    """The session that spark-submit configured."""
    spark = SparkSession.builder.appName("similar-titles").getOrCreate()
    context = spark.sparkContext
    if "spark.sql.shuffle.partitions" not in dict(context.getConf().getAll()):
        # Spark's 200 are too many for a few cores and cost more than the work of a small folder.
        spark.conf.set("spark.sql.shuffle.partitions", max(8, 2 * context.defaultParallelism))
    return spark


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line; ends the program where it is not one."""
    parser = argparse.ArgumentParser(
        prog="similarity_job.py",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dataset", required=True, metavar="URI", help="a MovieLens folder")
    parser.add_argument("--output", required=True, metavar="URI", help="where the result goes")
    parser.add_argument("--min-co-raters", type=int, default=10, metavar="N", help="default 10")
    parser.add_argument("--min-score", type=float, default=0.95, metavar="S", help="default 0.95")
    parser.add_argument("--neighbours", type=int, default=50, metavar="N", help="default 50")
    options = parser.parse_args(arguments)
    if options.min_co_raters < 1:
        parser.error("--min-co-raters must be at least 1")
    if not 0 <= options.min_score <= 1:
        parser.error("--min-score must be between 0 and 1")
    if options.neighbours < 1:
        parser.error("--neighbours must be at least 1")
    return options


def run(spark: SparkSession, options: argparse.Namespace) -> None:
    """Compute and write everything, the manifest last.

    Raises:
        DatasetError: the folder cannot be computed on.
    """
    stages = Stages()
    with stages.stage("read"):
        format = only_format(list_names(spark, options.dataset), options.dataset)
        rating_lines, movie_lines = read(spark, options.dataset, format)
        rejects = reject(rating_lines, movie_lines, format, options.output)
        ratings = latest_ratings(rating_lines).persist(StorageLevel.MEMORY_AND_DISK)
        titles = catalogue(movie_lines, ratings).persist(StorageLevel.MEMORY_AND_DISK)
        counts = count(ratings, titles, rejects, format)
    with stages.stage("similarities"):
        results.write_similarities(
            similarities(ratings, options.min_co_raters, options.min_score), options.output
        )
        pairs = spark.read.parquet(child(options.output, results.SIMILARITIES))
        counts["pairs"] = pairs.count()
    with stages.stage("neighbours"):
        best = top_neighbours(pairs, options.neighbours).persist(StorageLevel.MEMORY_AND_DISK)
        counts["movies_with_neighbours"] = best.select("movie_id").distinct().count()
        parts = results.write_neighbours(
            neighbour_lists(best, titles), counts["movies"], options.output
        )
        titles_part = results.write_titles(titles, options.output)
    manifest = Manifest(
        measure="cosine",
        dataset={"format": format.name, "lines": rejects.lines},
        parameters={
            "min_co_raters": options.min_co_raters,
            "min_score": options.min_score,
            "neighbours": options.neighbours,
        },
        counts=counts,
        rejects=rejects.defects,
        neighbours=parts,
        titles=titles_part,
        timings=stages.timings,
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )
    results.write_manifest(spark, manifest, options.output)


def read(spark: SparkSession, dataset: str, format: Format) -> tuple[DataFrame, DataFrame]:
    """The judged lines of the ratings and of the movies file, kept for several uses."""
    ratings = read_ratings(spark, child(dataset, format.ratings), format)
    movies = read_movies(spark, child(dataset, format.movies), format)
    return ratings.persist(StorageLevel.MEMORY_AND_DISK), movies.persist()


def reject(ratings: DataFrame, movies: DataFrame, format: Format, output: str) -> Rejects:
    """Count and write the lines that are no data.

    Raises:
        HopelessError: of a file, no line is good or more than half of them are malformed.
    """
    lines: dict[str, int] = {}
    defects: dict[str, dict[str, int]] = {}
    for name, judged in ((format.ratings, ratings), (format.movies, movies)):
        kinds = {row.defect: row["count"] for row in judged.groupBy("defect").count().collect()}
        lines[name] = sum(kinds.values())
        kinds.pop(None, None)
        defects[name] = dict(sorted(kinds.items()))
        bad = sum(defects[name].values())
        if bad == lines[name] or bad > HOPELESS_SHARE * lines[name]:
            raise hopeless(name, judged, lines[name], defects[name])
    bad_lines = rejected(format.ratings, ratings).union(rejected(format.movies, movies))
    results.write_rejects(bad_lines, output)
    return Rejects(lines, defects)


def rejected(name: str, judged: DataFrame) -> DataFrame:
    """The lines of a file that are no data: `file`, `defect`, `line`."""
    bad = judged.where(F.col("defect").isNotNull())
    return bad.select(F.lit(name).alias("file"), "defect", "line")


def hopeless(name: str, judged: DataFrame, lines: int, defects: dict[str, int]) -> HopelessError:
    """The error for a file that is not what its name says, with samples."""
    if lines == 0:
        return HopelessError(f"{name} has no line of data", [])
    samples = [row.asDict() for row in rejected(name, judged).limit(SAMPLES).collect()]
    report = [{**sample, "line": sample["line"][: results.REJECTED_LINE]} for sample in samples]
    kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(defects.items()))
    return HopelessError(
        f"{name}: {sum(defects.values())} of {lines} lines are malformed ({kinds}); "
        f"for example {report[0]['line'][:120]!r}",
        report,
    )


def count(
    ratings: DataFrame, titles: DataFrame, rejects: Rejects, format: Format
) -> dict[str, int]:
    """What the manifest counts of the data set."""
    totals = ratings.agg(F.count("*").alias("ratings"), F.countDistinct("user").alias("users"))
    row = totals.first()
    bad = sum(rejects.defects[format.ratings].values())
    return {
        "ratings": row.ratings,
        "users": row.users,
        "movies": titles.count(),
        "duplicates": rejects.lines[format.ratings] - bad - row.ratings,
        "rejected": rejects.total,
    }


if __name__ == "__main__":
    sys.exit(main())
