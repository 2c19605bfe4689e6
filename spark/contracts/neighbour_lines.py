"""How to read a line of `neighbours/`: a movie's neighbours by one measure.

The query function and the notebook use it. Standard library only.
"""

from collections.abc import Mapping
from typing import Any


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
    others = line["others"]
    return [
        others[place] | {"score": score, "co_raters": co_raters, "cosine": cosine}
        for place, score, co_raters, cosine in line["neighbours"].get(measure, ())
    ]
