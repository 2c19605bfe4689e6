"""Neighbours by the measures that need the movies' content besides the ratings."""

from collections.abc import Iterator, Mapping

import numpy as np

from spark.engine.top_k import EMPTY, NeighbourLists
from spark.measures.blend import blend
from spark.measures.content import Content
from spark.measures.hybrid import hybrid
from spark.measures.registry import BY_CONTENT


def lists_with_content(
    found: Mapping[str, NeighbourLists],
    content: Content,
    in_ease: np.ndarray,
    parameters: Mapping[str, Mapping[str, float]],
    most: int,
) -> Iterator[tuple[str, NeighbourLists]]:
    """The neighbours by the measures that need content.

    Args:
        found: the neighbours by the measures that they need, the candidates of `blend`, and the
            neighbours BY_CONTENT.
        content: of all movies.
        in_ease: ids of the movies in EASE's matrix.
        parameters: by measure, of those to compute.
        most: neighbours per movie.

    Yields:
        A measure and its neighbours, by movie and rank.
    """
    names = "ease", "full-cosine", "blend", BY_CONTENT
    ease, full, candidates, by_content = (found.get(name, EMPTY) for name in names)
    if "hybrid" in parameters:
        yield "hybrid", hybrid(ease, by_content, content, parameters["hybrid"]["trust"], most)
    if "blend" in parameters:
        of_blend = parameters["blend"]
        yield "blend", blend(candidates, full, by_content, content, in_ease, of_blend, most)
