"""The bodies that the API answers with, and how they are made from what is stored."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, json

from live_pointer import Live

_AS_NUMBERS = json.Encoder(decimal_format="number")  # all numbers of DynamoDB are decimals


class Movie(Struct, frozen=True, kw_only=True):
    """A movie of the data set."""

    movie_id: int
    title: Annotated[str | None, Meta(description="Null where the data set has no title for it")]
    year: int | None
    genres: list[str]
    ratings: Annotated[int, Meta(description="How many users rated it")]


class MovieOfRun(Movie, frozen=True, kw_only=True):
    """A movie of a run."""

    run_id: str


class Movies(Struct, frozen=True, kw_only=True):
    """Movies that a search found, the best match first."""

    run_id: str
    movies: list[Movie]


class SimilarTitle(Struct, frozen=True, kw_only=True):
    """A neighbour of a movie."""

    rank: Annotated[int, Meta(description="Its place among all that match")]
    movie_id: int
    title: str | None
    year: int | None
    genres: list[str]
    score: Annotated[float, Meta(description="By the answer's measure")]
    co_raters: Annotated[int, Meta(description="How many users rated both movies")]
    cosine: Annotated[
        float | None, Meta(description="Their cosine; null where co-raters are too few")
    ]
    based_on: Annotated[
        Literal["ratings", "content"], Meta(description="What the score is computed from")
    ]


class Links(Struct, frozen=True, omit_defaults=True):
    """Further pages, relative to the address that was asked; those that there are."""

    self: str
    first: str | UnsetType = UNSET
    prev: str | UnsetType = UNSET
    next: str | UnsetType = UNSET
    last: str | UnsetType = UNSET


class SimilarTitles(Struct, frozen=True, kw_only=True):
    """A movie's neighbours, the most similar first."""

    movie: Movie
    run_id: str
    measure: Annotated[str, Meta(description="The one that these scores are of")]
    measures: Annotated[list[str], Meta(description="All that the run has")]
    limit: int
    offset: int
    total: Annotated[int, Meta(description="Neighbours that the run kept for the movie")]
    matched: Annotated[int, Meta(description="How many of them pass the filters")]
    similar: list[SimilarTitle]
    reason: Annotated[str | None, Meta(description="Why there is no row")]
    links: Links


class SimilarByTitle(SimilarTitles, frozen=True, kw_only=True):
    """The neighbours of the movie that a title is taken to mean."""

    did_you_mean: Annotated[
        list[Movie], Meta(description="Other movies that the title fits as well")
    ]


class Reason(Struct, frozen=True, kw_only=True):
    """A liked movie that led to a recommendation."""

    movie_id: int
    title: str | None
    score: Annotated[float, Meta(description="Of the two movies, by the answer's measure")]


class Recommendation(Struct, frozen=True, kw_only=True):
    """A title to watch next."""

    rank: int
    movie_id: int
    title: str | None
    year: int | None
    genres: list[str]
    score: Annotated[
        float, Meta(description="Sum over the liked movies, less that over the disliked ones")
    ]
    because: Annotated[list[Reason], Meta(description="Liked movies that led to it, best first")]


class Recommendations(Struct, frozen=True, kw_only=True):
    """Titles to watch next, the best first."""

    run_id: str
    measure: Annotated[str, Meta(description="The one that these scores are of")]
    measures: Annotated[list[str], Meta(description="All that the run has")]
    limit: int
    matched: Annotated[int, Meta(description="How many titles could be recommended")]
    recommendations: list[Recommendation]
    unknown: Annotated[list[int], Meta(description="Ids that the run does not have")]
    reason: Annotated[str | None, Meta(description="Why there is no row")]


class Cost(Struct, frozen=True, kw_only=True):
    """What a run's cluster costs."""

    node_hours: float
    usd: Annotated[
        float | None, Meta(description="On-demand prices of us-east-1, as of `priced_at`")
    ]
    priced_at: str


class FailedStart(Struct, frozen=True, kw_only=True):
    """A run's first cluster, which failed to start; the run has a second one, never a third."""

    cluster_id: str
    reason: str
    cost: Annotated[Cost | None, Meta(description="Part of the run's actual cost")] = None


class IndexProgress(Struct, frozen=True, kw_only=True):
    """How far the result's loading is."""

    parts: int
    of: int


class RunQuality(Struct, frozen=True, kw_only=True):
    """What a run found of movies that users liked who were kept apart."""

    measure: Annotated[str, Meta(description="The one that was judged")]
    users: Annotated[int, Meta(description="How many were asked")]
    recall: Annotated[float, Meta(description="recall@20, hits / min(20, hidden liked movies)")]
    popularity_recall: Annotated[float, Meta(description="That of the most rated movies")]
    lift: Annotated[
        float, Meta(description="recall / popularity_recall, which runs are compared by")
    ]
    lift_error: Annotated[float, Meta(description="Its standard error")]
    popularity_share: Annotated[
        float, Meta(description="Neighbours that are of the most rated tenth of the movies")
    ]


class Run(Struct, frozen=True, kw_only=True):
    """A run of the pipeline."""

    run_id: str
    folder: str
    state: str
    reason: Annotated[str | None, Meta(description="Why it failed or was superseded")] = None
    attempt: int
    created_at: str
    updated_at: str
    timeline: Annotated[dict[str, str], Meta(description="When it entered each state")]
    cluster_id: str | None = None
    log_uri: str | None = None
    rerun_of: Annotated[str | None, Meta(description="The run that it does again")] = None
    failed_start: Annotated[FailedStart | None, Meta(description="Why it has a second cluster")] = (
        None
    )
    estimated_cost: Annotated[
        Cost | None, Meta(description="Of one cluster, before the launch")
    ] = None
    actual_cost: Annotated[
        Cost | None, Meta(description="From launch to the cluster's end; of both, if there are two")
    ] = None
    counts: Annotated[dict[str, int] | None, Meta(description="What the job counted")] = None
    indexed: Annotated[
        IndexProgress | None, Meta(description="Parts of the result that are in the index")
    ] = None
    quality: Annotated[RunQuality | None, Meta(description="How it judged itself")] = None
    held_back: Annotated[
        bool | None, Meta(description="Whether it did not go live by itself, for its quality")
    ] = None


class Runs(Struct, frozen=True, kw_only=True):
    """The latest runs."""

    live_run_id: str | None
    runs: list[Run]


class Health(Struct, frozen=True, kw_only=True):
    """Whether the API can answer, and from what."""

    status: str
    live_run_id: str | None
    live_since: Annotated[str | None, Meta(description="When that run went live")]
    measure: Annotated[str | None, Meta(description="That answers where none is named")]
    measures: list[str]


def movie(line: Mapping[str, Any]) -> Movie:
    """A movie from a line of `neighbours/` or `titles/`."""
    return Movie(**{name: line[name] for name in Movie.__struct_fields__})


def movie_of_run(live: Live, line: Mapping[str, Any]) -> MovieOfRun:
    """A movie of the live run."""
    return MovieOfRun(**{name: line[name] for name in Movie.__struct_fields__}, run_id=live.run_id)


def run(item: Mapping[str, Any]) -> Run:
    """A run from its item in the runs table."""
    known = {name: item[name] for name in Run.__struct_fields__ if name in item}
    if "parts" in item:
        known["indexed"] = {"parts": len(item.get("parts_indexed", ())), "of": int(item["parts"])}
    return json.decode(_AS_NUMBERS.encode(known), type=Run)


def health(live: Live | None) -> Health:
    """What the live pointer says of the API."""
    return Health(
        status="ok",
        live_run_id=live.run_id if live else None,
        live_since=live.promoted_at if live else None,
        measure=live.measure if live else None,
        measures=live.measures if live else [],
    )
