"""The YARN containers of the job: one driver, and one executor per core node."""

from dataclasses import dataclass

from instance_types import instance_type

# Next to its JVM the driver has a Python process, which inverts EASE's matrix: 1.2 GB for 12,000
# movies, plus its input. The JVM itself only plans tasks.
DRIVER_MEMORY_MB = 1536
DRIVER_OVERHEAD_MB = 3520
STEP_MB = 32  # YARN rounds containers up to multiples of yarn.scheduler.minimum-allocation-mb


@dataclass(frozen=True)
class Containers:
    """The containers of a job, in MB; overhead is the memory of the Python processes.

    Attributes:
        driver_memory: heap of the driver.
        driver_overhead: overhead of the driver.
        executors: number of executors.
        executor_cores: concurrent tasks of an executor.
        executor_memory: heap of an executor.
        executor_overhead: overhead of an executor.
    """

    driver_memory: int
    driver_overhead: int
    executors: int
    executor_cores: int
    executor_memory: int
    executor_overhead: int

    @property
    def driver(self) -> int:
        """The container size of the driver."""
        return self.driver_memory + self.driver_overhead

    @property
    def executor(self) -> int:
        """The container size of an executor."""
        return self.executor_memory + self.executor_overhead


def containers(instance: str, core_nodes: int) -> Containers:
    """Size the containers: one executor per core node, and the driver on one of the nodes.

    All executors have the same size, so each leaves room for the driver. Four sevenths of an
    executor are its heap, which holds the shuffles; the rest is for the Python workers.

    Args:
        instance: instance type of the core nodes.
        core_nodes: number of core nodes, at least 1.

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
