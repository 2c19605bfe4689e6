"""The bodies that the API answers with, and how they are made from what is stored."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

import index
from live import Live


class Movie(BaseModel):
    """A movie of the data set."""

    movie_id: int
    title: str | None = Field(description="None where the data set names no title for the id")
    year: int | None
    genres: list[str]
    ratings: int = Field(description="How many users rated it")


class Movies(BaseModel):
    """Movies that a search found, the best match first."""

    run_id: str
    movies: list[Movie]


class SimilarTitle(BaseModel):
    """A neighbour of a movie."""

    rank: int
    movie_id: int
    title: str | None
    year: int | None
    genres: list[str]
    score: float
    co_raters: int = Field(description="How many users rated both movies")
    cosine: float | None = Field(description="Their cosine; None where co-raters are too few")


class SimilarTitles(BaseModel):
    """A movie's neighbours, the most similar first."""

    movie: Movie
    run_id: str
    measure: str
    limit: int
    total: int = Field(description="How many neighbours the run kept for the movie")
    similar: list[SimilarTitle]
    reason: str | None = Field(default=None, description="Why there are no neighbours")


class Cost(BaseModel):
    """What a run's cluster costs."""

    node_hours: float
    usd: float | None = Field(description="On-demand prices of us-east-1, as of `priced_at`")
    priced_at: str


class Run(BaseModel):
    """A run of the pipeline."""

    run_id: str
    folder: str
    state: str
    reason: str | None = Field(default=None, description="Why it failed or was superseded")
    attempt: int
    created_at: str
    updated_at: str
    timeline: dict[str, str] = Field(description="When it entered each state")
    cluster_id: str | None = None
    log_uri: str | None = None
    rerun_of: str | None = Field(default=None, description="The run that it does again")
    estimated_cost: Cost | None = Field(default=None, description="Before the launch")
    actual_cost: Cost | None = Field(default=None, description="From launch to the cluster's end")
    counts: dict[str, int] | None = Field(default=None, description="What the job counted")
    indexed: dict[str, int] | None = Field(
        default=None, description="Parts of the result that are in the index, `of` so many"
    )


class Runs(BaseModel):
    """The latest runs."""

    live_run_id: str | None
    runs: list[Run]


class Health(BaseModel):
    """Whether the API can answer."""

    status: str
    live_run_id: str | None


class Problem(BaseModel):
    """An error, RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str


def movie(line: Mapping[str, Any]) -> Movie:
    """A movie from a line of `neighbours/` or `titles/`."""
    return Movie(**{name: line[name] for name in Movie.model_fields})


def similar_titles(live: Live, line: Mapping[str, Any], limit: int) -> SimilarTitles:
    """A movie's best neighbours.

    Args:
        live: the run that is answered from.
        line: the movie's line of `neighbours/`.
        limit: at most so many.
    """
    neighbours = index.neighbours_of(line, live.measure)
    return SimilarTitles(
        movie=movie(line),
        run_id=live.run_id,
        measure=live.measure,
        limit=limit,
        total=len(neighbours),
        similar=[
            SimilarTitle(rank=rank, **neighbour)
            for rank, neighbour in enumerate(neighbours[:limit], start=1)
        ],
        reason=None if neighbours else _why_none(live, line),
    )


def _why_none(live: Live, line: Mapping[str, Any]) -> str:
    rated, needed = line["ratings"], live.min_co_raters
    if rated < needed:
        return f"{rated} users rated it; {needed} are needed"
    return (
        f"no other movie shares {needed} of its {rated} raters and scores {live.min_score} or more"
    )


def run(item: Mapping[str, Any]) -> Run:
    """A run from its item in the runs table."""
    indexed = None
    if "parts" in item:
        indexed = {"parts": len(item.get("parts_indexed", ())), "of": int(item["parts"])}
    return Run(**{name: item[name] for name in Run.model_fields if name in item}, indexed=indexed)
