"""The cost of a cluster in node-hours and US dollars: an estimate before and after it runs."""

from dataclasses import dataclass
from decimal import Decimal

from instance_types import INSTANCE_TYPES, PRICED_AT, instance_type
from runs.item import CostItem

OVERHEAD_SECONDS = 540  # start and end of a cluster, most of the time of a run
# vCPU time of all nodes per byte of ratings. From the constants in docs/scale.md, doubled because a
# vCPU is half a core.
VCPU_SECONDS_PER_BYTE = 3e-7


class BudgetError(Exception):
    """A run would exceed the budget; the message has both figures."""


@dataclass(frozen=True)
class Cost:
    """The cost of a cluster.

    Attributes:
        node_hours: hours of all nodes.
        usd: US dollars, or None if the price of the instance type is unknown.
    """

    node_hours: Decimal
    usd: Decimal | None

    def __add__(self, other: "Cost") -> "Cost":
        """Return the sum of two costs."""
        prices = self.usd, other.usd
        usd = None if None in prices else sum(price for price in prices if price is not None)
        return Cost(self.node_hours + other.node_hours, Decimal(usd) if usd is not None else None)

    @classmethod
    def from_item(cls, item: CostItem) -> "Cost":
        """Read a cost from the runs table."""
        return cls(item["node_hours"], item["usd"])

    def to_item(self) -> CostItem:
        """Convert to the format of the runs table."""
        return {"node_hours": self.node_hours, "usd": self.usd, "priced_at": PRICED_AT}


def cost(instance: str, nodes: int, seconds: float) -> Cost:
    """Return the cost of nodes for a time; billed per second, one minute at least."""
    hours = Decimal(max(60, round(seconds))) * nodes / 3600
    known = INSTANCE_TYPES.get(instance)
    usd = hours * (known.ec2 + known.emr) if known else None
    return Cost(hours.quantize(Decimal("0.0001")), usd and usd.quantize(Decimal("0.0001")))


def estimate(instance: str, nodes: int, ratings_bytes: int, idle_seconds: int) -> Cost:
    """Estimate the cost of a run's cluster.

    Args:
        instance: type of all nodes.
        nodes: number of core nodes plus the primary node, which does not compute.
        ratings_bytes: size of the ratings file.
        idle_seconds: minimum time for which the cluster is kept after its step.

    Raises:
        UnknownInstanceTypeError: the type is not in the table.
    """
    computing = (nodes - 1) * instance_type(instance).vcpus
    seconds = OVERHEAD_SECONDS + ratings_bytes * VCPU_SECONDS_PER_BYTE / computing
    return cost(instance, nodes, seconds + idle_seconds)


def check_budget(estimated: Cost, limit: Decimal | None) -> None:
    """Check that a run stays within the budget.

    Raises:
        BudgetError: the cost is unknown or above the limit.
    """
    if limit is None:
        return
    if estimated.usd is None:
        raise BudgetError(
            "the instance type has no price in functions/instance_types.py, so MaxRunCost cannot "
            "be checked: add its price, or set MaxRunCost to 0"
        )
    if estimated.usd > limit:
        raise BudgetError(
            f"the run would cost about {estimated.usd:.2f} USD ({estimated.node_hours:.2f} "
            f"node-hours); MaxRunCost is {limit:.2f} USD: raise it, or use a smaller cluster"
        )
