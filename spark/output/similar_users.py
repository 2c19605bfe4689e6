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
    Rules,
    best_of,
    block_count,
    cell_memory,
    choose_blocks,
    collected,
    compute,
    deal,
)
from spark.engine.top_k import NONE, Best
from spark.ingest.ratings import Ratings, exchanged
from spark.output.results import write_lines

ROWS_PER_PART = 1_000_000  # similar users in a part, at most


def write_similar_users(
    context: SparkContext, ratings: Ratings, rules: Rules, output: str
) -> list[Part]:
    """Write each user's most similar users, best first.

    A line has `user_id`, `ratings`, which is how many the user gave, and `similar`: of each similar
    user the id, the score and the number of movies that both rated.

    Args:
        context: Spark's.
        ratings: packed.
        rules: thresholds, read with movies for users, and how many of each user.
        output: the run's prefix.

    Returns:
        The parts, by rising user id.
    """
    by_movie = exchanged(ratings)
    users, given = by_movie.movies, by_movie.raters
    parts = max(1, math.ceil(users.size * rules.neighbours / ROWS_PER_PART))
    first = np.array([part[0] for part in np.array_split(users, parts)], np.int32)
    compared = int((given >= rules.min_co_raters).sum())
    count = block_count(compared, context.defaultParallelism, cell_memory(context))
    blocks = choose_blocks(by_movie, rules.min_co_raters, count)
    found = compute(deal(by_movie, blocks), blocks, rules, None, first)
    everyone = broadcast(context, (users, given))

    def write(one: tuple[int, dict[str, Best]]) -> Part:
        number, lists = one
        users, given = everyone()
        begin, end = np.searchsorted(users, [first[number], *first[number + 1 :][:1], 2**31])[:2]
        lines = _lines(lists.get("cosine", NONE), users[begin:end], given[begin:end])
        return write_lines(output, f"{SIMILAR_USERS}/part-{number:05d}.json.gz", lines)

    lists = best_of(found, first, rules.neighbours)
    written = collected(lists.map(write), range(first.size))
    return sorted(written, key=lambda part: part.name)


def _lines(best: Best, users: np.ndarray, given: np.ndarray) -> Iterator[str]:
    rows = list(
        zip(best.neighbours.tolist(), best.scores.tolist(), best.co_raters.tolist(), strict=True)
    )
    starts = np.searchsorted(best.movies, users).tolist()
    ends = np.searchsorted(best.movies, users, side="right").tolist()
    for user, ratings, start, end in zip(users.tolist(), given.tolist(), starts, ends, strict=True):
        line = {"user_id": user, "ratings": ratings, "similar": rows[start:end]}
        yield json.dumps(line, separators=(",", ":"))
