"""The job: reads a MovieLens folder, computes similar titles, writes them and last the manifest."""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import results
from engine import PAIRS, Rules, block_count, cell_memory, choose_blocks, compute
from manifest import NEIGHBOURS, SIMILARITIES, TITLES, Manifest
from movielens import DatasetError, Format, only_format
from movies import catalogue, read_movies
from neighbours import neighbour_lists
from parquet import write_parquet
from ratings import Ratings, read_ratings
from rejects import HopelessError, Judgement, judge, refuse_hopeless, rejected
from storage import absolute, child, list_files

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
        ratings: packed; a user and movie once.
        movies: the catalogue. Persisted.
    """

    format: Format
    judgements: dict[str, Judgement]
    ratings: Ratings
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
    parser.add_argument("--blocks", type=int, metavar="B", help="of movies; chosen if not given")
    options = parser.parse_args(arguments)
    if options.min_co_raters < 1:
        parser.error("--min-co-raters must be at least 1")
    if not 0 <= options.min_score <= 1:
        parser.error("--min-score must be between 0 and 1")
    if options.blocks is not None and options.blocks < 1:
        parser.error("--blocks must be at least 1")
    if options.neighbours < 1:
        parser.error("--neighbours must be at least 1")
    return options


def start() -> SparkSession:
    """The session that spark-submit configured."""
    spark = SparkSession.builder.appName("similar-titles").getOrCreate()
    context = spark.sparkContext
    for module in Path(__file__).parent.glob("*.py"):
        context.addPyFile(str(module))  # workers need them; on a cluster --py-files brings them
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
        best = compare(spark, dataset.ratings, options).persist(StorageLevel.MEMORY_AND_DISK)
        counts |= found(best)
    with stages.stage("neighbours"):
        best = best.where(F.col("pairs").isNull())
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
    files = list_files(spark, folder)
    format = only_format(files, folder)
    ratings_uri, movies_uri = (child(folder, name) for name in format.files)
    ratings = read_ratings(spark, ratings_uri, format, files[format.ratings])
    movie_lines = read_movies(spark, movies_uri, format).persist()
    judgements = {
        format.ratings: Judgement(ratings.lines, ratings.defects),
        format.movies: judge(movie_lines),
    }
    lines = {format.ratings: ratings.rejects, format.movies: movie_lines}
    for name, judgement in judgements.items():
        refuse_hopeless(name, lines[name], judgement)
    if any(judgement.rejected for judgement in judgements.values()):
        results.write_rejects(rejected(lines), output)
    raters = pa.table({"movie": ratings.movies, "ratings": ratings.raters})
    movies = catalogue(movie_lines, spark.createDataFrame(raters)).persist()
    return Dataset(format, judgements, ratings, movies)


def compare(spark: SparkSession, ratings: Ratings, options: argparse.Namespace) -> DataFrame:
    """Compare the movies: writes the pairs and gives the neighbours; see `engine.compute`."""
    rules = Rules(options.min_co_raters, options.min_score, options.neighbours)
    cores = spark.sparkContext.defaultParallelism
    movies = int((ratings.raters >= rules.min_co_raters).sum())
    count = options.blocks or block_count(movies, cores, cell_memory(spark))
    blocks = choose_blocks(ratings, rules.min_co_raters, count)
    output = absolute(spark, child(options.output, SIMILARITIES))
    write_parquet(iter(()), PAIRS, child(output, "none.parquet"))  # there may be no pairs at all
    return compute(ratings, blocks, rules, output, partitions=cores)


def found(best: DataFrame) -> dict[str, int]:
    """How many pairs were kept and how many movies have neighbours."""
    has_neighbour = F.when(F.col("rank") == 1, F.lit(1))
    row = best.agg(F.sum("pairs").alias("pairs"), F.count(has_neighbour).alias("movies")).first()
    return {"pairs": row.pairs or 0, "movies_with_neighbours": row.movies}


def count(dataset: Dataset) -> dict[str, int]:
    """What the manifest counts of a data set."""
    rating_lines, movie_lines = dataset.judgements.values()
    known = dataset.movies.agg(F.count("*").alias("movies"), F.count("title").alias("listed"))
    movies = known.first()
    return {
        "ratings": dataset.ratings.count,
        "users": dataset.ratings.users,
        "movies": movies.movies,
        "duplicates": rating_lines.good - dataset.ratings.count,
        "duplicate_movies": movie_lines.good - movies.listed,
        "rejected": rating_lines.rejected + movie_lines.rejected,
    }


if __name__ == "__main__":
    sys.exit(main())
