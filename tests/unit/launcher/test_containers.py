"""The size of the job: driver and executors fit the YARN memory of every instance type."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instance_types import INSTANCE_TYPES, UnknownInstanceTypeError
from launcher.containers import STEP_MB, containers


@given(name=st.sampled_from(sorted(INSTANCE_TYPES)), core_nodes=st.integers(1, 100))
def test_each_core_node_has_room_for_an_executor_and_one_for_the_driver_beside_it(
    name: str, core_nodes: int
) -> None:
    node, sized = INSTANCE_TYPES[name], containers(name, core_nodes)
    assert sized.driver % STEP_MB == sized.executor % STEP_MB == 0  # so that YARN rounds nothing up
    assert sized.driver + sized.executor <= node.yarn_mb
    assert sized.executors == core_nodes
    assert sized.executor_cores == node.vcpus


@given(name=st.sampled_from(sorted(INSTANCE_TYPES)))
def test_an_executor_leaves_less_than_a_gigabyte_of_its_node_unused(name: str) -> None:
    sized = containers(name, 3)
    assert INSTANCE_TYPES[name].yarn_mb - sized.driver - sized.executor < 1024


@given(name=st.sampled_from(sorted(INSTANCE_TYPES)))
def test_each_task_has_room_for_the_jvm_and_for_its_python_worker(name: str) -> None:
    sized = containers(name, 3)
    assert sized.executor_memory / sized.executor_cores >= 1024
    assert sized.executor_overhead / sized.executor_cores >= 768


def test_the_default_cluster_is_sized_as_on_paper() -> None:
    sized = containers("m5.xlarge", 3)
    assert (sized.driver, sized.executor_memory, sized.executor_overhead) == (5056, 4096, 3072)


def test_an_unknown_instance_type_is_refused_with_what_to_do() -> None:
    with pytest.raises(UnknownInstanceTypeError, match=r"x9\.huge is unknown: choose one of m5\.x"):
        containers("x9.huge", 3)
