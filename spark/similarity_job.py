"""The job: reads a MovieLens folder, computes similar titles, writes them and last the manifest."""

import argparse
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pyspark import RDD, SparkConf, SparkContext

import results
from best import NONE, Best
from engine import (
    Blocks,
    Rules,
    best_of,
    block_count,
    cell_memory,
    choose_blocks,
    compute,
    deal,
    look_up,
)
from gram import ease, gather
from manifest import SIMILARITIES, Manifest, Part
from measures import DEFAULT, MEASURES, of_pairs
from movielens import DatasetError, Format, only_format
from movies import Catalogue, catalogue, read_movies
from neighbours import bounds, write_part
from progress import Stages
from ratings import Ratings, read_ratings
from rejects import HopelessError, Judgement, refuse_hopeless
from similar_users import write_similar_users
from storage import absolute, child, list_files

EXAMPLE = """example:
  spark-submit spark/similarity_job.py --dataset ml-10M100K --output result
"""


@dataclass(frozen=True)
class Dataset:
    """A data set that was read and can be computed on.

    Attributes:
        format: of its folder.
        judgements: of its files' lines, the ratings file first, per file name.
        ratings: packed; a user and movie once.
        movies: the catalogue.
        duplicate_movies: good lines of a movie that an earlier line describes.
    """

    format: Format
    judgements: dict[str, Judgement]
    ratings: Ratings
    movies: Catalogue
    duplicate_movies: int


def main(arguments: list[str] | None = None) -> int:
    """Run the job; returns the exit status."""
    options = parse(arguments)
    options.dataset, options.output = absolute(options.dataset), absolute(options.output)
    context = start()
    try:
        results.clear(options.output)
        run(context, options)
    except DatasetError as error:
        report = error.report if isinstance(error, HopelessError) else []
        results.write_failure(options.output, "DatasetError", str(error), report)
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        for sample in report:
            print("  {file}, {defect}: {line!r}".format_map(sample), file=sys.stderr)  # noqa: T201
        return 1
    finally:
        context.stop()
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
    usual = ",".join(name for name, measure in MEASURES.items() if measure.is_usual)
    parser.add_argument(
        "--measures", type=_names, default=usual, metavar="NAMES",
        help="measures of similarity beside cosine, with commas between; default %(default)s",
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
    parser.add_argument("--blocks", type=int, metavar="B", help="of movies; chosen if not given")
    options = parser.parse_args(arguments)
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
    if options.similar_users < 0:
        parser.error("--similar-users must be 0 or more")
    return options


def _names(text: str) -> list[str]:
    """The measures that are named, the cosine always, in the registry's order."""
    names = {"cosine", *text.split(",")}
    if unknown := sorted(names - set(MEASURES)):
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(MEASURES)}")
    return [name for name in MEASURES if name in names]


def start() -> SparkContext:
    """The context that spark-submit configured; of Spark SQL, which takes seconds, no part."""
    context = SparkContext.getOrCreate(SparkConf().setAppName("similar-titles"))
    for module in Path(__file__).parent.glob("*.py"):
        context.addPyFile(str(module))  # workers need them; on a cluster --py-files brings them
    return context


def run(context: SparkContext, options: argparse.Namespace) -> None:
    """Compute and write everything, the manifest last.

    Raises:
        DatasetError: the folder cannot be computed on.
    """
    stages = Stages(context)
    with stages.stage("read"):
        dataset = read(context, options)
    first = bounds(dataset.movies, len(options.measures) * options.neighbours)
    pairs, best = compare(context, dataset, options, first, stages)
    with stages.stage("neighbours"):
        parts, with_neighbours = write_neighbours(context, best, dataset.movies, first, options)
        titles = results.write_titles(dataset.movies, options.output)
    alike: list[Part] = []
    if options.similar_users:
        with stages.stage("similar_users"):
            rules = Rules(options.min_co_raters, options.min_score, options.similar_users)
            alike = write_similar_users(context, dataset.ratings, rules, options.output)
    manifest = Manifest(
        measure=options.default_measure,
        measures={name: dict(MEASURES[name].parameters) for name in options.measures},
        dataset={
            "format": dataset.format.name,
            "lines": {name: judged.lines for name, judged in dataset.judgements.items()},
        },
        parameters={
            name: getattr(options, name)
            for name in ("min_co_raters", "min_score", "neighbours", "max_ratings_per_user")
        },
        counts=count(dataset) | {"pairs": pairs, "movies_with_neighbours": with_neighbours},
        rejects={name: judged.defects for name, judged in dataset.judgements.items()},
        neighbours=parts,
        titles=titles,
        similar_users=alike,
        quality=None,
        timings=stages.timings,
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )
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
    refuse_hopeless(format.ratings, ratings.judgement, ratings.samples)
    refuse_hopeless(format.movies, movie_lines, rejects)
    known = catalogue(movies, ratings.movies, ratings.raters)
    judgements = {format.ratings: ratings.judgement, format.movies: movie_lines}
    return Dataset(format, judgements, ratings, known, len(movies) - known.listed)


def compare(
    context: SparkContext,
    dataset: Dataset,
    options: argparse.Namespace,
    first: np.ndarray,
    stages: Stages,
) -> tuple[int, RDD]:
    """Compare the movies by all measures that are asked for; writes the pairs.

    Args:
        context: Spark's.
        dataset: what was read.
        options: from `parse`.
        first: from `bounds`.
        stages: that are timed.

    Returns:
        How many pairs were written, and what `engine.best_of` gives.
    """
    ratings, names = dataset.ratings, options.measures
    with stages.stage("similarities"):
        rules = Rules(
            options.min_co_raters,
            options.min_score,
            options.neighbours,
            of_pairs(names),
            int(MEASURES["ease"].parameters["limit"]) if "ease" in names else 0,
        )
        blocks = cut(context, ratings, options)
        dealt = deal(ratings, blocks)
        found = compute(dealt, blocks, rules, child(options.output, SIMILARITIES), first)
    ranked = []
    if "ease" in names:
        with stages.stage("ease"):
            ranked.append(rank_by_ease(context, found.products, blocks, rules))
    looked_up = look_up(dealt, blocks, context.union(ranked), first) if ranked else None
    everything = found.best.union(looked_up) if looked_up else found.best
    return found.pairs, best_of(everything, first.size, options.neighbours)


def cut(context: SparkContext, ratings: Ratings, options: argparse.Namespace) -> Blocks:
    """The blocks of movies, as many as are asked for or as fit the cores and their memory."""
    movies = int((ratings.raters >= options.min_co_raters).sum())
    count = options.blocks or block_count(movies, context.defaultParallelism, cell_memory(context))
    return choose_blocks(ratings, options.min_co_raters, count)


def rank_by_ease(context: SparkContext, products: RDD, blocks: Blocks, rules: Rules) -> RDD:
    """Neighbours by EASE, computed here, for `engine.look_up`."""
    movies, gram = gather(products.toLocalIterator(), blocks, rules.gram)
    rows = ease(movies, gram, MEASURES["ease"].parameters["lambda"], rules.neighbours)
    return context.parallelize([("ease", each) for each in rows])


def write_neighbours(
    context: SparkContext,
    best: RDD,
    movies: Catalogue,
    first: np.ndarray,
    options: argparse.Namespace,
) -> tuple[list[Part], int]:
    """Write the parts of `neighbours/`, each where its neighbours are.

    Returns:
        The parts, by rising movie id, and how many movies have neighbours.
    """
    everything = context.broadcast(movies)

    def write(one: tuple[int, dict[str, Best]]) -> tuple[Part, int]:
        number, found = one
        lists = {name: found.get(name, NONE) for name in options.measures}
        part = write_part(lists, number, everything.value, first, options.output)
        return part, np.unique(lists["cosine"].movies).size

    written = best.map(write).collect()
    parts = sorted((part for part, _ in written), key=lambda part: part.name)
    return parts, sum(movies for _, movies in written)


def count(dataset: Dataset) -> dict[str, int]:
    """What the manifest counts of a data set."""
    rating_lines, movie_lines = dataset.judgements.values()
    return {
        "ratings": dataset.ratings.count,
        "users": dataset.ratings.users,
        "movies": dataset.movies.ids.size,
        "duplicates": rating_lines.good - dataset.ratings.count - dataset.ratings.left_out,
        "left_out": dataset.ratings.left_out,
        "duplicate_movies": dataset.duplicate_movies,
        "rejected": rating_lines.rejected + movie_lines.rejected,
    }


if __name__ == "__main__":
    sys.exit(main())
