"""Titles to watch next, from the neighbours of the movies that a person likes."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import index_table
from live_pointer import LivePointer
from query import similar
from query.http import problems
from query.http.problems import InvalidParameter
from query.requests import RecommendationRequest
from query.responses import Reason, Recommendation, Recommendations

type Line = Mapping[str, Any]


def recommend(
    live: LivePointer, lines: Mapping[int, Line], request: RecommendationRequest
) -> Recommendations:
    """Titles similar to liked movies and not to disliked ones, the best first.

    A title's score is the sum of its scores with the liked movies minus the sum of its scores with
    the disliked ones. Titles with a score of zero or less are left out.

    Args:
        live: the live run.
        lines: the lines of `neighbours/` of the requested movies, by id; without those that the
            run lacks.
        request: the liked and disliked movies.

    Raises:
        ProblemError: 400, the run lacks the measure; 404, it has none of the liked movies.
    """
    measure = similar.resolve_measure(live, request.measure)
    liked = [lines[id] for id in dict.fromkeys(request.liked) if id in lines]
    disliked = [lines[id] for id in dict.fromkeys(request.disliked) if id in lines]
    if not liked:
        raise problems.not_found(f"none of the liked movies in run {live.run_id}")
    scores: dict[int, float] = defaultdict(float)
    because: dict[int, list[Reason]] = defaultdict(list)
    titles: dict[int, Line] = {}
    for line, row in _neighbours(liked, measure):
        titles[row["movie_id"]] = row
        scores[row["movie_id"]] += row["score"]
        because[row["movie_id"]].append(
            Reason(movie_id=line["movie_id"], title=line["title"], score=row["score"])
        )
    for _, row in _neighbours(disliked, measure):
        scores[row["movie_id"]] -= row["score"]
    requested = {*request.liked, *request.disliked}
    ranked = [id for id in titles if id not in requested and scores[id] > 0]
    ranked.sort(key=lambda id: (-scores[id], id))
    return Recommendations(
        run_id=live.run_id,
        measure=measure,
        measures=live.measures,
        limit=request.limit,
        matched=len(ranked),
        recommendations=[
            _recommendation(rank, titles[id], scores[id], because[id])
            for rank, id in enumerate(ranked[: request.limit], start=1)
        ],
        unknown=sorted(requested - lines.keys()),
        reason=None if ranked else _empty_reason(live, liked, measure),
    )


def requested_ids(request: RecommendationRequest) -> list[int]:
    """The liked and the disliked movies, each once.

    Raises:
        ProblemError: 400, a movie is both liked and disliked.
    """
    both = sorted({*request.liked} & {*request.disliked})
    if both:
        ids = ", ".join(map(str, both))
        raise problems.bad_request(
            InvalidParameter("disliked", "also liked", "ids that are not in liked", ids)
        )
    return list({*request.liked, *request.disliked})


def _neighbours(lines: list[Line], measure: str) -> Iterator[tuple[Line, dict[str, Any]]]:
    """Each movie with each of its neighbours."""
    for line in lines:
        for row in index_table.neighbours_of(line, measure):
            yield line, row


def _recommendation(rank: int, title: Line, score: float, because: list[Reason]) -> Recommendation:
    return Recommendation(
        rank=rank,
        movie_id=title["movie_id"],
        title=title["title"],
        year=title["year"],
        genres=title["genres"],
        score=score,
        because=sorted(because, key=lambda liked: -liked.score),
    )


def _empty_reason(live: LivePointer, liked: list[Line], measure: str) -> str:
    """Why there are no recommendations."""
    if len(liked) == 1 and not index_table.neighbours_of(liked[0], measure):
        return similar.no_neighbours_reason(live, liked[0], measure)
    return "every neighbour of the liked movies is in the request or closer to the disliked ones"
