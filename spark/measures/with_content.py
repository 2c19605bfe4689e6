"""Neighbours by the measures that need the movies' content besides the ratings."""

from collections.abc import Iterator, Mapping

import numpy as np

from spark.engine.top_k import EMPTY, NeighbourLists, concatenate
from spark.measures.blend import blend
from spark.measures.content import Compared, Content
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
        found: the neighbours by the measures that they need, and the candidates of `blend`; of no
            other movies than those of `places`.
        places: indices in the catalogue of the movies whose neighbours are needed, ascending.
        content: of all movies.
        in_ease: ids of the movies in EASE's matrix.
        parameters: by measure, of those to compute.
        most: neighbours per movie.
    """
    made: dict[str, list[NeighbourLists]] = {
        name: [] for name in ("hybrid", "blend") if name in parameters
    }
    for compared in content.compared(places):
        first, last = compared.movies[[0, -1]]
        mine = {name: rows.between(first, last) for name, rows in found.items()}
        for name, rows in _lists(mine, compared, in_ease, parameters, most):
            made[name].append(rows)
    return {name: concatenate(some) for name, some in made.items()}


def _lists(
    found: Mapping[str, NeighbourLists],
    compared: Compared,
    in_ease: np.ndarray,
    parameters: Mapping[str, Mapping[str, float]],
    most: int,
) -> Iterator[tuple[str, NeighbourLists]]:
    """The same of some movies, by measure."""
    by_content = compared.neighbours(most)
    ease, full, candidates = (found.get(name, EMPTY) for name in ("ease", "full-cosine", "blend"))
    if "hybrid" in parameters:
        yield "hybrid", hybrid(ease, by_content, compared, parameters["hybrid"]["trust"], most)
    if "blend" in parameters:
        of_blend = parameters["blend"]
        yield "blend", blend(candidates, full, by_content, compared, in_ease, of_blend, most)
