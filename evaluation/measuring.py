"""Evaluates the measures on one data set, for `similar-titles evaluate`."""

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from pyspark.sql import SparkSession

from evaluation import report, runs, scoring, splits
from evaluation.interactions import Interactions, read
from evaluation.judgements import Judgement, JudgementsError, join
from evaluation.judgements import read as read_judgements
from evaluation.runs import Figures
from evaluation.splits import Split
from local.emr.step import PYTHON, java_options
from spark.contracts.movielens import DatasetError
from spark.measures.registry import MEASURES
from tools.data_sets import NoDataSetError, folder_of
from tools.setup.java import NoJavaError, java_home

ROOT = Path(__file__).resolve().parent.parent


def measure(dataset: str, judgements: Path | None) -> Figures:
    """Evaluate a data set; stores its figures and rewrites docs/quality.md.

    Args:
        dataset: a folder, or a name that `tools.data_sets` knows.
        judgements: a file for `judgements.read`, or None.

    Raises:
        NoDataSetError: the data set is missing or unusable, or Java is missing, or the judgements
            are unusable.
    """
    try:
        judged = read_judgements(judgements) if judgements else None
        folder = folder_of(dataset)
        with tempfile.TemporaryDirectory() as scratch, session(Path(scratch)) as spark:
            figures = evaluate(spark, folder, Path(scratch), judged)
    except (DatasetError, JudgementsError, NoJavaError) as error:
        raise NoDataSetError(str(error)) from error
    report.store(figures)
    report.write()
    return figures


def evaluate(
    spark: SparkSession, folder: Path, scratch: Path, judgements: Sequence[Judgement] | None
) -> Figures:
    """Measure everything on one data set."""
    start = time.monotonic()

    def say(text: str) -> None:
        _say(f"{time.monotonic() - start:6.0f} s  {text}")

    say(f"reading {folder.name}")
    everything = _most_rated(read(spark.sparkContext, folder, scratch))
    judged = None
    if judgements:
        judged = join(judgements, everything.movies)
        say("{joined:,} judgements joined, {unjoined:,} did not".format(**judged.counts))
    halves = everything.halves
    figures: Figures = {
        "dataset": folder.name,
        "users": halves.shape[0],
        "movies": halves.shape[1],
        "ratings": halves.nnz,
        "parameters": {name: dict(measure.parameters) for name, measure in MEASURES.items()},
        "published": runs.published(spark, everything, say),
        "hidden": {},
        "latest": None,
    }
    by_name = _splits(everything)
    for name, split in by_name.items():
        figures[name] = runs.liked(spark, everything, split, say, name)
        figures["hidden"][name] = scoring.hidden_by_slice(split)
    figures["lambda"] = runs.by_regularisation(everything, by_name["liked"], say)
    of_lists, first = runs.lists(spark, everything, judged, say)
    figures |= of_lists
    figures["examples"] = report.examples(everything.movies, first)
    figures["seconds"] = round(time.monotonic() - start)
    return figures


def _splits(everything: Interactions) -> dict[str, Split]:
    """The splits of all ratings, by the name of their figures; `latest` only if times are known."""
    halves, times = everything.halves, everything.times
    like, seed = runs.LIKE, runs.SEED
    found = {
        "liked": splits.by_rating(halves, like, seed),
        "strong": splits.by_user(halves, like, seed),
    }
    if times is not None:
        found["latest"] = splits.by_time(halves, times.data, like, seed)
    return found


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
        .config("spark.driver.extraJavaOptions", java_options())
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
    times = None if everything.times is None else everything.times[:, most]
    return replace(everything, halves=everything.halves[:, most], movies=movies, times=times)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
