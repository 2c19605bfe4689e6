"""Titles to watch next, from the neighbours of the movies that a person likes."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import repeat
from typing import Any

from live_pointer import LivePointer
from query import filters, reranking, responses, similar
from query.http import problems
from query.http.problems import InvalidParameter
from query.requests import RecommendationRequest
from query.responses import Reason, Recommendation, Recommendations
from query.strength import strength
from spark.contracts import neighbour_lines

type Line = Mapping[str, Any]


def recommend(
    live: LivePointer, lines: Mapping[int | str, Line], request: RecommendationRequest
) -> Recommendations:
    """Titles similar to liked movies and not to disliked ones, the best first or reranked.

    A title's score is the sum of its scores with the liked movies, each times the movie's weight
    divided by the mean of the weights, minus the sum of its scores with the disliked ones. So only
    the ratios of the weights matter, also beside disliked movies. Titles with a score of zero or
    less are left out.

    Args:
        live: the live run.
        lines: the lines of `neighbours/` of the requested movies, by requested id; without those
            that the run lacks.
        request: the liked and disliked movies.

    Raises:
        ProblemError: 400, the run lacks the measure, or a movie is both liked and disliked; 404,
            it has none of the liked movies.
    """
    measure = similar.resolve_measure(live, request.measure)
    liked_by_id, disliked_by_id = (
        {_own_id(lines, id): lines.get(id) for id in ids}
        for ids in (request.liked, request.disliked)
    )
    _check_apart(liked_by_id, disliked_by_id)
    liked, disliked = (
        [line for line in each.values() if line] for each in (liked_by_id, disliked_by_id)
    )
    if not liked:
        raise problems.not_found(f"none of the liked movies in run {live.run_id}")
    weights = _weights(lines, request)
    relative = _relative({line["movie_id"]: weights[line["movie_id"]] for line in liked})
    scores: dict[int, float] = defaultdict(float)
    led_to: dict[int, list[tuple[float, Line, float]]] = defaultdict(list)
    titles: dict[int, dict[str, Any]] = {}
    for line, row in _neighbours(liked, measure):
        titles[row["movie_id"]] = row
        weighted = relative[line["movie_id"]] * row["score"]
        scores[row["movie_id"]] += weighted
        led_to[row["movie_id"]].append((weighted, line, row["score"]))
    for _, row in _neighbours(disliked, measure):
        scores[row["movie_id"]] -= row["score"]
    requested = liked_by_id | disliked_by_id
    ranked = [id for id in titles if id not in requested and scores[id] > 0]
    ranked.sort(key=lambda id: (-scores[id], id))
    scored = [titles[id] | {"score": scores[id]} for id in ranked]
    ordered = reranking.by_popularity(scored, request.popularity or 0)
    passes = filters.by_title(request, {genre for line in liked for genre in line["genres"]})
    matches = [row for row in ordered if passes(row)]

    def because(title: Line) -> list[Reason]:
        found = sorted(led_to[title["movie_id"]], key=lambda each: -each[0])
        whole = sum(weighted for weighted, _, _ in found)
        return [
            Reason(
                movie_id=line["movie_id"],
                title=line["title"],
                **responses.world_ids(line),
                score=score,
                strength=strength(live, measure, line, score),
                weight=weights[line["movie_id"]],
                share=round(weighted / whole, 4),
            )
            for weighted, line, score in found
        ]

    page = reranking.diversified(matches, request.diversity or 0, request.limit)[: request.limit]
    return Recommendations(
        run_id=live.run_id,
        measure=measure,
        measures=live.measures,
        limit=request.limit,
        matched=len(matches),
        recommendations=[
            _recommendation(rank, title, because(title)) for rank, title in enumerate(page, start=1)
        ],
        unknown=_in_order(id for id, line in requested.items() if line is None),
        reason=None if matches else _empty_reason(live, liked, measure, len(ranked)),
    )


def requested_ids(request: RecommendationRequest) -> list[int | str]:
    """The liked and the disliked movies, each id once.

    Raises:
        ProblemError: 400, an id is both liked and disliked, or not every liked one has a weight.
    """
    _check_apart(request.liked, request.disliked)
    if request.weights and len(request.weights) != len(request.liked):
        detail = f"{len(request.weights)} weights for {len(request.liked)} liked movies"
        allowed = "one weight for each liked movie"
        shown = ", ".join(map(str, request.weights))[:100]
        raise problems.bad_request(InvalidParameter("weights", detail, allowed, shown))
    return list({*request.liked, *request.disliked})


def _check_apart(liked: Iterable[int | str], disliked: Iterable[int | str]) -> None:
    if both := {*liked} & {*disliked}:
        ids = ", ".join(map(str, _in_order(both)))
        raise problems.bad_request(
            InvalidParameter("disliked", "also liked", "ids that are not in liked", ids)
        )


def _weights(
    lines: Mapping[int | str, Line], request: RecommendationRequest
) -> dict[int | str, float]:
    """The weight of each liked movie; of one that comes twice, the first one."""
    weights: dict[int | str, float] = {}
    for id, weight in zip(request.liked, request.weights or repeat(1.0), strict=False):
        weights.setdefault(_own_id(lines, id), weight)
    return weights


def _relative(weights: Mapping[int | str, float]) -> dict[int | str, float]:
    """Weights divided by their mean; in decimals, because equal ones must give exactly 1."""
    exact = {id: Decimal(str(weight)) for id, weight in weights.items()}
    total = sum(exact.values())
    return {id: float(weight * len(exact) / total) for id, weight in exact.items()}


def _own_id(lines: Mapping[int | str, Line], id: int | str) -> int | str:
    """A movie's id in the data set, or the requested id if the run lacks the movie."""
    return lines[id]["movie_id"] if id in lines else id


def _in_order(ids: Iterable[int | str]) -> list[int | str]:
    """Numbers first, then ids elsewhere."""
    return sorted(ids, key=lambda id: (isinstance(id, str), id))


def _neighbours(lines: list[Line], measure: str) -> Iterator[tuple[Line, dict[str, Any]]]:
    """Each movie with each of its neighbours."""
    for line in lines:
        for row in neighbour_lines.neighbours_of(line, measure):
            yield line, row


def _recommendation(rank: int, title: Line, because: list[Reason]) -> Recommendation:
    return Recommendation(
        rank=rank,
        movie_id=title["movie_id"],
        title=title["title"],
        year=title["year"],
        genres=title["genres"],
        **responses.world_ids(title),
        series=title.get("series"),
        score=title["score"],
        because=because,
    )


def _empty_reason(live: LivePointer, liked: list[Line], measure: str, ranked: int) -> str:
    """Why there are no recommendations."""
    if ranked:
        return f"none of the {ranked} titles to recommend passes the filters"
    if len(liked) == 1 and not neighbour_lines.neighbours_of(liked[0], measure):
        return similar.no_neighbours_reason(live, liked[0], measure)
    return "every neighbour of the liked movies is in the request or closer to the disliked ones"
