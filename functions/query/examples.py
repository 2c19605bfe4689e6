"""One example of each response, JSON body and error, for the OpenAPI document."""

from typing import Any

from msgspec import Struct

from query.http import problems
from query.http.problems import InvalidParameter, Problem, ProblemError
from query.requests import RecommendationRequest, SimilarToManyRequest
from query.responses import (
    Links,
    Movie,
    MovieOfRun,
    Movies,
    Reason,
    Recommendation,
    Recommendations,
    SimilarByTitle,
    SimilarTitle,
    SimilarTitles,
    SimilarToMany,
    SimilarToOne,
    Why,
)
from query.run_responses import Cost, Health, IndexProgress, Run, RunQuality, Runs, WaitingDrop

_RUN_ID = "20261123T120500000Z-5f2a9c01"
_MEASURES = ["cosine", "damped", "ease"]
_MOVIE = Movie(
    movie_id=3,
    title="Forgotten Detective, The (1960)",
    year=1960,
    genres=["Animation", "Mystery"],
    ratings=659,
    imdb_id="tt0053906",
    tmdb_id=70512,
)
_OTHER = Movie(
    movie_id=868,
    title="Painted Promise (1964)",
    year=1964,
    genres=["Mystery"],
    ratings=48,
    imdb_id="tt0058461",
    tmdb_id=None,
)
_ROW = SimilarTitle(
    rank=1,
    movie_id=1408,
    title="Wandering Bridge II (1938)",
    year=1938,
    genres=["Mystery"],
    ratings=48,
    imdb_id="tt0030341",
    tmdb_id=43864,
    series=None,
    score=0.9974288827431252,
    strength=41,
    co_raters=10,
    cosine=0.9974288827431252,
    based_on="ratings",
    why=Why(
        sentence="Both are mystery movies; both tagged noir; 10 people rated both, 1.6 times as"
        " many as chance.",
        series=None,
        genres=["Mystery"],
        decade=None,
        tags=["noir"],
        co_raters=10,
        lift=1.581,
    ),
)
_PAGE: dict[str, Any] = {
    "movie": _MOVIE,
    "run_id": _RUN_ID,
    "measure": "cosine",
    "measures": _MEASURES,
    "limit": 1,
    "offset": 0,
    "total": 50,
    "matched": 7,
    "similar": [_ROW],
    "reason": None,
    "links": Links(
        self="?limit=1&offset=0&genre=Mystery",
        first="?limit=1&offset=0&genre=Mystery",
        next="?limit=1&offset=1&genre=Mystery",
        last="?limit=1&offset=6&genre=Mystery",
    ),
}
_RUN = Run(
    run_id=_RUN_ID,
    folder="ml-10M100K",
    state="LIVE",
    attempt=1,
    created_at="2026-11-23T12:05:00.000Z",
    updated_at="2026-11-23T12:15:00.000Z",
    timeline={"CHECKING": "2026-11-23T12:05:00.000Z", "LIVE": "2026-11-23T12:15:00.000Z"},
    cluster_id="j-1ABCDEFGHIJKL",
    estimated_cost=Cost(node_hours=0.66, usd=0.16, priced_at="2026-11"),
    counts={"ratings": 10_000_054, "movies": 10_681, "pairs": 22_245_920},
    indexed=IndexProgress(parts=6, of=6),
    quality=RunQuality(
        measure="ease",
        users=500,
        recall=0.35,
        popularity_recall=0.175,
        lift=2.0,
        lift_error=0.09,
        popularity_share=0.42,
    ),
)

EXAMPLES: dict[type, Struct] = {
    type(example): example
    for example in (
        SimilarTitles(**_PAGE),
        SimilarByTitle(**_PAGE, did_you_mean=[_OTHER]),
        SimilarToMany(
            run_id=_RUN_ID,
            measures=_MEASURES,
            limit=1,
            offset=0,
            movies=[
                SimilarToOne(
                    movie_id=3,
                    movie=_MOVIE,
                    measure="cosine",
                    total=50,
                    matched=7,
                    similar=[_ROW],
                    reason=None,
                ),
                SimilarToOne(
                    movie_id=999_999,
                    movie=None,
                    measure="cosine",
                    total=0,
                    matched=0,
                    similar=[],
                    reason=f"no movie 999999 in run {_RUN_ID}",
                ),
            ],
        ),
        MovieOfRun(
            **{name: getattr(_MOVIE, name) for name in Movie.__struct_fields__}, run_id=_RUN_ID
        ),
        Movies(run_id=_RUN_ID, movies=[_MOVIE, _OTHER]),
        Recommendations(
            run_id=_RUN_ID,
            measure="cosine",
            measures=_MEASURES,
            limit=10,
            matched=1,
            recommendations=[
                Recommendation(
                    rank=1,
                    movie_id=1408,
                    title=_ROW.title,
                    year=1938,
                    genres=["Mystery"],
                    imdb_id=_ROW.imdb_id,
                    tmdb_id=_ROW.tmdb_id,
                    series=_ROW.series,
                    score=_ROW.score,
                    because=[
                        Reason(
                            movie_id=3,
                            title=_MOVIE.title,
                            imdb_id=_MOVIE.imdb_id,
                            tmdb_id=_MOVIE.tmdb_id,
                            score=_ROW.score,
                            strength=_ROW.strength,
                            weight=1.0,
                            share=1.0,
                        )
                    ],
                )
            ],
            unknown=[],
            reason=None,
        ),
        Runs(
            live_run_id=_RUN_ID,
            runs=[_RUN],
            waiting=[
                WaitingDrop(
                    folder="ml-20M",
                    since="2026-11-23T12:20:00.000Z",
                    waits_for="movies.csv is missing: upload it into the same folder",
                )
            ],
        ),
        _RUN,
        Health(
            status="ok",
            live_run_id=_RUN_ID,
            live_since="2026-11-23T12:15:00.000Z",
            measure="cosine",
            measures=_MEASURES,
        ),
        RecommendationRequest(liked=[3, "imdb:tt0058461"], weights=[2, 1], disliked=[12], limit=5),
        SimilarToManyRequest(movie_ids=[3, 999_999], limit=1, genre=("Mystery",)),
    )
}
PROBLEMS: dict[int, Problem] = {
    int(error.status): error.problem("/recommendations")
    for error in (
        problems.bad_request(
            InvalidParameter("limit", "Expected int <= 50", "an integer from 1 to 50", "99")
        ),
        problems.not_found(f"none of the liked movies in run {_RUN_ID}"),
        ProblemError(403, "x-api-key must be this API's key"),
        ProblemError(405, "PUT is not allowed; allowed: OPTIONS, POST"),
        ProblemError(413, "the body has 70000 bytes; the limit is 65536"),
        ProblemError(415, "the body is text/csv; it must be application/json"),
        ProblemError(429, "too many requests per second; try again in a second"),
        ProblemError(500, "something went wrong; it has been logged"),
        problems.unavailable("the service is busy; try again"),
    )
}
