"""What a cluster costs: node-hours and US dollars, estimated before a launch and after its end."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

# On-demand prices of us-east-1 in US dollars an hour, the instance and EMR's own share, from
# https://aws.amazon.com/ec2/pricing/on-demand/ and https://aws.amazon.com/emr/pricing/. Other
# regions cost up to a third more; Spot costs less.
PRICED_AT = "2025-01"


class Price(NamedTuple):
    """US dollars an hour of an instance type, for EC2 and for EMR."""

    ec2: Decimal
    emr: Decimal


PRICES: Mapping[str, Price] = {
    name: Price(Decimal(ec2), Decimal(emr))
    for name, ec2, emr in (
        ("m5.xlarge", "0.192", "0.048"),
        ("m5.2xlarge", "0.384", "0.096"),
        ("m5.4xlarge", "0.768", "0.192"),
        ("m6i.xlarge", "0.192", "0.048"),
        ("m6i.2xlarge", "0.384", "0.096"),
        ("m6i.4xlarge", "0.768", "0.192"),
        ("r5.xlarge", "0.252", "0.063"),
        ("r5.2xlarge", "0.504", "0.126"),
        ("r5.4xlarge", "1.008", "0.252"),
    )
}
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

    def told(self) -> dict[str, Any]:
        """As the runs table keeps it."""
        return {"node_hours": self.node_hours, "usd": self.usd, "priced_at": PRICED_AT}


def cost(instance_type: str, nodes: int, seconds: float) -> Cost:
    """What so many nodes cost for a time; billed by the second, at least a minute."""
    hours = Decimal(max(60, round(seconds))) * nodes / 3600
    price = PRICES.get(instance_type)
    usd = hours * (price.ec2 + price.emr) if price else None
    return Cost(hours.quantize(Decimal("0.0001")), usd and usd.quantize(Decimal("0.0001")))


def vcpus(instance_type: str) -> int:
    """The vCPUs of an instance type, by its size: EC2's x86-64 families count them alike.

    Args:
        instance_type: such as m5.xlarge (4), m5.4xlarge (16), m5.large (2); of sizes that are not
            named so it is taken for an xlarge.
    """
    size = re.fullmatch(r"[^.]+\.(\d*)(x?large)", instance_type)
    if size is None:
        return 4
    return 2 if size[2] == "large" else 4 * int(size[1] or 1)


def estimate(instance_type: str, nodes: int, ratings_bytes: int, idle_seconds: int) -> Cost:
    """What a run's cluster will cost.

    Args:
        instance_type: of all nodes.
        nodes: the primary node, which computes nothing, and the core nodes.
        ratings_bytes: size of the ratings file.
        idle_seconds: for which the cluster is kept after its step at least.
    """
    computing = (nodes - 1) * vcpus(instance_type)
    seconds = OVERHEAD_SECONDS + ratings_bytes * VCPU_SECONDS_PER_BYTE / computing
    return cost(instance_type, nodes, seconds + idle_seconds)


def check_budget(estimated: Cost, limit: Decimal | None) -> None:
    """See that a run stays within what the operator allows.

    Raises:
        BudgetError: it does not, or its cost is not known.
    """
    if limit is None:
        return
    if estimated.usd is None:
        raise BudgetError(
            "the instance type has no price in functions/cost.py, so that MaxRunCost cannot be "
            "kept: add its price, or set MaxRunCost to 0"
        )
    if estimated.usd > limit:
        raise BudgetError(
            f"the run would cost about {estimated.usd:.2f} USD ({estimated.node_hours:.2f} "
            f"node-hours); MaxRunCost allows {limit:.2f} USD: raise it, or order a smaller cluster"
        )
