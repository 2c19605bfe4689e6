"""The API's responses about runs, and the functions that make them from stored items."""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct, json

from live_pointer import LivePointer
from waiting import WaitingItem

_AS_NUMBERS = json.Encoder(decimal_format="number")  # DynamoDB's numbers are decimals


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
