"""Compares all movies by all measures of a run.

Modules that need SciPy or Spark SQL are imported inside functions: the cosine needs neither, and
importing them takes a good part of a second in each process.
"""

from collections.abc import Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark import RDD, SparkContext

from spark.command_line import JobSettings
from spark.contracts.manifest import SIMILARITIES
from spark.engine.blocks import Blocks, block_count, choose_blocks
from spark.engine.cells import CellPlan, HoldOutPass, Thresholds
from spark.engine.evidence import stored_pairs, with_evidence
from spark.engine.pair_sums import PairSumStore
from spark.engine.shuffle import (
    CellResults,
    best_neighbours,
    cell_memory,
    collect_partitions,
    compute_cells,
)
from spark.engine.top_k import NeighbourLists, concatenate, merge_top_k
from spark.ingest.dataset import Dataset
from spark.ingest.ratings import Ratings
from spark.measures.blend import CANDIDATES, by_ratings
from spark.measures.registry import BY_CONTENT, full_cosine, need_content, pair_measures
from spark.output.results import SCRATCH
from spark.progress import Stages
from spark.self_evaluation.held_out import (
    HeldOutRatings,
    are_held_out,
    collect_held_out,
    evaluated_measures,
    hash_bound_for,
    hold_out_pass,
)
from spark.storage import child

if TYPE_CHECKING:
    from spark.measures.content import Content
    from spark.measures.content_lists import ContentRanking


@dataclass(frozen=True)
class Comparison:
    """All movies, compared.

    Attributes:
        pairs: how many pairs were written.
        best: from `best_neighbours`; without `hybrid`, and under `blend` its candidates.
        by_content: None if no measure needs it. Its lists are in `best` and `held_out_lists`.
        held_out: the ratings of the held-out users.
        held_out_lists: by evaluated measure, from the ratings of the other users, when they are
            made; without `hybrid`, and under `blend` its candidates.
        in_ease: int32, ids of the movies in EASE's matrix.
    """

    pairs: int
    best: RDD[Any]
    by_content: "ContentRanking | None"
    held_out: HeldOutRatings
    held_out_lists: Future[dict[str, NeighbourLists]]
    in_ease: np.ndarray


def compare(
    context: SparkContext,
    dataset: Dataset,
    settings: JobSettings,
    range_starts: np.ndarray,
    stages: Stages,
    beside: Executor,
) -> Comparison:
    """Compare the movies by all measures, and write the pairs.

    Args:
        context: the Spark context.
        dataset: that was read.
        settings: of the job.
        range_starts: from `part_starts`.
        stages: to time.
        beside: runs what need not be waited for.
    """
    ratings = dataset.ratings
    names = settings.measures
    with stages.stage("similarities"):
        content = beside.submit(_content_of, dataset, settings)
        plan, hash_bound = _plan(context, ratings, settings)
        held_out = collect_held_out(ratings, hash_bound)
        if hash_bound:
            plan = replace(plan, hold_out=_hold_out_pass(held_out, plan, settings))
        by_content = _content_ranking(context, content.result(), held_out, range_starts, settings)
        results = compute_cells(
            ratings,
            plan,
            range_starts,
            partial(are_held_out, hash_bound=hash_bound),
            by_content.rank if by_content else None,
        )
        held_out_lists = _held_out_lists(results, settings) if hash_bound else {}
    ranked: dict[str, NeighbourLists] = {}  # here, on the driver
    matrix = None
    if "ease" in names:
        matrix, ranked["ease"] = rank_by_ease(plan, settings, stages)
    in_ease = matrix.movies.ids if matrix else np.empty(0, np.int32)
    tried = beside.submit(_also_by_ease, held_out_lists, matrix, held_out, plan, settings, stages)
    if "als" in names:
        with stages.stage("als"):
            ranked["als"] = _rank_by_als(context, ratings, plan.blocks, settings)
    others: dict[str, tuple[NeighbourLists, int]] = {}
    if ranked:
        with stages.stage("evidence"):
            others = _with_evidence(ranked, plan, settings)
    best = best_neighbours(results, settings.neighbours, others)
    return Comparison(results.pairs, best, by_content, held_out, tried, in_ease)


def _content_of(dataset: Dataset, settings: JobSettings) -> "Content | None":
    """The content of the movies; None if no measure needs it."""
    if not need_content(settings.measures):
        return None
    from spark.measures.content import content

    return content(dataset.movies, dataset.tags)


def _content_ranking(
    context: SparkContext,
    content: "Content | None",
    held_out: HeldOutRatings,
    range_starts: np.ndarray,
    settings: JobSettings,
) -> "ContentRanking | None":
    """What ranks all movies by content; None if no measure needs it."""
    if content is None:
        return None
    from spark.measures.content_lists import content_ranking

    is_tried = need_content(_evaluated(settings))
    of = np.unique(held_out.visible.movies) if is_tried else np.empty(0, np.int32)
    return content_ranking(context, content, held_out, of, range_starts, settings.neighbours)


def _evaluated(settings: JobSettings) -> list[str]:
    """The measures that the run evaluates; the one that decides comes first."""
    return evaluated_measures(settings.default_measure, settings.measures)


def _with_evidence(
    ranked: Mapping[str, NeighbourLists], plan: CellPlan, settings: JobSettings
) -> dict[str, tuple[NeighbourLists, int]]:
    """Neighbours that were ranked on the driver, with evidence; see `best_neighbours`.

    Under `blend` are the candidates of that measure.
    """
    found = {}
    for name, rows in ranked.items():
        pairs = stored_pairs(rows, plan.blocks, plan.store)
        known = with_evidence(rows, pairs)
        found[name] = known, settings.neighbours
        if name == "ease" and "blend" in settings.measures:
            weight = settings.parameters["blend"]["ease"]
            found["blend"] = by_ratings(known, full_cosine(pairs), weight), _ease_count(settings)
    return found


def _also_by_ease(
    lists: dict[str, NeighbourLists],
    matrix: "EaseMatrix | None",
    held_out: HeldOutRatings,
    plan: CellPlan,
    settings: JobSettings,
    stages: Stages,
) -> dict[str, NeighbourLists]:
    """The lists of `_held_out_lists`, and those by EASE, if it is evaluated.

    Under `blend` are then the candidates of that measure.
    """
    if matrix is None or "ease" not in lists:
        return lists
    from spark.measures.ease import ease_without

    with stages.stage("ease_tried", beside_spark=True):
        wanted = np.unique(held_out.visible.movies)
        rows = concatenate(
            ease_without(matrix.movies, matrix.weights, held_out, wanted, _ease_count(settings))
        )
        if "blend" not in settings.measures or plan.hold_out is None:
            return lists | {"ease": rows}
        pairs = stored_pairs(rows, plan.hold_out.blocks, plan.store, ["xy"])
        others = replace(pairs, xy=pairs.xy - held_out.products(rows.movies, rows.neighbours))
        candidates = by_ratings(rows, full_cosine(others), settings.parameters["blend"]["ease"])
        return lists | {"ease": merge_top_k([rows], settings.neighbours), "blend": candidates}


def _ease_count(settings: JobSettings) -> int:
    """How many neighbours by EASE to rank per movie."""
    return settings.neighbours * (CANDIDATES if "blend" in settings.measures else 1)


def _plan(context: SparkContext, ratings: Ratings, settings: JobSettings) -> tuple[CellPlan, int]:
    """What the cells do, without a hold-out pass; and the hash bound of the held-out users."""
    least, parameters = settings.min_co_raters, settings.parameters
    compared = int((ratings.raters >= least).sum())
    count = settings.blocks or block_count(
        compared, context.defaultParallelism, cell_memory(context)
    )
    limits = [
        int(parameters[name]["limit"]) for name in settings.measures if "limit" in parameters[name]
    ]
    sums = child(child(settings.output, SCRATCH), "sums")
    plan = CellPlan(
        blocks=choose_blocks(ratings.movies, ratings.raters, ratings.squares, least, count),
        thresholds=Thresholds(
            least,
            settings.min_score,
            settings.neighbours,
            pair_measures(settings.measures, parameters),
        ),
        output=child(settings.output, SIMILARITIES),
        store=PairSumStore(sums, max(limits, default=0)),
    )
    return plan, hash_bound_for(ratings.users, settings.test_users)


def _hold_out_pass(held_out: HeldOutRatings, plan: CellPlan, settings: JobSettings) -> HoldOutPass:
    """The lists to take without the held-out users."""
    names, parameters = _evaluated(settings), settings.parameters
    return hold_out_pass(held_out, plan.blocks, plan.thresholds, names, parameters)


def _held_out_lists(results: CellResults, settings: JobSettings) -> dict[str, NeighbourLists]:
    """The lists of the hold-out pass, by evaluated measure; empty if cells do not rank by it.

    Among them are those BY_CONTENT.
    """
    lists = best_neighbours(results, settings.neighbours)
    parts = [each for _, each in collect_partitions(lists, results.partitions.held_out)]
    return {
        name: concatenate(each[name] for each in parts if name in each)
        for name in (*_evaluated(settings), BY_CONTENT)
    }


def _rank_by_als(
    context: SparkContext, ratings: Ratings, blocks: Blocks, settings: JobSettings
) -> NeighbourLists:
    """The neighbours by ALS, by movie and rank, without evidence."""
    from spark.measures.als import als

    scratch, parameters = child(settings.output, SCRATCH), settings.parameters["als"]
    return concatenate(als(context, ratings, blocks, parameters, scratch, settings.neighbours))


@dataclass(frozen=True)
class EaseMatrix:
    """The matrix of EASE.

    Attributes:
        movies: in it, in its order.
        weights: P, see `ease.inverse`.
    """

    movies: Blocks
    weights: np.ndarray


def rank_by_ease(
    plan: CellPlan, settings: JobSettings, stages: Stages
) -> tuple[EaseMatrix, NeighbourLists]:
    """Rank the neighbours by EASE.

    Args:
        plan: of the cells, which wrote their sums.
        settings: of the job.
        stages: to time.

    Returns:
        The matrix, and the neighbours by movie and rank, without evidence.
    """
    from spark.measures.ease import SCALE, ease, gram_matrix, inverse

    parameters = settings.parameters["ease"]
    with stages.stage("gram"):
        movies, gram = gram_matrix(plan.store, plan.blocks, int(parameters["limit"]))
    with stages.stage("inversion"):
        weights = inverse(gram, SCALE * parameters["lambda"])
    with stages.stage("ease"):
        lists = concatenate(ease(movies, weights, _ease_count(settings)))
    return EaseMatrix(movies, weights), lists
