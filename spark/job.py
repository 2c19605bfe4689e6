"""The job: read a MovieLens folder, compare its movies, write the result and then the manifest."""

import sys
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import numpy as np
from pyspark import SparkContext

from spark.command_line import JobSettings, parse
from spark.comparison import Comparison, compare
from spark.contracts.manifest import Manifest, Part
from spark.contracts.movielens import DatasetError
from spark.engine.cells import Thresholds
from spark.engine.shuffle import collect_partitions
from spark.engine.top_k import EMPTY, NeighbourLists, distinct
from spark.ingest.dataset import Dataset, read_dataset
from spark.ingest.doubled_users import doubled_users
from spark.ingest.movies import with_tags
from spark.ingest.ratings import Ratings
from spark.ingest.rejects import UnusableFileError
from spark.measures.registry import need_content
from spark.output import results
from spark.output.neighbours import part_starts, write_part
from spark.output.similar_users import write_similar_users
from spark.progress import Stages
from spark.runtime.broadcast import broadcast
from spark.runtime.failures import jvm_answers, lost_executors, reason_of
from spark.runtime.places import places_in
from spark.runtime.start import UnusableEnvironmentError, start, stop, waking_workers
from spark.self_evaluation.figures import evaluate
from spark.self_evaluation.held_out import evaluated_measures
from spark.self_evaluation.strength import calibrate
from spark.storage import child, list_files, read

COVERED = 10  # neighbours from which on a movie counts as covered


def main(arguments: list[str] | None = None) -> int:
    """Run the job; returns the exit status."""
    settings = parse(arguments)
    try:
        results.prepare(settings.output)
        context = start(*modules_with_scipy(settings))
    except (results.OutputError, UnusableEnvironmentError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        with suppress(Exception):
            results.write_failure(settings.output, type(error).__name__, str(error), [])
        return 1
    try:
        run(context, settings)
    except DatasetError as error:
        report = error.report if isinstance(error, UnusableFileError) else []
        results.write_failure(settings.output, "DatasetError", str(error), report)
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        for sample in report:
            print("  {file}, {defect}: {line!r}".format_map(sample), file=sys.stderr)  # noqa: T201
        return 1
    except Exception as error:  # any error: its reason must reach the people who wait for the run
        if not jvm_answers(context):
            raise  # the driver's JVM has died; YARN knows the reason
        with suppress(Exception):  # a failing write must not hide the error
            reason = reason_of(error, partial(lost_executors, context))
            results.write_failure(settings.output, type(error).__name__, reason, [])
        raise
    finally:
        stop(context)
        with suppress(OSError):  # must not hide an earlier error
            results.tidy(settings.output)
    return 0


def modules_with_scipy(settings: JobSettings) -> tuple[list[str], list[str]]:
    """The modules with SciPy that a run will need: in its workers, and in its driver."""
    content = ["spark.measures.with_content"] if need_content(settings.measures) else []
    ease = ["spark.measures.ease"] if "ease" in settings.measures else []
    evaluation = ["scipy.sparse", "scipy.optimize"] if settings.test_users else []
    return content, [*ease, *content, *evaluation]


def run(context: SparkContext, settings: JobSettings) -> None:
    """Compute and write everything, the manifest last.

    Raises:
        DatasetError: the data set is unusable.
    """
    stages, output = Stages(context), settings.output
    with stages.stage("read"):
        most, with_tags = settings.max_ratings_per_user, need_content(settings.measures)
        with waking_workers(context):
            dataset = read_dataset(context, settings.dataset, output, most, with_tags)
    rows = len(settings.measures) * settings.neighbours
    range_starts = part_starts(dataset.movies, rows, context.defaultParallelism)

    def judge() -> Part:
        with stages.stage("quality", beside_spark=True):
            return write_quality(dataset.ratings, comparison, settings)

    with ThreadPoolExecutor(2) as beside:
        doubled = beside.submit(doubled_users, dataset.ratings.packed)
        comparison = compare(context, dataset, settings, range_starts, stages, beside)
        # The driver judges while the workers write.
        judged = beside.submit(judge) if settings.test_users else None
        with stages.stage("neighbours"):
            neighbours, coverage = write_neighbours(
                context, comparison, dataset, range_starts, settings
            )
            titles = results.write_titles(dataset.movies, output)
        quality = judged.result() if judged else None
    similar_users: list[Part] = []
    if settings.similar_users:
        with stages.stage("similar_users"):
            thresholds = Thresholds(
                settings.min_co_raters, settings.min_score, settings.similar_users
            )
            similar_users = write_similar_users(context, dataset.ratings, thresholds, output)
    parts = neighbours, titles, similar_users, quality
    manifest = manifest_of(
        dataset, doubled.result(), comparison, coverage, parts, stages.timings, settings
    )
    results.tidy(output)
    results.write_manifest(manifest, output)


def manifest_of(
    dataset: Dataset,
    doubled: int,
    comparison: Comparison,
    coverage: Counter[str],
    parts: tuple[list[Part], Part, list[Part], Part | None],
    timings: dict[str, float],
    settings: JobSettings,
) -> Manifest:
    """The manifest of a run.

    Args:
        dataset: that was read.
        doubled: users with the ratings of another user.
        comparison: of its movies.
        coverage: from `write_neighbours`.
        parts: of neighbours, of titles, of similar users, and quality.json.
        timings: seconds per stage.
        settings: of the job.
    """
    neighbours, titles, similar_users, quality = parts
    movies, reports = dataset.movies.ids.size, dataset.line_reports
    parameters = parameters_of(settings)
    if "ease" in parameters:
        parameters["ease"]["movies"] = comparison.in_ease.size
    counts = dataset.counts | {
        "doubled_users": doubled,
        "pairs": comparison.pairs,
        "movies_with_neighbours": coverage["any"],
    }
    return Manifest(
        measure=settings.default_measure,
        measures=parameters,
        coverage={name: round(coverage[name] / max(1, movies), 4) for name in settings.measures},
        dataset={
            "format": dataset.format.name,
            "timestamps": dataset.has_timestamps,
            "lines": {name: report.lines for name, report in reports.items()},
            "unterminated": unterminated(settings.dataset, reports),
        },
        parameters={
            "min_co_raters": settings.min_co_raters,
            "min_score": settings.min_score,
            "neighbours": settings.neighbours,
            "max_ratings_per_user": settings.max_ratings_per_user,
        },
        counts=counts,
        rejects={name: report.defects for name, report in reports.items()},
        neighbours=neighbours,
        titles=titles,
        similar_users=similar_users,
        quality=quality,
        timings=timings,
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )


def parameters_of(settings: JobSettings) -> dict[str, dict[str, float]]:
    """The parameters of the run's measures, by measure and name."""
    return {name: dict(settings.parameters[name]) for name in settings.measures}


def unterminated(folder: str, names: Iterable[str]) -> list[str]:
    """The files whose last line does not end: written so, or cut off."""
    sizes = list_files(folder)
    return [
        name
        for name in names
        if (size := sizes.get(name, 0)) and not read(child(folder, name), size - 1).endswith(b"\n")
    ]


def write_neighbours(
    context: SparkContext,
    comparison: Comparison,
    dataset: Dataset,
    range_starts: np.ndarray,
    settings: JobSettings,
) -> tuple[list[Part], Counter[str]]:
    """Write the parts of `neighbours/` on the workers that hold the lists.

    Args:
        context: the Spark context.
        comparison: of the movies.
        dataset: that was read.
        range_starts: from `part_starts`.
        settings: of the job.

    Returns:
        The parts, by ascending movie id; and by measure the number of movies with at least COVERED
        neighbours, and as `any` the number with at least one neighbour by the cosine.
    """
    names, output, wanted = settings.measures, settings.output, parameters_of(settings)
    catalogue = dataset.movies
    if dataset.tags:
        from spark.measures.content import telling_tags

        catalogue = with_tags(catalogue, telling_tags(catalogue, dataset.tags))
    shared = broadcast(context, (catalogue, comparison.in_ease))
    shared_content = comparison.by_content and comparison.by_content.shared

    def write(merged: tuple[int, dict[str, NeighbourLists]]) -> tuple[Part, Counter[str]]:
        number, found = merged
        movies, in_ease = shared()
        if shared_content:
            from spark.measures.with_content import lists_with_content

            content, most = shared_content(), settings.neighbours
            found |= dict(lists_with_content(found, content, in_ease, wanted, most))
        lists = {name: found.get(name, EMPTY) for name in names}
        coverage = Counter({name: _covered(rows) for name, rows in lists.items()})
        coverage["any"] = distinct(lists["cosine"].movies).size
        return write_part(lists, number, movies, range_starts, output), coverage

    written = collect_partitions(comparison.best.map(write), range(range_starts.size))
    parts = sorted((part for part, _ in written), key=lambda part: part.name)
    return parts, sum((coverage for _, coverage in written), Counter())


def _covered(rows: NeighbourLists) -> int:
    """How many movies have at least COVERED neighbours."""
    return int((np.unique(rows.movies, return_counts=True)[1] >= COVERED).sum())


def write_quality(ratings: Ratings, comparison: Comparison, settings: JobSettings) -> Part:
    """Evaluate the run and write quality.json.

    Args:
        ratings: packed.
        comparison: of the movies.
        settings: of the job.
    """
    held_out, lists = comparison.held_out, dict(comparison.held_out_lists.result())
    names = evaluated_measures(settings.default_measure, settings.measures)
    if comparison.by_content and need_content(names):
        from spark.measures.with_content import lists_with_content

        # Tags count, also the held-out users'.
        content, in_ease = comparison.by_content.content.without(held_out), comparison.in_ease
        wanted = {name: settings.parameters[name] for name in names}
        lists |= dict(lists_with_content(lists, content, in_ease, wanted, settings.neighbours))
    raters, _ = held_out.totals_of(ratings.movies)
    popular = ratings.movies[np.argsort(raters - ratings.raters, kind="stable")]
    quality = evaluate(names[0], held_out, {name: lists[name] for name in names}, popular)
    curves = {
        name: calibrate(
            held_out.liked,
            lists[name],
            ratings.raters[places_in(ratings.movies, lists[name].movies)],
        )
        for name in names
    }
    strength = {name: each for name, each in curves.items() if each}
    return results.write_quality(replace(quality, strength=strength), settings.output)
