"""Evaluates the measures on one data set, for `similar-titles evaluate`."""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from pyspark.sql import SparkSession

from evaluation import report, runs, splits
from evaluation.interactions import Interactions, read
from evaluation.runs import Figures
from local.emr.step import JAVA_OPTIONS, PYTHON
from spark.contracts.movielens import DatasetError
from spark.measures.registry import MEASURES
from tools.data_sets import NoDataSetError, folder_of
from tools.java import NoJavaError, java_home

ROOT = Path(__file__).resolve().parent.parent


def measure(dataset: str) -> Figures:
    """Evaluate a data set; stores its figures and rewrites docs/quality.md.

    Args:
        dataset: a folder, or a name that `tools.data_sets` knows.

    Raises:
        NoDataSetError: the data set is missing or unusable, or Java is missing.
    """
    folder = folder_of(dataset)
    try:
        with tempfile.TemporaryDirectory() as scratch, session(Path(scratch)) as spark:
            return evaluate(spark, folder, Path(scratch))
    except (DatasetError, NoJavaError) as error:
        raise NoDataSetError(str(error)) from error


def evaluate(spark: SparkSession, folder: Path, scratch: Path) -> Figures:
    """Measure everything on one data set, store the figures, and write the report."""
    start = time.monotonic()

    def say(text: str) -> None:
        _say(f"{time.monotonic() - start:6.0f} s  {text}")

    say(f"reading {folder.name}")
    everything = _most_rated(read(spark.sparkContext, folder, scratch))
    halves = everything.halves
    by_rating = splits.by_rating(halves, runs.LIKE, runs.SEED)
    by_user = splits.by_user(halves, runs.LIKE, runs.SEED)
    figures: Figures = {
        "dataset": folder.name,
        "users": halves.shape[0],
        "movies": halves.shape[1],
        "ratings": halves.nnz,
        "parameters": {name: dict(measure.parameters) for name, measure in MEASURES.items()},
        "published": runs.published(spark, everything, say),
        "liked": runs.liked(spark, everything, by_rating, say, "80/20"),
        "strong": runs.liked(spark, everything, by_user, say, "strong generalisation"),
        "lambda": runs.by_regularisation(everything, by_rating, say),
    }
    figures["lists"], first = runs.lists(spark, everything, say)
    figures["examples"] = report.examples(everything.movies, first)
    figures["seconds"] = round(time.monotonic() - start)
    report.store(figures)
    report.write()
    return figures


@contextmanager
def session(scratch: Path) -> Iterator[SparkSession]:
    """A Spark session on all cores of this machine that leaves no files behind."""
    os.environ |= {
        "JAVA_HOME": str(java_home()),
        "PYSPARK_PYTHON": str(PYTHON),
        "PYTHONPATH": str(ROOT),  # workers import the package
    }
    spark = (
        SparkSession.builder.master("local[*]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "4g")
        .config("spark.driver.maxResultSize", "0")
        .config("spark.driver.extraJavaOptions", JAVA_OPTIONS)
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.local.dir", str(scratch))
        .config("spark.sql.warehouse.dir", str(scratch / "warehouse"))
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    try:
        yield spark
    finally:
        spark.stop()


def _most_rated(everything: Interactions) -> Interactions:
    """The same with as many movies as a dense matrix may have: the most rated ones."""
    limit = int(MEASURES["ease"].parameters["limit"])
    movies = everything.movies
    if movies.ids.size <= limit:
        return everything
    _say(f"using the {limit:,} most rated of {movies.ids.size:,} movies")
    most = np.sort(np.argsort(-movies.ratings, kind="stable")[:limit])
    about = [movies.about[place] for place in most.tolist()]
    movies = replace(movies, ids=movies.ids[most], about=about, ratings=movies.ratings[most])
    return replace(everything, halves=everything.halves[:, most], movies=movies)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
