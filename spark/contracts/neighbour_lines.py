"""How to read a line of `neighbours/`: a movie's neighbours by one measure.

The query function and the notebook use it. Standard library only.
"""

from collections.abc import Mapping, Sequence
from typing import Any

# The place of the neighbour in the line's `others`, score, co-raters, and cosine.
type Row = Sequence[Any]


def neighbours_of(line: Mapping[str, Any], measure: str) -> list[dict[str, Any]]:
    """A movie's neighbours by a measure, best first.

    Args:
        line: of `neighbours/`; see spark/output/neighbours.py.
        measure: one of the run's measures.

    Returns:
        For each neighbour `movie_id`, `title`, `year`, `genres`, `ratings`; `series`, `imdb_id`,
        `tmdb_id` and `tags`, the most telling first, if it has them; `score` by the measure,
        `co_raters`, and `cosine`: over the co-raters, None if there are too few for one. Runs of an
        earlier version have neither `ratings` nor these.
    """
    return [neighbour(line, row) for row in rows_of(line, measure)]


def rows_of(line: Mapping[str, Any], measure: str) -> Sequence[Row]:
    """The rows of a measure, best first: enough to know how many there are."""
    return line["neighbours"].get(measure, ())


def neighbour(line: Mapping[str, Any], row: Row) -> dict[str, Any]:
    """The neighbour of one row, see `neighbours_of`."""
    place, score, co_raters, cosine = row
    return line["others"][place] | {"score": score, "co_raters": co_raters, "cosine": cosine}
