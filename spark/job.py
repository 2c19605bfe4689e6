"""The job: reads a MovieLens folder, computes similar titles, writes them and last the manifest.

What needs SciPy, or Spark SQL, is imported where it is asked for: the cosine alone needs neither,
and their imports take a good part of a second in each process.
"""

import argparse
import re
import sys
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from py4j.protocol import Py4JNetworkError
from pyspark import RDD, SparkConf, SparkContext

from spark.contracts.manifest import SIMILARITIES, Manifest, Part
from spark.contracts.movielens import DatasetError, Format, only_format
from spark.engine.broadcast import broadcast
from spark.engine.compiled_code import compiled
from spark.engine.engine import (
    Blocks,
    HoldOutPass,
    PairSumStore,
    Thresholds,
    attach_evidence,
    best_of,
    block_count,
    cell_memory,
    choose_blocks,
    collected,
    compute,
    shuffle_to_cells,
)
from spark.engine.top_k import EMPTY, NeighbourLists, concatenate, distinct
from spark.ingest.movies import Catalogue, catalogue, read_movies
from spark.ingest.ratings import Ratings, read_ratings
from spark.ingest.rejects import LineReport, UnusableFileError, refuse_unusable
from spark.measures.registry import DEFAULT, MEASURES, pair_measures
from spark.output import results
from spark.output.neighbours import part_starts, range_of, write_part
from spark.output.similar_users import write_similar_users
from spark.progress import Stages
from spark.self_evaluation.held_out import (
    MAX_USERS,
    HeldOutRatings,
    collect_held_out,
    evaluate,
    hash_bound_for,
)
from spark.storage import absolute, child, list_files

if TYPE_CHECKING:
    from spark.measures.content import Content

ENOUGH = 10  # neighbours of a movie that count as covered
MOST_WORDS = 500  # characters of a reason: a person reads it
EXAMPLE = """example:
  spark-submit spark/similarity_job.py --dataset ml-10M100K --output result
"""


@dataclass(frozen=True)
class Dataset:
    """A data set that was read and can be computed on.

    Attributes:
        format: of its folder.
        line_reports: of its files' lines, the ratings file range_starts, per file name.
        ratings: packed; a user and movie once.
        movies: the catalogue.
        duplicate_movies: good lines of a movie that an earlier line describes.
        tags: how many users gave each movie each tag.
    """

    format: Format
    line_reports: dict[str, LineReport]
    ratings: Ratings
    movies: Catalogue
    duplicate_movies: int
    tags: Counter[tuple[int, str]]


@dataclass(frozen=True)
class Compared:
    """What came of comparing the movies.

    Attributes:
        pairs: how many were written.
        best: from `engine.best_of`.
        held_out: the ratings of the users who judge the run.
        tried: by measure that is judged, lists that were learnt from everybody else.
    """

    pairs: int
    best: RDD[Any]
    held_out: HeldOutRatings
    tried: dict[str, NeighbourLists]


def main(arguments: list[str] | None = None) -> int:
    """Run the job; returns the exit status."""
    options = parse(arguments)
    options.dataset, options.output = absolute(options.dataset), absolute(options.output)
    context = start()
    try:
        results.clear(options.output)
        run(context, options)
    except DatasetError as error:
        report = error.report if isinstance(error, UnusableFileError) else []
        results.write_failure(options.output, "DatasetError", str(error), report)
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        for sample in report:
            print("  {file}, {defect}: {line!r}".format_map(sample), file=sys.stderr)  # noqa: T201
        return 1
    except (ConnectionError, Py4JNetworkError):
        raise  # the driver's JVM has died, of what YARN knows better
    except Exception as error:  # whatever it was: who waits for the run is to hear of it
        with suppress(Exception):  # what cannot be written hides nothing of that
            results.write_failure(options.output, type(error).__name__, reason_of(error), [])
        raise
    finally:
        context.stop()
        with suppress(OSError):  # what is to be told is what else has happened
            results.tidy(options.output)
    return 0


def reason_of(error: Exception) -> str:
    """Why the job failed, in one sentence: of what comes from Spark, the cause that it names."""
    java = getattr(error, "java_exception", None)
    text = str(java.getMessage() if java else error)
    if lost := re.search(r"ExecutorLostFailure .*? Reason: (.+)", text):
        words = f"executors were lost again and again: {lost[1]}"
    elif raised := re.findall(r"Traceback .*\n(?:[ \t].*\n)+(\S.*)", text):
        words = raised[-1]  # by a task, in its Python
    else:
        words = f"{type(error).__name__}: {text.partition('\n')[0]}"
    return f"the job failed: {words.strip()[:MOST_WORDS]}"


def _parser() -> argparse.ArgumentParser:
    """The command line."""
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
    usual = ",".join(name for name, measure in MEASURES.items() if measure.is_usual)
    parser.add_argument(
        "--measures", type=_names, default=usual, metavar="NAMES",
        help="measures of similarity beside cosine, with commas between; default %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--parameter", type=_parameter, action="append", default=[], metavar="MEASURE.NAME=VALUE",
        dest="given", help="of a measure, such as ease.lambda=400; the manifest tells them all",
    )  # fmt: skip
    parser.add_argument(
        "--default-measure", metavar="NAME", help=f"that answers if none is asked for: {DEFAULT}"
    )
    parser.add_argument(
        "--max-ratings-per-user", type=int, metavar="N",
        help="of a user with more only the latest N count; all if not given, which is exact",
    )  # fmt: skip
    parser.add_argument(
        "--similar-users", type=int, default=0, metavar="N",
        help="also write each user's N most similar users, ids only; none if not given",
    )  # fmt: skip
    parser.add_argument(
        "--test-users", type=int, default=MAX_USERS, metavar="N",
        help="so many users say how good the neighbours are; 0 for no quality.json; default "
        "%(default)s, and at most a tenth of all",
    )  # fmt: skip
    parser.add_argument(
        "--blocks", type=int, metavar="B", help="of movies; merge_top_k if not given"
    )
    return parser


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line; ends the program where it is not one."""
    parser = _parser()
    options = parser.parse_args(arguments)
    options.parameters = {name: dict(each.parameters) for name, each in MEASURES.items()}
    for measure, name, value in options.given:
        options.parameters[measure][name] = value
    if options.default_measure is None:
        options.default_measure = DEFAULT if DEFAULT in options.measures else "cosine"
    if options.default_measure not in options.measures:
        parser.error("--default-measure must be one of --measures")
    if options.min_co_raters < 1:
        parser.error("--min-co-raters must be at least 1")
    if not 0 <= options.min_score <= 1:
        parser.error("--min-score must be between 0 and 1")
    if options.blocks is not None and options.blocks < 1:
        parser.error("--blocks must be at least 1")
    if options.max_ratings_per_user is not None and options.max_ratings_per_user < 2:
        parser.error("--max-ratings-per-user must be at least 2")
    if options.neighbours < 1:
        parser.error("--neighbours must be at least 1")
    if options.test_users < 0:
        parser.error("--test-users must be 0 or more")
    if options.similar_users < 0:
        parser.error("--similar-users must be 0 or more")
    return options


def _names(text: str) -> list[str]:
    """The measures that are named, what they need, the cosine always; in the registry's order."""
    names = {"cosine", *text.split(",")}
    if unknown := sorted(names - set(MEASURES)):
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(MEASURES)}")
    names.update(*(MEASURES[name].needs for name in list(names)))
    return [name for name in MEASURES if name in names]


def _parameter(text: str) -> tuple[str, str, float]:
    """A measure's parameter: measure, name and value."""
    name, _, value = text.partition("=")
    measure, _, parameter = name.partition(".")
    if measure not in MEASURES or parameter not in MEASURES[measure].parameters:
        known = ", ".join(f"{m}.{p}" for m, each in MEASURES.items() for p in each.parameters)
        raise argparse.ArgumentTypeError(f"{name!r} is none of {known}")
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{name} must be a number above 0, not {value!r}")
    return measure, parameter, number


def start() -> SparkContext:
    """The context that spark-submit configured; of Spark SQL, which takes seconds, no part.

    Workers find the package where this process did, unless the submission says otherwise.
    """
    context = SparkContext.getOrCreate(SparkConf().setAppName("similar-titles"))
    context.environment.setdefault("PYTHONPATH", str(Path(__file__).resolve().parent.parent))
    return context


def run(context: SparkContext, options: argparse.Namespace) -> None:
    """Compute and write everything, the manifest last.

    Raises:
        DatasetError: the folder cannot be computed on.
    """
    stages = Stages(context)
    with stages.stage("read"):
        dataset = read(context, options)
    range_starts = part_starts(
        dataset.movies, len(options.measures) * options.neighbours, context.defaultParallelism
    )
    compared = compare(context, dataset, options, range_starts, stages)
    with stages.stage("neighbours"):
        words = describe(dataset, options)
        parts, covered = write_neighbours(
            context, compared.best, dataset, words, range_starts, options
        )
        titles = results.write_titles(dataset.movies, options.output)
    quality = None
    if options.test_users:
        with stages.stage("quality"):
            quality = write_quality(dataset.ratings, compared, words, options)
    alike: list[Part] = []
    if options.similar_users:
        with stages.stage("similar_users"):
            thresholds = Thresholds(options.min_co_raters, options.min_score, options.similar_users)
            alike = write_similar_users(context, dataset.ratings, thresholds, options.output)
    manifest = Manifest(
        measure=options.default_measure,
        measures={name: options.parameters[name] for name in options.measures},
        coverage={
            name: round(covered[name] / max(1, dataset.movies.ids.size), 4)
            for name in options.measures
        },
        dataset={
            "format": dataset.format.name,
            "lines": {name: judged.lines for name, judged in dataset.line_reports.items()},
        },
        parameters={
            name: getattr(options, name)
            for name in ("min_co_raters", "min_score", "neighbours", "max_ratings_per_user")
        },
        counts=count(dataset) | {"pairs": compared.pairs, "movies_with_neighbours": covered["any"]},
        rejects={name: judged.defects for name, judged in dataset.line_reports.items()},
        neighbours=parts,
        titles=titles,
        similar_users=alike,
        quality=quality,
        timings=stages.timings,
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )
    results.tidy(options.output)
    results.write_manifest(manifest, options.output)


def read(context: SparkContext, options: argparse.Namespace) -> Dataset:
    """Read the data set of a folder and write what of it is rejected.

    Raises:
        DatasetError: the folder is not of one format, or a file of it is hopeless.
    """
    folder, output = options.dataset, options.output
    files = list_files(folder)
    format = only_format(files, folder)
    movies, movie_lines, rejects = read_movies(child(folder, format.movies), format)
    if rejects:
        results.write_rejects(output, format.movies, 0, rejects)
    size, most = files[format.ratings], options.max_ratings_per_user
    ratings = read_ratings(context, folder, format, size, output, most)
    refuse_unusable(format.ratings, ratings.line_report, ratings.samples)
    refuse_unusable(format.movies, movie_lines, rejects)
    known = catalogue(movies, ratings.movies, ratings.raters)
    line_reports = {format.ratings: ratings.line_report, format.movies: movie_lines}
    has_tags = format.tags in files and "hybrid" in options.measures
    tags: Counter[tuple[int, str]] = Counter()
    if has_tags:
        from spark.measures.content import read_tags

        tags = read_tags(child(folder, format.tags), format)
    return Dataset(format, line_reports, ratings, known, len(movies) - known.listed, tags)


def compare(
    context: SparkContext,
    dataset: Dataset,
    options: argparse.Namespace,
    range_starts: np.ndarray,
    stages: Stages,
) -> Compared:
    """Compare the movies by all measures that are asked for; writes the pairs.

    Args:
        context: Spark's.
        dataset: what was read.
        options: from `parse`.
        range_starts: from `part_starts`.
        stages: that are timed.
    """
    ratings, names, parameters = dataset.ratings, options.measures, options.parameters
    if "ease" in names:
        threading.Thread(target=_prepare_ease, daemon=True).start()
    with stages.stage("similarities"):
        thresholds = Thresholds(
            options.min_co_raters,
            options.min_score,
            options.neighbours,
            pair_measures(names, parameters),
        )
        blocks = blocks_of(context, ratings, options)
        hash_bound = hash_bound_for(ratings.users, options.test_users)
        held_out = collect_held_out(ratings, hash_bound)
        hold_out = hold_out_pass(held_out, blocks, thresholds, options) if hash_bound else None
        dealt = shuffle_to_cells(ratings, blocks, hash_bound)
        pairs = child(options.output, SIMILARITIES)
        scratch = child(options.output, results.SCRATCH)
        limits = [int(parameters[name]["limit"]) for name in names if "limit" in parameters[name]]
        kept = PairSumStore(child(scratch, "sums"), max(limits, default=0))
        found = compute(dealt, blocks, thresholds, pairs, range_starts, hold_out, kept)
        tried: list[dict[str, NeighbourLists]] = []
        if hold_out:
            behind = range(range_starts.size, 2 * range_starts.size)
            in_trial = best_of(found, range_starts, thresholds.neighbours)
            tried += [each for _, each in collected(in_trial, behind)]
        lists = {
            name: concatenate(each[name] for each in tried if name in each)
            for name in judged(options)
        }
    ranked: dict[str, list[NeighbourLists]] = {}  # here, on the driver
    if "ease" in names:
        tried_of = (held_out, hold_out.movies) if hold_out and "ease" in lists else None
        ranked["ease"], tried_rows = rank_by_ease(
            kept, blocks, parameters["ease"], thresholds, tried_of, stages
        )
        lists |= {"ease": tried_rows} if tried_rows else {}
    if "als" in names:
        from spark.measures.als import als

        with stages.stage("als"):
            wanted = parameters["als"]
            ranked["als"] = list(
                als(context, ratings, blocks, wanted, scratch, thresholds.neighbours)
            )
    known: dict[str, NeighbourLists] = {}
    if ranked:
        with stages.stage("evidence"):
            known |= {name: attach_evidence(each, blocks, kept) for name, each in ranked.items()}
    best = best_of(found, range_starts, options.neighbours, known)
    return Compared(found.pairs, best, held_out, lists)


def _prepare_ease() -> None:
    """Import what EASE takes while the cells are summed up, which the driver has no part in."""
    from spark.measures import ease  # noqa: F401

    compiled("spark.engine.ranking")


def rank_by_ease(
    kept: PairSumStore,
    blocks: Blocks,
    parameters: dict[str, float],
    thresholds: Thresholds,
    tried_of: tuple[HeldOutRatings, np.ndarray] | None,
    stages: Stages,
) -> tuple[list[NeighbourLists], NeighbourLists | None]:
    """Neighbours by EASE, without their evidence, and what they would be without some users.

    Args:
        kept: where the cells have left their sums.
        blocks: of movies.
        parameters: of `ease`; receives `movies`, how many there are in the matrix.
        thresholds: what is kept.
        tried_of: the users to leave out and the ids of the movies that is wanted of; None for none.
        stages: that are timed.
    """
    from spark.measures.ease import ease, ease_without, gather, inverse

    with stages.stage("gram"):
        movies, gram = gather(kept, blocks, int(parameters["limit"]))
        parameters["movies"] = movies.ids.size
    with stages.stage("inversion"):
        weights = inverse(gram, parameters["lambda"])
    with stages.stage("ease"):
        rows = list(ease(movies, weights, thresholds.neighbours))
    if tried_of is None:
        return rows, None
    with stages.stage("ease_tried"):
        return rows, concatenate(ease_without(movies, weights, *tried_of, thresholds.neighbours))


def judged(options: argparse.Namespace) -> list[str]:
    """The measures by which the run judges itself, the one that counts range_starts.

    That is the one that answers by default, with those that it needs. Only what is made of all
    ratings cannot be learnt without some users, unless all is done twice; EASE stands for it.
    """
    name = options.default_measure
    if MEASURES[name].source == "ratings":
        name = "ease" if "ease" in options.measures else "cosine"
    return list(dict.fromkeys((name, *MEASURES[name].needs, "cosine")))


def hold_out_pass(
    held_out: HeldOutRatings, blocks: Blocks, thresholds: Thresholds, options: argparse.Namespace
) -> HoldOutPass:
    """What is to be learnt without the users who are held out."""
    raters, squares = held_out.of_movies(blocks.ids)
    others = replace(blocks, raters=blocks.raters - raters, squares=blocks.squares - squares)
    wanted = replace(thresholds, measures=pair_measures(judged(options), options.parameters))
    return HoldOutPass(np.unique(held_out.visible.movies), others, wanted)


def write_quality(
    ratings: Ratings, compared: Compared, words: "Content | None", options: argparse.Namespace
) -> Part:
    """Write what the users who were held out say of the run.

    Args:
        ratings: packed.
        compared: from `compare`.
        words: from `describe`.
        options: from `parse`.
    """
    held_out, names, tried = compared.held_out, judged(options), compared.tried
    if words is not None and "hybrid" in names:
        tried = tried | {"hybrid": hybrid_tried(tried["ease"], held_out, words, options)}
    raters, _ = held_out.of_movies(ratings.movies)
    popular = ratings.movies[np.argsort(raters - ratings.raters, kind="stable")]
    quality = evaluate(names[0], held_out, {name: tried[name] for name in names}, popular)
    return results.write_quality(quality, options.output)


def hybrid_tried(
    by_ratings: NeighbourLists,
    held_out: HeldOutRatings,
    words: "Content",
    options: argparse.Namespace,
) -> NeighbourLists:
    """What `hybrid` would be without some users; tags are no ratings, and theirs count.

    Args:
        by_ratings: neighbours by EASE without them.
        held_out: the users.
        words: from `describe`.
        options: from `parse`.

    Returns:
        Neighbours of the movies that they have kept, by movie and rank.
    """
    from spark.measures.hybrid import hybrid

    trust, most = options.parameters["hybrid"]["trust"], options.neighbours
    raters, _ = held_out.of_movies(words.ids)
    without = replace(words, raters=words.raters - raters.astype(np.int32))
    places = np.searchsorted(words.ids, np.unique(held_out.visible.movies))
    return hybrid(by_ratings, without.neighbours(places, most), without, trust, most)


def blocks_of(context: SparkContext, ratings: Ratings, options: argparse.Namespace) -> Blocks:
    """The blocks of movies, as many as are asked for or as fit the cores and their memory."""
    movies = int((ratings.raters >= options.min_co_raters).sum())
    count = options.blocks or block_count(movies, context.defaultParallelism, cell_memory(context))
    return choose_blocks(ratings, options.min_co_raters, count)


def describe(dataset: Dataset, options: argparse.Namespace) -> "Content | None":
    """What is known of the movies beside their ratings; None where `hybrid` is not asked for."""
    if "hybrid" not in options.measures:
        return None
    from spark.measures.content import content

    return content(dataset.movies, dataset.tags, options.parameters["hybrid"])


def write_neighbours(
    context: SparkContext,
    best: RDD[Any],
    dataset: Dataset,
    words: "Content | None",
    range_starts: np.ndarray,
    options: argparse.Namespace,
) -> tuple[list[Part], dict[str, int]]:
    """Write the parts of `neighbours/`, each where its neighbours are.

    Args:
        context: Spark's.
        best: from `engine.best_of`.
        dataset: what was read.
        words: from `describe`.
        range_starts: from `part_starts`.
        options: from `parse`.

    Returns:
        The parts, by rising movie id, and of how many movies there are ENOUGH neighbours by each
        measure, and `any` by the cosine.
    """
    names, most = options.measures, options.neighbours
    trust, output = options.parameters["hybrid"]["trust"], options.output
    everything = broadcast(context, (dataset.movies, words))

    def write(one: tuple[int, dict[str, NeighbourLists]]) -> tuple[Part, Counter[str]]:
        number, found = one
        movies, words = everything()
        if words is not None:
            from spark.measures.hybrid import hybrid

            places = np.arange(*range_of(movies, number, range_starts))
            by_content = words.neighbours(places, most)
            found["hybrid"] = hybrid(found.get("ease", EMPTY), by_content, words, trust, most)
        lists = {name: found.get(name, EMPTY) for name in names}
        covered = Counter({name: _covered(rows) for name, rows in lists.items()})
        covered["any"] = distinct(lists["cosine"].movies).size
        return write_part(lists, number, movies, range_starts, output), covered

    written = collected(best.map(write), range(range_starts.size))
    parts = sorted((part for part, _ in written), key=lambda part: part.name)
    return parts, sum((covered for _, covered in written), Counter())


def _covered(rows: NeighbourLists) -> int:
    """How many movies have enough neighbours."""
    return int((np.unique(rows.movies, return_counts=True)[1] >= ENOUGH).sum())


def count(dataset: Dataset) -> dict[str, int]:
    """What the manifest counts of a data set."""
    rating_lines, movie_lines = dataset.line_reports.values()
    return {
        "ratings": dataset.ratings.count,
        "users": dataset.ratings.users,
        "movies": dataset.movies.ids.size,
        "duplicates": rating_lines.good - dataset.ratings.count - dataset.ratings.left_out,
        "left_out": dataset.ratings.left_out,
        "duplicate_movies": dataset.duplicate_movies,
        "rejected": rating_lines.rejected + movie_lines.rejected,
    }
