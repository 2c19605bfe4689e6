"""What callers may ask: the parameters of each route, with what they allow."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from spark.contracts.movielens import MAX_ID

type MovieId = Annotated[
    int, Meta(ge=1, le=MAX_ID, description="The data set's id of a movie", examples=[1])
]
type Year = Annotated[int, Meta(ge=0, le=9999)]
type Measure = Annotated[
    str | UnsetType,
    Meta(description="One of the run's `measures`; its default where none is named"),
]
type Title = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        description="A title as a person types it",
        examples=["toy story"],
    ),
]


class Parameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all questions share: nothing that is not named is accepted."""


class NoParameters(Parameters, frozen=True):
    """A route without parameters."""


class NeighbourQuery(Parameters, frozen=True, kw_only=True):
    """Which of a movie's neighbours are wanted."""

    limit: Annotated[int, Meta(ge=1, le=50, description="At most so many rows")] = 10
    offset: Annotated[
        int, Meta(ge=0, le=10_000, description="Rows to pass over, for the next page")
    ] = 0
    measure: Measure = UNSET
    min_score: Annotated[
        Annotated[float, Meta(ge=-1e6, le=1e6)] | UnsetType,
        Meta(description="Only neighbours that score so much or more"),
    ] = UNSET
    min_co_raters: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_ID)] | UnsetType,
        Meta(description="Only neighbours that so many users rated as well"),
    ] = UNSET
    genre: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...],
        Meta(
            max_length=20,
            description="Only neighbours of this genre, in any case; of any of them where repeated",
        ),
    ] = ()
    year_from: Annotated[Year | UnsetType, Meta(description="Only from this year on")] = UNSET
    year_to: Annotated[Year | UnsetType, Meta(description="Only up to this year")] = UNSET


class SimilarQuery(NeighbourQuery, frozen=True, kw_only=True):
    """Titles similar to a movie that is known by its id."""

    movie_id: MovieId


class SimilarByTitleQuery(NeighbourQuery, frozen=True, kw_only=True):
    """Titles similar to a movie that is known by its title."""

    title: Title
    year: Annotated[Year | UnsetType, Meta(description="That the movie is of")] = UNSET


class MovieQuery(Parameters, frozen=True, kw_only=True):
    """A movie by its id."""

    movie_id: MovieId


class SearchQuery(Parameters, frozen=True, kw_only=True):
    """Movies by title."""

    title: Title
    year: Annotated[Year | UnsetType, Meta(description="Only of this year")] = UNSET
    limit: Annotated[int, Meta(ge=1, le=50, description="At most so many movies")] = 10


class RunsQuery(Parameters, frozen=True, kw_only=True):
    """The latest runs."""

    limit: Annotated[int, Meta(ge=1, le=50, description="At most so many runs")] = 20


class RunQuery(Parameters, frozen=True, kw_only=True):
    """A run by its id."""

    run_id: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=100,
            description="As an answer names it",
            examples=["20261123T120500000Z-5f2a9c01"],
        ),
    ]


class RecommendationRequest(Parameters, frozen=True, kw_only=True):
    """What somebody likes, and does not."""

    liked: Annotated[
        list[MovieId], Meta(min_length=1, max_length=50, description="Movies that are liked")
    ]
    disliked: Annotated[
        list[MovieId], Meta(max_length=40, description="Movies that are not liked")
    ] = []
    limit: Annotated[int, Meta(ge=1, le=50, description="At most so many titles")] = 10
    measure: Measure = UNSET


class AssetQuery(Parameters, frozen=True, kw_only=True):
    """A file of a page."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
