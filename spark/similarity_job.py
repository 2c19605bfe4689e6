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
from manifest import NEIGHBOURS, SIMILARITIES, TITLES, Manifest
from movielens import DatasetError, Format, only_format
from movies import catalogue, read_movies
from neighbours import neighbour_lists, top_neighbours
from ratings import latest_ratings, read_ratings
from rejects import HopelessError, Judgement, judge, refuse_hopeless, rejected
from self_join import similarities
from storage import child, list_names

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
class Dataset:
    """A data set that was read and can be computed on.

    Attributes:
        format: of its folder.
        judgements: of its files' lines, the ratings file first, per file name.
        ratings: `user`, `movie`, `rating`; a user and movie once. Persisted.
        movies: the catalogue. Persisted.
    """

    format: Format
    judgements: dict[str, Judgement]
    ratings: DataFrame
    movies: DataFrame


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
        for sample in report:
            print("  {file}, {defect}: {line!r}".format_map(sample), file=sys.stderr)  # noqa: T201
        return 1
    finally:
        spark.stop()
    return 0


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


def start() -> SparkSession:
    """The session that spark-submit configured."""
    spark = SparkSession.builder.appName("similar-titles").getOrCreate()
    context = spark.sparkContext
    if "spark.sql.shuffle.partitions" not in dict(context.getConf().getAll()):
        # Spark's 200 are too many for a few cores and cost more than the work of a small folder.
        spark.conf.set("spark.sql.shuffle.partitions", max(8, 2 * context.defaultParallelism))
    return spark


def run(spark: SparkSession, options: argparse.Namespace) -> None:
    """Compute and write everything, the manifest last.

    Raises:
        DatasetError: the folder cannot be computed on.
    """
    stages, output = Stages(), options.output
    with stages.stage("read"):
        dataset = read(spark, options.dataset, output)
        counts = count(dataset)
    with stages.stage("similarities"):
        results.write_similarities(
            similarities(dataset.ratings, options.min_co_raters, options.min_score), output
        )
        # From here on the pairs are what was written: they are computed once.
        pairs = spark.read.parquet(child(output, SIMILARITIES))
        counts["pairs"] = pairs.count()
    with stages.stage("neighbours"):
        best = top_neighbours(pairs, options.neighbours).persist(StorageLevel.MEMORY_AND_DISK)
        counts["movies_with_neighbours"] = best.select("movie_id").distinct().count()
        lists = neighbour_lists(best, dataset.movies)
        results.write_neighbours(lists, counts["movies"], output)
        results.write_titles(dataset.movies, output)
    with stages.stage("manifest"):
        parts = results.parts_of(spark, output, NEIGHBOURS)
        (titles,) = results.parts_of(spark, output, TITLES)
    manifest = Manifest(
        measure="cosine",
        dataset={
            "format": dataset.format.name,
            "lines": {name: judged.lines for name, judged in dataset.judgements.items()},
        },
        parameters={
            name: getattr(options, name) for name in ("min_co_raters", "min_score", "neighbours")
        },
        counts=counts,
        rejects={name: judged.defects for name, judged in dataset.judgements.items()},
        neighbours=parts,
        titles=titles,
        timings=stages.timings,
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )
    results.write_manifest(spark, manifest, output)


def read(spark: SparkSession, folder: str, output: str) -> Dataset:
    """Read the data set of a folder and write what of it is rejected.

    Raises:
        DatasetError: the folder is not of one format, or a file of it is hopeless.
    """
    format = only_format(list_names(spark, folder), folder)
    rating_lines = read_ratings(spark, child(folder, format.ratings), format)
    movie_lines = read_movies(spark, child(folder, format.movies), format)
    files = {format.ratings: rating_lines, format.movies: movie_lines}
    judgements = {}
    for name, lines in files.items():
        judgements[name] = judge(lines.persist(StorageLevel.MEMORY_AND_DISK))
        refuse_hopeless(name, lines, judgements[name])
    results.write_rejects(rejected(files), output)
    ratings = latest_ratings(rating_lines).persist(StorageLevel.MEMORY_AND_DISK)
    movies = catalogue(movie_lines, ratings).persist(StorageLevel.MEMORY_AND_DISK)
    movies.count()  # the lines are needed no more once ratings and movies are kept
    for lines in files.values():
        lines.unpersist()
    return Dataset(format, judgements, ratings, movies)


def count(dataset: Dataset) -> dict[str, int]:
    """What the manifest counts of a data set."""
    rating_lines, movie_lines = dataset.judgements.values()
    rated = dataset.ratings.agg(
        F.count("*").alias("ratings"), F.countDistinct("user").alias("users")
    ).first()
    known = dataset.movies.agg(F.count("*").alias("movies"), F.count("title").alias("listed"))
    movies = known.first()
    return {
        "ratings": rated.ratings,
        "users": rated.users,
        "movies": movies.movies,
        "duplicates": rating_lines.good - rated.ratings,
        "duplicate_movies": movie_lines.good - movies.listed,
        "rejected": rating_lines.rejected + movie_lines.rejected,
    }


if __name__ == "__main__":
    sys.exit(main())
