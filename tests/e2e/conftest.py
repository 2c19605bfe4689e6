"""The local cloud that the end-to-end tests share: the deployed template, and EMR played."""

from collections.abc import Iterator

import pytest

from local.cloud import Cloud
from local.emr.cluster import Behaviour
from tests.builders.world import World

# Tests drop unrelated data sets one after the other into one stack.
UNRELATED = [
    f"{name}=1" for name in ("MaxTitlesLost", "MaxRatingsLost", "MaxTitlesChanged", "MaxListsMoved")
]


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    """The local cloud."""
    with Cloud.start(parameters=UNRELATED) as cloud:
        yield cloud


@pytest.fixture
def world(cloud: Cloud, request: pytest.FixtureRequest) -> Iterator[World]:
    """The cloud in a test's hands; it behaves well again afterwards.

    In drills it is as busy as the real one may be, unless they say otherwise, DynamoDB gives and
    takes little at once, and functions have what Lambda gives them.
    """
    is_drill = request.node.get_closest_marker("drill") is not None
    cloud.emr.behaviour = Behaviour(throttled=1) if is_drill else Behaviour()
    cloud.limit(**({"keys": 2, "write_units": 20, "lambda_memory": 1} if is_drill else {}))
    yield World(cloud)
    cloud.emr.behaviour = Behaviour()
    cloud.limit()
