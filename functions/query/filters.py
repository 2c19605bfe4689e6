"""Which titles a request wants: by genre, and without those that it names."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from query.requests import NeighbourQuery, RecommendationRequest
from query.world_ids import ids_of, normalised

type Row = Mapping[str, Any]


def by_title(
    request: NeighbourQuery | RecommendationRequest, genres: Iterable[str]
) -> Callable[[Row], bool]:
    """A function that says whether a title passes the request's filters on titles.

    Args:
        request: with `genre`, `all_genres`, `same_genre` and `exclude`.
        genres: of the movies that titles are similar to, for `same_genre`.
    """
    any_of, all_of = _folded(request.genre), _folded(request.all_genres)
    same = _folded(genres) if request.same_genre else None
    excluded = {id if isinstance(id, int) else normalised(id) for id in request.exclude}
    has_genres = bool(any_of or all_of or same is not None)

    def passes(row: Row) -> bool:
        if excluded and not excluded.isdisjoint(ids_of(row)):
            return False
        if not has_genres:
            return True
        theirs = _folded(row["genres"])
        return (
            (not any_of or not any_of.isdisjoint(theirs))
            and all_of <= theirs
            and (same is None or not same.isdisjoint(theirs))
        )

    return passes


def _folded(genres: Iterable[str]) -> frozenset[str]:
    """Genres without regard to case."""
    return frozenset(genre.casefold() for genre in genres)
