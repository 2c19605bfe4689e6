"""What a cluster costs: node-hours and US dollars, estimated before a launch and after its end."""

from dataclasses import dataclass
from decimal import Decimal

from instance_types import INSTANCE_TYPES, PRICED_AT, instance_type
from run_item import CostItem

OVERHEAD_SECONDS = 540  # a cluster's start and end, which are most of a run
# Of all nodes' vCPUs together, for a byte of ratings; docs/scale.md has the constants it is made
# of, doubled, because a vCPU is half a core.
VCPU_SECONDS_PER_BYTE = 3e-7


class BudgetError(Exception):
    """A run would cost more than the operator allows; the message has both figures."""


@dataclass(frozen=True)
class Cost:
    """What a cluster costs.

    Attributes:
        node_hours: of all nodes.
        usd: US dollars, or None for an instance type that has no price here.
    """

    node_hours: Decimal
    usd: Decimal | None

    def __add__(self, other: "Cost") -> "Cost":
        """What both cost."""
        prices = self.usd, other.usd
        usd = None if None in prices else sum(price for price in prices if price is not None)
        return Cost(self.node_hours + other.node_hours, Decimal(usd) if usd is not None else None)

    @classmethod
    def from_item(cls, item: CostItem) -> "Cost":
        """A cost as the runs table has kept it."""
        return cls(item["node_hours"], item["usd"])

    def to_item(self) -> CostItem:
        """As the runs table keeps it."""
        return {"node_hours": self.node_hours, "usd": self.usd, "priced_at": PRICED_AT}


def cost(instance: str, nodes: int, seconds: float) -> Cost:
    """What so many nodes cost for a time; billed by the second, at least a minute."""
    hours = Decimal(max(60, round(seconds))) * nodes / 3600
    known = INSTANCE_TYPES.get(instance)
    usd = hours * (known.ec2 + known.emr) if known else None
    return Cost(hours.quantize(Decimal("0.0001")), usd and usd.quantize(Decimal("0.0001")))


def estimate(instance: str, nodes: int, ratings_bytes: int, idle_seconds: int) -> Cost:
    """What a run's cluster will cost.

    Args:
        instance: type of all nodes.
        nodes: the primary node, which computes nothing, and the core nodes.
        ratings_bytes: size of the ratings file.
        idle_seconds: for which the cluster is kept after its step at least.

    Raises:
        UnknownInstanceTypeError: the type is not in the table.
    """
    computing = (nodes - 1) * instance_type(instance).vcpus
    seconds = OVERHEAD_SECONDS + ratings_bytes * VCPU_SECONDS_PER_BYTE / computing
    return cost(instance, nodes, seconds + idle_seconds)


def check_budget(estimated: Cost, limit: Decimal | None) -> None:
    """See that a run stays within what the operator allows.

    Raises:
        BudgetError: it does not, or its cost is not known.
    """
    if limit is None:
        return
    if estimated.usd is None:
        raise BudgetError(
            "the instance type has no price in functions/instance_types.py, so that MaxRunCost "
            "cannot be kept: add its price, or set MaxRunCost to 0"
        )
    if estimated.usd > limit:
        raise BudgetError(
            f"the run would cost about {estimated.usd:.2f} USD ({estimated.node_hours:.2f} "
            f"node-hours); MaxRunCost allows {limit:.2f} USD: raise it, or order a smaller cluster"
        )
