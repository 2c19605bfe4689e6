"""The metrics of lists: worked examples, and their definitions in plain Python."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark.self_evaluation import metrics

type Metric = Callable[[np.ndarray, np.ndarray, int], np.ndarray]

ALL: tuple[Metric, ...] = (
    metrics.recall, metrics.capped_recall, metrics.ndcg, metrics.average_precision
)  # fmt: skip


def one(metric: Metric, places: str, hidden: int, k: int) -> float:
    """A metric of one user, whose list is written as `x..x.`: x is a hidden title."""
    return metric(np.array([[place == "x" for place in places]]), np.array([hidden]), k)[0]


def test_recall_divides_by_all_hidden_titles_and_capped_recall_by_at_most_k() -> None:
    assert one(metrics.recall, "x.x.x", hidden=4, k=3) == 2 / 4
    assert one(metrics.capped_recall, "x.x.x", hidden=4, k=3) == 2 / 3
    assert one(metrics.capped_recall, "x.x.x", hidden=2, k=3) == 2 / 2


def test_ndcg_discounts_by_the_logarithm_of_the_place() -> None:
    # Places 1 and 3 of the list hit; the best list of three hidden titles hits 1, 2 and 3.
    expected = (1 + 1 / 2) / (1 + 1 / math.log2(3) + 1 / 2)
    assert one(metrics.ndcg, "x.x..", hidden=3, k=5) == pytest.approx(expected)


def test_average_precision_sums_the_precision_at_the_hits() -> None:
    assert one(metrics.average_precision, ".x.x.", hidden=2, k=5) == (1 / 2 + 2 / 4) / 2
    assert one(metrics.average_precision, ".x.x.", hidden=9, k=5) == (1 / 2 + 2 / 4) / 5


@pytest.mark.parametrize("metric", ALL)
def test_places_after_k_do_not_count(metric: Metric) -> None:
    assert one(metric, "x..xx", hidden=3, k=3) == one(metric, "x....", hidden=3, k=3)


@pytest.mark.parametrize("metric", ALL)
def test_a_list_shorter_than_k_counts_as_if_padded_with_misses(metric: Metric) -> None:
    assert one(metric, ".x", hidden=3, k=5) == pytest.approx(one(metric, ".x...", hidden=3, k=5))


def by_definition(metric: Metric, ranked: list[int], wanted: set[int], k: int) -> float:
    """The metrics as papers define them, on titles."""
    first = ranked[:k]
    found = [title in wanted for title in first]
    if metric is metrics.recall:
        return len(wanted & set(first)) / len(wanted)
    if metric is metrics.capped_recall:
        return len(wanted & set(first)) / min(k, len(wanted))
    if metric is metrics.ndcg:
        gain = sum(1 / math.log2(place + 1) for place, hit in enumerate(found, 1) if hit)
        best = sum(1 / math.log2(place + 1) for place in range(1, min(k, len(wanted)) + 1))
        return gain / best
    precisions = [sum(found[:place]) / place for place, hit in enumerate(found, 1) if hit]
    return sum(precisions) / min(k, len(wanted))


@pytest.mark.parametrize("metric", ALL)
@given(
    ranked=st.permutations(range(12)),
    wanted=st.sets(st.integers(0, 15), min_size=1),
    k=st.integers(1, 14),
)
def test_metrics_match_their_definitions(
    metric: Metric, ranked: list[int], wanted: set[int], k: int
) -> None:
    hits = np.array([[title in wanted for title in ranked]])
    found = metric(hits, np.array([len(wanted)]), k)[0]
    assert found == pytest.approx(by_definition(metric, ranked, wanted, k))
    assert 0 <= found <= 1 + 1e-12
