"""The supported instance types: YARN memory, vCPUs and prices."""

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

# On-demand prices in us-east-1 in US dollars per hour, of the instance and of EMR, from
# https://aws.amazon.com/ec2/pricing/on-demand/ and https://aws.amazon.com/emr/pricing/. Other
# regions cost up to a third more, Spot costs less.
PRICED_AT = "2025-01"


class InstanceType(NamedTuple):
    """An x86-64 instance type.

    Attributes:
        vcpus: number of concurrent tasks of an executor.
        yarn_mb: memory for YARN containers per node, in MB.
        ec2: price of the instance, US dollars per hour.
        emr: price of EMR, US dollars per hour.
    """

    vcpus: int
    yarn_mb: int
    ec2: Decimal
    emr: Decimal


# YARN's memory is yarn.nodemanager.resource.memory-mb of
# https://docs.aws.amazon.com/emr/latest/ReleaseGuide/emr-hadoop-task-config.html
# The larger r5 use the documented figure of r4, which has no more memory.
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
    """An instance type whose YARN memory is unknown to the project."""

    def __init__(self, name: str):
        """Create the error with a message that says what to do."""
        super().__init__(
            f"InstanceType {name} is unknown: choose one of {', '.join(INSTANCE_TYPES)}, or add it "
            "to functions/instance_types.py"
        )


def instance_type(name: str) -> InstanceType:
    """Return an instance type by name.

    Raises:
        UnknownInstanceTypeError: the type is not in the table.
    """
    if name not in INSTANCE_TYPES:
        raise UnknownInstanceTypeError(name)
    return INSTANCE_TYPES[name]
