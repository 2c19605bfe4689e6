"""Neighbours by the measures that need the movies' content besides the ratings."""

from collections.abc import Mapping

import numpy as np

from spark.engine.top_k import EMPTY, NeighbourLists
from spark.measures.blend import blend
from spark.measures.content import Content
from spark.measures.hybrid import hybrid


def lists_with_content(
    found: Mapping[str, NeighbourLists],
    places: np.ndarray,
    content: Content,
    in_ease: np.ndarray,
    parameters: Mapping[str, Mapping[str, float]],
    most: int,
) -> dict[str, NeighbourLists]:
    """The neighbours by the measures that need content.

    Args:
        found: the neighbours by the measures that they need, and the candidates of `blend`.
        places: indices in the catalogue of the movies whose neighbours are needed, ascending.
        content: of all movies.
        in_ease: ids of the movies in EASE's matrix.
        parameters: by measure, of those to compute.
        most: neighbours per movie.
    """
    by_content = content.neighbours(places, most)
    ease, full, candidates = (found.get(name, EMPTY) for name in ("ease", "full-cosine", "blend"))
    made = {}
    if "hybrid" in parameters:
        trust = parameters["hybrid"]["trust"]
        made["hybrid"] = hybrid(ease, by_content, content, trust, most)
    if "blend" in parameters:
        of_blend = parameters["blend"]
        made["blend"] = blend(candidates, full, by_content, content, in_ease, of_blend, most)
    return made
