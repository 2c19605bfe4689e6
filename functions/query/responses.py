"""The responses of the API, and the functions that make them from stored items."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, json

from live_pointer import LivePointer
from waiting import WaitingItem

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

_AS_NUMBERS = json.Encoder(decimal_format="number")  # DynamoDB's numbers are decimals


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


class Cost(Struct, frozen=True, kw_only=True):
    """The cost of a run's cluster."""

    node_hours: float
    usd: Annotated[
        float | None, Meta(description="At the on-demand prices of us-east-1 of `priced_at`")
    ]
    priced_at: str


class FailedStart(Struct, frozen=True, kw_only=True):
    """A run's first cluster, if it failed to start; a run gets a second one but no third."""

    cluster_id: str
    reason: str
    cost: Annotated[Cost | None, Meta(description="Included in the run's actual cost")] = None


class IndexProgress(Struct, frozen=True, kw_only=True):
    """How much of the result is in the index."""

    parts: int
    of: int


class RunQuality(Struct, frozen=True, kw_only=True):
    """How well a run predicts the hidden liked movies of held-out users."""

    measure: Annotated[str, Meta(description="The measure that was evaluated")]
    users: Annotated[int, Meta(description="The number of held-out users")]
    recall: Annotated[float, Meta(description="recall@20, hits / min(20, hidden liked movies)")]
    popularity_recall: Annotated[float, Meta(description="The recall of the most rated movies")]
    lift: Annotated[
        float, Meta(description="recall / popularity_recall, by which runs are compared")
    ]
    lift_error: Annotated[float, Meta(description="Its standard error")]
    popularity_share: Annotated[
        float, Meta(description="The share of neighbours among the most rated tenth of the movies")
    ]


class Rejects(Struct, frozen=True, kw_only=True):
    """The malformed lines of one file."""

    lines: Annotated[int, Meta(description="All lines of the file")]
    rejected: Annotated[int, Meta(description="How many of them are malformed")]
    kinds: Annotated[dict[str, int], Meta(description="How many by kind of defect")]


class ComparedRun(Struct, frozen=True, kw_only=True):
    """One of two compared runs."""

    run_id: str
    measure: Annotated[str, Meta(description="Its default measure, by which lists are compared")]
    counts: Annotated[dict[str, int], Meta(description="The job's counts")]
    quality: RunQuality | None


class TitleChanges(Struct, frozen=True, kw_only=True):
    """How the titles changed."""

    before: Annotated[int, Meta(description="Titles with neighbours in the earlier run")]
    after: Annotated[int, Meta(description="Titles with neighbours in the later run")]
    gained: Annotated[int, Meta(description="Titles with neighbours in the later run only")]
    lost: Annotated[int, Meta(description="Titles with neighbours in the earlier run only")]
    gained_examples: list[str]
    lost_examples: list[str]
    common: Annotated[int, Meta(description="Movie ids in both catalogues")]
    renamed: Annotated[int, Meta(description="How many of them have another title")]
    beyond_ascii: Annotated[
        int, Meta(description="Common titles with characters beyond ASCII in the earlier run")
    ]
    garbled: Annotated[int, Meta(description="How many of these differ in such characters only")]
    renamed_examples: Annotated[list[list[str]], Meta(description="The title before and after")]


class Mover(Struct, frozen=True, kw_only=True):
    """A title whose list moved."""

    movie_id: int
    title: str
    overlap: Annotated[float, Meta(description="Rank-biased overlap of its lists, 0 to 1")]
    before: Annotated[list[str], Meta(description="The head of its list in the earlier run")]
    after: Annotated[list[str], Meta(description="The head of its list in the later run")]


class ListChanges(Struct, frozen=True, kw_only=True):
    """How the lists by the default measure moved."""

    common: Annotated[int, Meta(description="Titles with a list in both runs")]
    median_overlap: Annotated[
        float | None, Meta(description="Median rank-biased overlap of their lists, 0 to 1")
    ]
    unchanged: Annotated[int, Meta(description="How many lists are the same")]
    movers: Annotated[list[Mover], Meta(description="Those that moved most")]


class Comparison(Struct, frozen=True, kw_only=True):
    """What changed from one run to a later one."""

    before: ComparedRun
    after: ComparedRun
    titles: TitleChanges | None
    lists: ListChanges | None
    unreadable: Annotated[
        str | None, Meta(description="Why `titles` and `lists` are null; null if they are not")
    ]
    causes: Annotated[list[str], Meta(description="What may have caused the changes")]
    same_settings: Annotated[bool, Meta(description="Whether measure and parameters are the same")]
    cut: Annotated[list[str], Meta(description="Files that seem to be cut off")]


class Run(Struct, frozen=True, kw_only=True):
    """A run of the pipeline."""

    run_id: str
    folder: str
    state: str
    reason: Annotated[str | None, Meta(description="Why it failed or was superseded")] = None
    waits_for: Annotated[
        str | None, Meta(description="What its launch waits for, and when the next try is")
    ] = None
    attempt: int
    created_at: str
    updated_at: str
    timeline: Annotated[dict[str, str], Meta(description="The time at which it entered each state")]
    cluster_id: str | None = None
    log_uri: str | None = None
    rerun_of: Annotated[str | None, Meta(description="The run that it repeats")] = None
    failed_start: Annotated[
        FailedStart | None, Meta(description="Set if the first cluster failed to start")
    ] = None
    estimated_cost: Annotated[
        Cost | None, Meta(description="Estimate for one cluster, made before the launch")
    ] = None
    actual_cost: Annotated[
        Cost | None, Meta(description="From launch to termination, of all its clusters")
    ] = None
    counts: Annotated[dict[str, int] | None, Meta(description="The job's counts")] = None
    rejects: Annotated[
        dict[str, Rejects] | None, Meta(description="Malformed lines, by file that has any")
    ] = None
    rejects_uri: Annotated[str | None, Meta(description="Folder of these lines")] = None
    indexed: Annotated[IndexProgress | None, Meta(description="Progress of indexing")] = None
    quality: Annotated[RunQuality | None, Meta(description="The job's own evaluation")] = None
    held_back: Annotated[
        bool | None, Meta(description="Whether the quality gate kept it from going live")
    ] = None
    comparison: Annotated[
        Comparison | None, Meta(description="With the run that was live when it was indexed")
    ] = None


class WaitingDrop(Struct, frozen=True, kw_only=True):
    """A folder that looks like a data set but has no run."""

    folder: str
    since: str
    waits_for: Annotated[str, Meta(description="One sentence: what is missing, or what to do")]


class Runs(Struct, frozen=True, kw_only=True):
    """The latest runs, and the folders that have none."""

    live_run_id: str | None
    runs: list[Run]
    waiting: list[WaitingDrop]


class Health(Struct, frozen=True, kw_only=True):
    """Whether the API can answer, and from which run."""

    status: str
    live_run_id: str | None
    live_since: Annotated[str | None, Meta(description="The time at which that run went live")]
    measure: Annotated[str | None, Meta(description="The run's default measure")]
    measures: list[str]


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


def run(item: Mapping[str, Any]) -> Run:
    """A run from its item in the runs table."""
    known = {name: item[name] for name in Run.__struct_fields__ if name in item}
    if "parts" in item:
        known["indexed"] = {"parts": len(item.get("parts_indexed", ())), "of": int(item["parts"])}
    return json.decode(_AS_NUMBERS.encode(known), type=Run)


def waiting_drop(item: WaitingItem) -> WaitingDrop:
    """A waiting folder from its item in the runs table."""
    return WaitingDrop(folder=item["folder"], since=item["since"], waits_for=item["waits_for"])


def health(live: LivePointer | None) -> Health:
    """The API's health from the live pointer."""
    return Health(
        status="ok",
        live_run_id=live.run_id if live else None,
        live_since=live.promoted_at if live else None,
        measure=live.measure if live else None,
        measures=live.measures if live else [],
    )
