"""Similar users: the engine with users and movies exchanged.

Two users are compared over the movies that both rated, as two movies are compared over their
raters. Users appear only as ids. The result stays in the results bucket: neither the index nor an
endpoint has it.
"""

import json
import math
from collections.abc import Iterator

import numpy as np
from pyspark import SparkContext

from spark.contracts.manifest import SIMILAR_USERS, Part
from spark.engine.blocks import block_count, choose_blocks
from spark.engine.cells import CellPlan, Thresholds
from spark.engine.shuffle import (
    best_neighbours,
    cell_memory,
    collect_partitions,
    compute_cells,
)
from spark.engine.top_k import EMPTY, NeighbourLists
from spark.ingest.ratings import Ratings, transposed
from spark.parts import write_lines
from spark.runtime.broadcast import broadcast

ROWS_PER_PART = 1_000_000  # similar users in a part, at most


def write_similar_users(
    context: SparkContext, ratings: Ratings, thresholds: Thresholds, output: str
) -> list[Part]:
    """Write each user's most similar users, best first.

    A line has `user_id`, `ratings` (how many the user gave), and `similar`: for each similar user
    the id, the score, and the number of movies that both rated.

    Args:
        context: the Spark context.
        ratings: packed.
        thresholds: `min_co_raters` counts common movies, `neighbours` limits similar users.
        output: the run's prefix.

    Returns:
        The parts, by ascending user id.
    """
    by_movie = transposed(ratings)
    users, given = by_movie.movies, by_movie.raters
    parts = max(1, math.ceil(users.size * thresholds.neighbours / ROWS_PER_PART))
    range_starts = np.array([part[0] for part in np.array_split(users, parts)], np.int32)
    least = thresholds.min_co_raters
    compared = int((given >= least).sum())
    count = block_count(compared, context.defaultParallelism, cell_memory(context))
    blocks = choose_blocks(users, given, by_movie.squares, least, count)
    plan = CellPlan(blocks, thresholds)
    results = compute_cells(by_movie, plan, range_starts)
    everyone = broadcast(context, (users, given))

    def write(merged: tuple[int, dict[str, NeighbourLists]]) -> Part:
        number, lists = merged
        users, given = everyone()
        following = range_starts[number + 1 :][:1]
        begin, end = np.searchsorted(users, [range_starts[number], *following, 2**31])[:2]
        lines = _lines(lists.get("cosine", EMPTY), users[begin:end], given[begin:end])
        return write_lines(output, f"{SIMILAR_USERS}/part-{number:05d}.json.gz", lines)

    lists = best_neighbours(results, thresholds.neighbours)
    written = collect_partitions(lists.map(write), results.partitions.published)
    return sorted(written, key=lambda part: part.name)


def _lines(lists: NeighbourLists, users: np.ndarray, given: np.ndarray) -> Iterator[str]:
    """The lines of some users.

    Args:
        lists: their similar users, by user and rank.
        users: ids, ascending.
        given: how many ratings each gave.
    """
    rows = list(
        zip(lists.neighbours.tolist(), lists.scores.tolist(), lists.co_raters.tolist(), strict=True)
    )
    starts = np.searchsorted(lists.movies, users).tolist()
    ends = np.searchsorted(lists.movies, users, side="right").tolist()
    for user, ratings, start, end in zip(users.tolist(), given.tolist(), starts, ends, strict=True):
        line = {"user_id": user, "ratings": ratings, "similar": rows[start:end]}
        yield json.dumps(line, separators=(",", ":"))
