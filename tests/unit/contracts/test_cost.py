"""The cost of a run, per second and node, estimated and actual, and the budget."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost import BudgetError, Cost, check_budget, cost, estimate
from instance_types import INSTANCE_TYPES, UnknownInstanceTypeError

ML_10M = 265_105_635  # bytes


def test_an_hour_of_the_default_cluster_costs_what_its_nodes_cost() -> None:
    assert cost("m5.xlarge", 4, 3600) == Cost(Decimal("4.0000"), Decimal("0.9600"))


def test_a_cluster_costs_at_least_a_minute() -> None:
    assert cost("m5.xlarge", 4, 3) == cost("m5.xlarge", 4, 60)


def test_a_run_of_ml_10m_costs_cents_most_of_which_is_the_clusters_start() -> None:
    estimated = estimate("m5.xlarge", 4, ML_10M, 0)
    assert estimated.usd is not None
    assert Decimal("0.10") < estimated.usd < Decimal("0.25")


def test_an_interactive_hour_after_the_step_is_part_of_the_estimate() -> None:
    alone, kept = (estimate("m5.xlarge", 4, ML_10M, seconds) for seconds in (0, 3600))
    assert kept.node_hours - alone.node_hours == 4


def test_an_unknown_instance_type_has_node_hours_and_no_price() -> None:
    spent = cost("x9.huge", 4, 3600)
    assert (spent.node_hours, spent.usd) == (4, None)
    check_budget(spent, None)
    with pytest.raises(BudgetError, match="has no price"):
        check_budget(spent, Decimal(1))
    with pytest.raises(UnknownInstanceTypeError):
        estimate("x9.huge", 4, ML_10M, 0)


@given(
    name=st.sampled_from(sorted(INSTANCE_TYPES)),
    nodes=st.integers(2, 100),
    size=st.integers(0, 10**11),
    limit=st.decimals("0.01", "1000", places=2),
)
def test_the_budget_is_checked_to_the_cent_with_both_figures(
    name: str, nodes: int, size: int, limit: Decimal
) -> None:
    estimated = estimate(name, nodes, size, 0)
    assert estimated.usd is not None
    if estimated.usd <= limit:
        check_budget(estimated, limit)
    else:
        with pytest.raises(BudgetError, match=f"MaxRunCost is {limit:.2f} USD"):
            check_budget(estimated, limit)
