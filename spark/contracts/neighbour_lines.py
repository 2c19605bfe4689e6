"""A line of `neighbours/` as its readers take it: a movie's neighbours by one measure.

Imports nothing of the project: the query reads by it, as does the notebook.
"""

from collections.abc import Mapping
from typing import Any


def neighbours_of(line: Mapping[str, Any], measure: str) -> list[dict[str, Any]]:
    """A movie's neighbours by a measure, best first.

    Args:
        line: a line of `neighbours/`, see spark/output/neighbours.py.
        measure: one of the run's.

    Returns:
        Of each neighbour `movie_id`, `title`, `year`, `genres`, `score` by the measure, `co_raters`
        and `cosine`: the score of the co-raters, None where they are too few for one.
    """
    others = line["others"]
    return [
        others[place] | {"score": score, "co_raters": co_raters, "cosine": cosine}
        for place, score, co_raters, cosine in line["neighbours"].get(measure, ())
    ]
