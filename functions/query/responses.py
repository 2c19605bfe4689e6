"""The API's responses about movies, and the functions that make them from stored items."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from live_pointer import LivePointer

_STRENGTH = Meta(
    description="What the score means, 0 to 100: 0 if who likes the one likes the other no more"
    " than by chance, 50 at twice the odds, 90 at ten times; null if the run does not know",
)
type ImdbId = Annotated[
    str | None, Meta(description="Its id at IMDb; null if the data set has none")
]
type TmdbId = Annotated[
    int | None, Meta(description="Its id at TMDB; null if the data set has none")
]
type Series = Annotated[
    str | None, Meta(description="The series that it is of; null if it is of none")
]
type RequestedId = Annotated[int | str, Meta(description="The requested id")]


# Values of classes with `gc=False` are not searched for garbage, because they are in no cycle: a
# response may have thousands of them.


class Movie(Struct, frozen=True, kw_only=True, gc=False):
    """A movie of the data set."""

    movie_id: int
    title: Annotated[str | None, Meta(description="Null if the data set has none")]
    year: int | None
    genres: list[str]
    ratings: Annotated[int, Meta(description="The number of users who rated it")]
    imdb_id: ImdbId
    tmdb_id: TmdbId


class MovieOfRun(Movie, frozen=True, kw_only=True):
    """A movie of a run."""

    run_id: str


type Note = Annotated[
    str | None,
    Meta(
        description="Set if the first movie was found by its place in a series or has a year"
        " beside the one in the query"
    ),
]


class Movies(Struct, frozen=True, kw_only=True):
    """The movies that match a search, the best match first."""

    run_id: str
    movies: list[Movie]
    note: Note = None


class Why(Struct, frozen=True, kw_only=True, gc=False):
    """What a movie and its neighbour share."""

    sentence: Annotated[str, Meta(description="All of this in a sentence")]
    series: str | None
    genres: list[str]
    decade: Annotated[int | None, Meta(description="The decade of both, 1970 for the 1970s")]
    tags: Annotated[
        list[str], Meta(description="Shared tags among the five that say most about each")
    ]
    co_raters: Annotated[int, Meta(description="The number of users who rated both movies")]
    lift: Annotated[
        float | None,
        Meta(
            description="How many times as many co-raters as chance would make: co_raters · users"
            " / (ratings · ratings); null if there are none"
        ),
    ]


class SimilarTitle(Struct, frozen=True, kw_only=True, gc=False):
    """A neighbour of a movie."""

    rank: Annotated[int, Meta(description="Its position among all matches")]
    movie_id: int
    title: str | None
    year: int | None
    genres: list[str]
    ratings: Annotated[
        int | None,
        Meta(description="The number of users who rated it; null in runs of earlier versions"),
    ]
    imdb_id: ImdbId
    tmdb_id: TmdbId
    series: Series
    score: Annotated[float, Meta(description="By this response's `measure`")]
    strength: Annotated[int | None, _STRENGTH]
    co_raters: Annotated[int, Meta(description="The number of users who rated both movies")]
    cosine: Annotated[
        float | None,
        Meta(description="Cosine of the two movies; null if there are too few co-raters"),
    ]
    based_on: Annotated[Literal["ratings", "content"], Meta(description="The source of the score")]
    why: Annotated[Why, Meta(description="What the two movies share")]


class Links(Struct, frozen=True, omit_defaults=True):
    """The existing pages, relative to the address of the request."""

    self: str
    first: str | UnsetType = UNSET
    prev: str | UnsetType = UNSET
    next: str | UnsetType = UNSET
    last: str | UnsetType = UNSET


class SimilarTitles(Struct, frozen=True, kw_only=True):
    """A movie's neighbours, the most similar first."""

    movie: Movie
    run_id: str
    measure: Annotated[str, Meta(description="The measure of the scores")]
    measures: Annotated[list[str], Meta(description="All measures of the run")]
    limit: int
    offset: int
    total: Annotated[int, Meta(description="The number of neighbours that the run kept")]
    matched: Annotated[int, Meta(description="The number of neighbours that pass the filters")]
    similar: list[SimilarTitle]
    reason: Annotated[str | None, Meta(description="Why there are no rows; null if there are")]
    links: Links


class SimilarByTitle(SimilarTitles, frozen=True, kw_only=True):
    """The neighbours of the movie that matches a title best."""

    did_you_mean: Annotated[
        list[Movie], Meta(description="Other movies that match the title equally well")
    ]
    note: Note = None


class SimilarToOne(Struct, frozen=True, kw_only=True, gc=False):
    """One of several movies with its neighbours, the most similar first."""

    movie_id: RequestedId
    movie: Annotated[Movie | None, Meta(description="Null if the run does not have it")]
    measure: Annotated[str, Meta(description="The measure of the scores")]
    total: Annotated[int, Meta(description="The number of neighbours that the run kept")]
    matched: Annotated[int, Meta(description="The number of neighbours that pass the filters")]
    similar: list[SimilarTitle]
    reason: Annotated[str | None, Meta(description="Why there are no rows; null if there are")]


class SimilarToMany(Struct, frozen=True, kw_only=True):
    """The neighbours of several movies."""

    run_id: str
    measures: Annotated[list[str], Meta(description="All measures of the run")]
    limit: int
    offset: int
    movies: Annotated[
        list[SimilarToOne], Meta(description="One for each requested id, in the same order")
    ]


class Reason(Struct, frozen=True, kw_only=True):
    """A liked movie that led to a recommendation."""

    movie_id: int
    title: str | None
    imdb_id: ImdbId
    tmdb_id: TmdbId
    score: Annotated[
        float, Meta(description="Score of the two movies by this response's `measure`")
    ]
    strength: Annotated[int | None, _STRENGTH]
    weight: Annotated[float, Meta(description="Its weight in the request; 1 without weights")]
    share: Annotated[
        float,
        Meta(
            description="Its part in what the liked movies give this title, 0 to 1: its weighted"
            " score divided by the sum of theirs"
        ),
    ]


class Recommendation(Struct, frozen=True, kw_only=True):
    """A title to watch next."""

    rank: int
    movie_id: int
    title: str | None
    year: int | None
    genres: list[str]
    imdb_id: ImdbId
    tmdb_id: TmdbId
    series: Series
    score: Annotated[
        float,
        Meta(
            description="The sum of its scores with liked movies, each times the movie's weight"
            " divided by their mean, minus its scores with disliked ones"
        ),
    ]
    because: Annotated[
        list[Reason], Meta(description="The liked movies that led to it, the largest share first")
    ]


class Recommendations(Struct, frozen=True, kw_only=True):
    """Titles to watch next, the best first."""

    run_id: str
    measure: Annotated[str, Meta(description="The measure of the scores")]
    measures: Annotated[list[str], Meta(description="All measures of the run")]
    limit: int
    matched: Annotated[int, Meta(description="The number of titles to recommend")]
    recommendations: list[Recommendation]
    unknown: Annotated[
        list[RequestedId], Meta(description="The requested ids that are not in the run")
    ]
    reason: Annotated[str | None, Meta(description="Why there are no rows; null if there are")]


def movie(line: Mapping[str, Any]) -> Movie:
    """A movie from a line of `neighbours/` or `titles/`."""
    return Movie(**_about(line))


def movie_of_run(live: LivePointer, line: Mapping[str, Any]) -> MovieOfRun:
    """A movie of the live run."""
    return MovieOfRun(**_about(line), run_id=live.run_id)


def _about(line: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a movie."""
    return {
        name: line[name] for name in ("movie_id", "title", "year", "genres", "ratings")
    } | world_ids(line)


def world_ids(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields `imdb_id` and `tmdb_id` of a movie or neighbour."""
    return {"imdb_id": row.get("imdb_id"), "tmdb_id": row.get("tmdb_id")}
