"""Titles to watch next, from the neighbours of what somebody likes."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import index_table
from live_pointer import Live
from query import similar
from query.http import problems
from query.http.problems import InvalidParameter
from query.requests import RecommendationRequest
from query.responses import Reason, Recommendation, Recommendations

type Line = Mapping[str, Any]


def recommend(
    live: Live, lines: Mapping[int, Line], asked: RecommendationRequest
) -> Recommendations:
    """Titles that are near to what is liked and not to what is disliked, the best first.

    A title's score is the sum of its scores with the liked movies, less that with the disliked
    ones; where it is not above zero, the title is left out.

    Args:
        live: the run that is answered from.
        lines: lines of `neighbours/` by movie, of those asked for that the run has.
        asked: what is liked and what is not.

    Raises:
        ProblemError: 400, the run has no such measure; 404, it has none of the liked movies.
    """
    measure = similar.resolve_measure(live, asked.measure)
    liked = [lines[id] for id in dict.fromkeys(asked.liked) if id in lines]
    disliked = [lines[id] for id in dict.fromkeys(asked.disliked) if id in lines]
    if not liked:
        raise problems.not_found(f"none of the liked movies in run {live.run_id}")
    scores: dict[int, float] = defaultdict(float)
    because: dict[int, list[Reason]] = defaultdict(list)
    about: dict[int, Line] = {}
    for line, row in _rows(liked, measure):
        about[row["movie_id"]] = row
        scores[row["movie_id"]] += row["score"]
        reason = Reason(movie_id=line["movie_id"], title=line["title"], score=row["score"])
        because[row["movie_id"]].append(reason)
    for _, row in _rows(disliked, measure):
        scores[row["movie_id"]] -= row["score"]
    given = {*asked.liked, *asked.disliked}
    worth = [id for id in about if id not in given and scores[id] > 0]
    worth.sort(key=lambda id: (-scores[id], id))
    return Recommendations(
        run_id=live.run_id,
        measure=measure,
        measures=live.measures,
        limit=asked.limit,
        matched=len(worth),
        recommendations=[
            _row(rank, about[id], scores[id], because[id])
            for rank, id in enumerate(worth[: asked.limit], start=1)
        ],
        unknown=sorted(given - lines.keys()),
        reason=None if worth else _empty_reason(live, liked, measure),
    )


def requested_ids(asked: RecommendationRequest) -> list[int]:
    """The movies whose neighbours are needed.

    Raises:
        ProblemError: 400, a movie is both liked and disliked.
    """
    both = sorted({*asked.liked} & {*asked.disliked})
    if both:
        ids = ", ".join(map(str, both))
        raise problems.bad_request(
            InvalidParameter("disliked", "it is liked, too", "ids not in liked", ids)
        )
    return list({*asked.liked, *asked.disliked})


def _rows(lines: list[Line], measure: str) -> Iterator[tuple[Line, dict[str, Any]]]:
    """Each movie with each of its neighbours."""
    for line in lines:
        for row in index_table.neighbours_of(line, measure):
            yield line, row


def _row(rank: int, about: Line, score: float, because: list[Reason]) -> Recommendation:
    return Recommendation(
        rank=rank,
        movie_id=about["movie_id"],
        title=about["title"],
        year=about["year"],
        genres=about["genres"],
        score=score,
        because=sorted(because, key=lambda reason: -reason.score),
    )


def _empty_reason(live: Live, liked: list[Line], measure: str) -> str:
    if len(liked) == 1 and not index_table.neighbours_of(liked[0], measure):
        return similar.no_neighbours_reason(live, liked[0], measure)
    return "the liked movies lead to no title that is not given, or is nearer to the disliked ones"
