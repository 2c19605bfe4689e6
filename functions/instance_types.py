"""The instance types that clusters may have: their size for YARN, their price."""

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

# On-demand prices of us-east-1 in US dollars an hour, the instance and EMR's own share, from
# https://aws.amazon.com/ec2/pricing/on-demand/ and https://aws.amazon.com/emr/pricing/. Other
# regions cost up to a third more; Spot costs less.
PRICED_AT = "2025-01"


class InstanceType(NamedTuple):
    """An x86-64 instance type.

    Attributes:
        vcpus: as many tasks as its executor computes at once.
        yarn_mb: what YARN gives to containers of one node, in MB.
        ec2: US dollars an hour.
        emr: the same, for EMR.
    """

    vcpus: int
    yarn_mb: int
    ec2: Decimal
    emr: Decimal


# YARN's memory is yarn.nodemanager.resource.memory-mb of
# https://docs.aws.amazon.com/emr/latest/ReleaseGuide/emr-hadoop-task-config.html
# For the larger r5 it is the documented figure of r4, which has no more memory.
INSTANCE_TYPES: Mapping[str, InstanceType] = {
    name: InstanceType(vcpus, yarn_mb, Decimal(ec2), Decimal(emr))
    for name, vcpus, yarn_mb, ec2, emr in (
        ("m5.xlarge", 4, 12_288, "0.192", "0.048"),
        ("m5.2xlarge", 8, 24_576, "0.384", "0.096"),
        ("m5.4xlarge", 16, 57_344, "0.768", "0.192"),
        ("m6i.xlarge", 4, 12_288, "0.192", "0.048"),
        ("m6i.2xlarge", 8, 24_576, "0.384", "0.096"),
        ("m6i.4xlarge", 16, 57_344, "0.768", "0.192"),
        ("r5.xlarge", 4, 24_576, "0.252", "0.063"),
        ("r5.2xlarge", 8, 54_272, "0.504", "0.126"),
        ("r5.4xlarge", 16, 116_736, "1.008", "0.252"),
    )
}


class UnknownInstanceTypeError(Exception):
    """An instance type of which the project does not know what YARN has of it."""

    def __init__(self, name: str):
        """Say what to do."""
        super().__init__(
            f"InstanceType {name} is unknown: choose one of {', '.join(INSTANCE_TYPES)}, or add it "
            "to functions/instance_types.py"
        )


def instance_type(name: str) -> InstanceType:
    """An instance type by its name.

    Raises:
        UnknownInstanceTypeError: it is not in the table.
    """
    if name not in INSTANCE_TYPES:
        raise UnknownInstanceTypeError(name)
    return INSTANCE_TYPES[name]
