"""The requests of the API: the parameters of each route and their valid values."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from query.world_ids import PATTERN
from spark.contracts.movielens_lines import MAX_ID

type MovieId = Annotated[
    Annotated[int, Meta(ge=0, le=MAX_ID)]
    | Annotated[str, Meta(pattern=PATTERN, examples=["imdb:tt0114709", "tmdb:862"])],
    Meta(
        description="A movie's id in the data set, or its id at IMDb or TMDB behind `imdb:` or"
        " `tmdb:`",
        examples=[1, "imdb:tt0114709", "tmdb:862"],
    ),
]
type Year = Annotated[int, Meta(ge=0, le=9999)]
type Measure = Annotated[
    str | UnsetType,
    Meta(
        description="One of the run's `measures`; without it, the run's default",
        examples=["cosine"],
    ),
]
type Popularity = Annotated[
    Annotated[float, Meta(ge=0, le=1)] | UnsetType,
    Meta(
        description="0, the default, keeps the order; the higher it is, the further up are titles"
        " with fewer ratings, and 1 orders by ratings alone",
        examples=[0.3],
    ),
]
type Diversity = Annotated[
    Annotated[float, Meta(ge=0, le=1)] | UnsetType,
    Meta(
        description="0, the default, keeps the order; the higher it is, the more each title differs"
        " from those before it in genres, tags, series and decade",
        examples=[0.3],
    ),
]
type Genres = tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...]
type AnyGenre = Annotated[
    Genres,
    Meta(
        max_length=20,
        description="Only titles of this genre, ignoring case; if there are several, of any of"
        " them",
        examples=[["Mystery", "Thriller"]],
    ),
]
type AllGenres = Annotated[
    Genres,
    Meta(
        max_length=20,
        description="Only titles of this genre, ignoring case; if there are several, of all of"
        " them",
        examples=[["Mystery"]],
    ),
]
type Exclude = Annotated[
    tuple[MovieId, ...],
    Meta(
        max_length=100,
        description="Without these movies, for example those that a person has seen",
        examples=[[868]],
    ),
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
    """The base of all requests; unknown parameters are invalid."""


class NoParameters(Parameters, frozen=True):
    """A request without parameters."""


class NeighbourQuery(Parameters, frozen=True, kw_only=True):
    """A measure, filters and a page of a movie's neighbours."""

    limit: Annotated[
        int, Meta(ge=1, le=50, description="The largest number of rows", examples=[5])
    ] = 10
    offset: Annotated[
        int, Meta(ge=0, le=10_000, description="Rows to skip, to get the next page", examples=[10])
    ] = 0
    measure: Measure = UNSET
    min_score: Annotated[
        Annotated[float, Meta(ge=-1e6, le=1e6)] | UnsetType,
        Meta(description="Only neighbours with this score or more", examples=[0.9]),
    ] = UNSET
    min_co_raters: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_ID)] | UnsetType,
        Meta(description="Only neighbours with this many co-raters or more", examples=[20]),
    ] = UNSET
    genre: AnyGenre = ()
    all_genres: AllGenres = ()
    same_genre: Annotated[
        bool | UnsetType,
        Meta(
            description="If true, only neighbours that share a genre with the movie",
            examples=[True],
        ),
    ] = UNSET
    exclude: Exclude = ()
    year_from: Annotated[
        Year | UnsetType, Meta(description="Only from this year on", examples=[1990])
    ] = UNSET
    year_to: Annotated[
        Year | UnsetType, Meta(description="Only up to this year", examples=[1999])
    ] = UNSET
    popularity: Popularity = UNSET
    diversity: Diversity = UNSET


class SimilarQuery(NeighbourQuery, frozen=True, kw_only=True):
    """Titles similar to a movie, by its id."""

    movie_id: MovieId


class SimilarByTitleQuery(NeighbourQuery, frozen=True, kw_only=True):
    """Titles similar to a movie, by its title."""

    title: Title
    year: Annotated[Year | UnsetType, Meta(description="The movie's year", examples=[1995])] = UNSET


class SimilarToManyRequest(NeighbourQuery, frozen=True, kw_only=True):
    """Titles similar to each of several movies; the other fields apply to every movie."""

    movie_ids: Annotated[
        list[MovieId],
        Meta(min_length=1, max_length=100, description="The movies", examples=[[1, 868]]),
    ]


class MovieQuery(Parameters, frozen=True, kw_only=True):
    """A movie by its id."""

    movie_id: MovieId


class SearchQuery(Parameters, frozen=True, kw_only=True):
    """Movies by title."""

    title: Title
    year: Annotated[
        Year | UnsetType, Meta(description="Only movies of this year", examples=[1995])
    ] = UNSET
    limit: Annotated[
        int, Meta(ge=1, le=50, description="The largest number of movies", examples=[5])
    ] = 10


class RunsQuery(Parameters, frozen=True, kw_only=True):
    """The latest runs."""

    limit: Annotated[
        int, Meta(ge=1, le=50, description="The largest number of runs", examples=[5])
    ] = 20


class RunQuery(Parameters, frozen=True, kw_only=True):
    """A run by its id."""

    run_id: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=100,
            description="The id from another response",
            examples=["20261123T120500000Z-5f2a9c01"],
        ),
    ]


class RecommendationRequest(Parameters, frozen=True, kw_only=True):
    """The movies that a person likes and dislikes."""

    liked: Annotated[
        list[MovieId],
        Meta(min_length=1, max_length=50, description="The liked movies", examples=[[1, 868]]),
    ]
    weights: Annotated[
        list[Annotated[float, Meta(ge=0.01, le=100)]],
        Meta(
            max_length=50,
            description="How much each liked movie counts, in the order of `liked`: with `[2, 1]`"
            " the first one counts twice as much as the second. Only their ratios matter; without"
            " weights all count the same",
            examples=[[2, 1]],
        ),
    ] = []
    disliked: Annotated[
        list[MovieId], Meta(max_length=40, description="The disliked movies", examples=[[12]])
    ] = []
    limit: Annotated[
        int, Meta(ge=1, le=50, description="The largest number of titles", examples=[5])
    ] = 10
    measure: Measure = UNSET
    genre: AnyGenre = ()
    all_genres: AllGenres = ()
    same_genre: Annotated[
        bool | UnsetType,
        Meta(
            description="If true, only titles that share a genre with a liked movie",
            examples=[True],
        ),
    ] = UNSET
    exclude: Exclude = ()
    popularity: Popularity = UNSET
    diversity: Diversity = UNSET


class AssetQuery(Parameters, frozen=True, kw_only=True):
    """A file of the documentation page."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
