"""The attributes of a run's item in the runs table.

A run collects its attributes on its way: only those of `runs.claims.claim` are always there.
DynamoDB returns numbers as `Decimal`.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NotRequired, TypedDict

type Number = int | Decimal


class CostItem(TypedDict):
    """What clusters cost, see `cost.Cost`."""

    node_hours: Decimal
    usd: Decimal | None
    priced_at: str


class QualityItem(TypedDict):
    """A run's quality, see `quality_gate.to_item`."""

    measure: str
    users: Number
    recall: Decimal
    popularity_recall: Decimal
    lift: Decimal
    lift_error: Decimal
    popularity_share: Decimal


class RejectsItem(TypedDict):
    """The malformed lines of one file.

    Attributes:
        lines: all lines of the file.
        rejected: how many of them are malformed.
        kinds: how many by kind of defect.
    """

    lines: Number
    rejected: Number
    kinds: Mapping[str, Number]


class FailedStart(TypedDict):
    """A run's first cluster, if it failed to start."""

    cluster_id: str
    reason: str
    cost: CostItem | None


class Run(TypedDict):
    """A run.

    Attributes:
        pk: always `RUN`.
        sk: the run id again.
        run_id: sorts by the time of creation.
        folder: the folder of the datasets bucket.
        fingerprint: identifies the data set.
        state: a `State`.
        attempt: 1 for the first run of a data set.
        created_at: ISO 8601 in UTC, like all times here.
        updated_at: last change of the state or lease.
        timeline: when the run last entered each state.
        lease_until: no other launcher may take over the run before.
        lease_owner: the launcher that holds the lease.
        rerun_of: the run that this one repeats.
        request: the RunJobFlow request as JSON.
        intake: the findings of the intake check, one per file.
        instance_type: of all nodes.
        nodes: number of nodes.
        cluster_id: the current cluster.
        failed_start: the first cluster, if it failed to start.
        log_uri: folder of the cluster's logs.
        estimated_cost: before the launch.
        actual_cost: of all its clusters that have ended.
        waits_for: what its launch waits for, for people; a message will resume it.
        reason: why the run failed or was superseded.
        held_back: the run is complete, but the quality gate kept it from going live.
        promoted_by_hand: an operator promoted it; neither age nor the quality gate counts then.
        counts: the manifest's counts.
        rejects: by file that has any, the malformed lines.
        rejects_uri: folder of these lines.
        comparison: with the run that was live when it was indexed, see `runs.diff.Diff`.
        measure: the default measure.
        measures: all measures in the result.
        min_co_raters: of a pair of movies.
        min_score: of a pair of movies, as text.
        titles: S3 key of the titles catalogue.
        quality: None if too few users could be evaluated.
        strength: what its scores mean, see `live_pointer.LivePointer`.
        parts: number of parts to index.
        parts_indexed: names of the parts in the index.
        parts_removed: names of the parts removed from the index again.
        in_index: whether the index may hold items of the run.
        index_attempts: how often the sweep has sent the run to the indexer.
    """

    pk: str
    sk: str
    run_id: str
    folder: str
    fingerprint: str
    state: str
    attempt: Number
    created_at: str
    updated_at: str
    timeline: dict[str, str]
    lease_until: str
    lease_owner: str
    rerun_of: NotRequired[str]
    request: NotRequired[str]
    intake: NotRequired[list[dict[str, Any]]]
    instance_type: NotRequired[str]
    nodes: NotRequired[Number]
    cluster_id: NotRequired[str]
    failed_start: NotRequired[FailedStart]
    log_uri: NotRequired[str]
    estimated_cost: NotRequired[CostItem]
    actual_cost: NotRequired[CostItem]
    waits_for: NotRequired[str]
    reason: NotRequired[str]
    held_back: NotRequired[bool]
    promoted_by_hand: NotRequired[bool]
    counts: NotRequired[Mapping[str, Number]]
    rejects: NotRequired[dict[str, RejectsItem]]
    rejects_uri: NotRequired[str]
    comparison: NotRequired[dict[str, Any]]
    measure: NotRequired[str]
    measures: NotRequired[list[str]]
    min_co_raters: NotRequired[Number]
    min_score: NotRequired[str]
    titles: NotRequired[str]
    quality: NotRequired[QualityItem | None]
    strength: NotRequired[str | None]
    parts: NotRequired[Number]
    parts_indexed: NotRequired[set[str]]
    parts_removed: NotRequired[set[str]]
    in_index: NotRequired[bool]
    index_attempts: NotRequired[Number]
