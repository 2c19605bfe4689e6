"""Similar users: the engine's own work with movies for users, written by id and for nobody to see.

Two users are compared over the movies that both rated, as two movies are over their raters. Of
users there is nothing but ids; what is written stays in the results bucket, and no index and
no endpoint has it.
"""

import json
import math
from collections.abc import Iterator

import numpy as np
from pyspark import SparkContext

from spark.contracts.manifest import SIMILAR_USERS, Part
from spark.engine.broadcast import broadcast
from spark.engine.engine import (
    Thresholds,
    best_of,
    block_count,
    cell_memory,
    choose_blocks,
    collected,
    compute,
    shuffle_to_cells,
)
from spark.engine.top_k import EMPTY, NeighbourLists
from spark.ingest.ratings import Ratings, transposed
from spark.output.results import write_lines

ROWS_PER_PART = 1_000_000  # similar users in a part, at most


def write_similar_users(
    context: SparkContext, ratings: Ratings, thresholds: Thresholds, output: str
) -> list[Part]:
    """Write each user's most similar users, best range_starts.

    A line has `user_id`, `ratings`, which is how many the user gave, and `similar`: of each similar
    user the id, the score and the number of movies that both rated.

    Args:
        context: Spark's.
        ratings: packed.
        thresholds: thresholds, read with movies for users, and how many of each user.
        output: the run's prefix.

    Returns:
        The parts, by rising user id.
    """
    by_movie = transposed(ratings)
    users, given = by_movie.movies, by_movie.raters
    parts = max(1, math.ceil(users.size * thresholds.neighbours / ROWS_PER_PART))
    range_starts = np.array([part[0] for part in np.array_split(users, parts)], np.int32)
    compared = int((given >= thresholds.min_co_raters).sum())
    count = block_count(compared, context.defaultParallelism, cell_memory(context))
    blocks = choose_blocks(by_movie, thresholds.min_co_raters, count)
    found = compute(shuffle_to_cells(by_movie, blocks), blocks, thresholds, None, range_starts)
    everyone = broadcast(context, (users, given))

    def write(one: tuple[int, dict[str, NeighbourLists]]) -> Part:
        number, lists = one
        users, given = everyone()
        begin, end = np.searchsorted(
            users, [range_starts[number], *range_starts[number + 1 :][:1], 2**31]
        )[:2]
        lines = _lines(lists.get("cosine", EMPTY), users[begin:end], given[begin:end])
        return write_lines(output, f"{SIMILAR_USERS}/part-{number:05d}.json.gz", lines)

    lists = best_of(found, range_starts, thresholds.neighbours)
    written = collected(lists.map(write), range(range_starts.size))
    return sorted(written, key=lambda part: part.name)


def _lines(best: NeighbourLists, users: np.ndarray, given: np.ndarray) -> Iterator[str]:
    rows = list(
        zip(best.neighbours.tolist(), best.scores.tolist(), best.co_raters.tolist(), strict=True)
    )
    starts = np.searchsorted(best.movies, users).tolist()
    ends = np.searchsorted(best.movies, users, side="right").tolist()
    for user, ratings, start, end in zip(users.tolist(), given.tolist(), starts, ends, strict=True):
        line = {"user_id": user, "ratings": ratings, "similar": rows[start:end]}
        yield json.dumps(line, separators=(",", ":"))
