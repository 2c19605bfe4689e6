"""How the job is sized on YARN: one driver and one executor a core node, within what a node has."""

from dataclasses import dataclass

from instance_types import instance_type

# The driver is a Python process beside its JVM, which inverts EASE's matrix: 1.2 GB of 12,000
# movies and what it reads it from. The JVM itself plans tasks and little else.
DRIVER_MEMORY_MB = 1536
DRIVER_OVERHEAD_MB = 3520
STEP_MB = 32  # YARN rounds a container up to multiples of it (yarn.scheduler.minimum-allocation-mb)


@dataclass(frozen=True)
class Containers:
    """The containers of a job, in MB; what is not the JVM's own is the Python processes'.

    Attributes:
        driver_memory: heap of the driver.
        driver_overhead: beside it.
        executors: how many there are.
        executor_cores: tasks that an executor computes at once.
        executor_memory: heap of an executor.
        executor_overhead: beside it.
    """

    driver_memory: int
    driver_overhead: int
    executors: int
    executor_cores: int
    executor_memory: int
    executor_overhead: int

    @property
    def driver(self) -> int:
        """What YARN counts for the driver."""
        return self.driver_memory + self.driver_overhead

    @property
    def executor(self) -> int:
        """What YARN counts for an executor."""
        return self.executor_memory + self.executor_overhead


def containers(instance: str, core_nodes: int) -> Containers:
    """The containers of a job on a cluster: an executor on each core node, the driver beside one.

    Executors are all alike, so that each leaves room for the driver. Four sevenths of an executor
    are its heap, through which the shuffles go; the rest is for the Python workers.

    Args:
        instance: type of the core nodes.
        core_nodes: how many; at least 1.

    Raises:
        UnknownInstanceTypeError: the type is not in the table.
    """
    node = instance_type(instance)
    room = node.yarn_mb - DRIVER_MEMORY_MB - DRIVER_OVERHEAD_MB
    executor = room // (7 * STEP_MB) * (7 * STEP_MB)
    return Containers(
        driver_memory=DRIVER_MEMORY_MB,
        driver_overhead=DRIVER_OVERHEAD_MB,
        executors=core_nodes,
        executor_cores=node.vcpus,
        executor_memory=executor * 4 // 7,
        executor_overhead=executor * 3 // 7,
    )
