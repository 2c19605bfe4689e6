"""The local cloud that the end-to-end tests share: the deployed template, and EMR played."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from local.cloud import Cloud
from local.emr.cluster import Behaviour

LIMIT_SECONDS = 180
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class World:
    """What a test does with the cloud.

    Attributes:
        cloud: it.
        limit: seconds that anything may take.
    """

    cloud: Cloud
    limit: float = field(default=LIMIT_SECONDS, kw_only=True)

    def drop(self, folder: str, files: Mapping[str, str]) -> None:
        """Drop files of a folder, given their text."""
        for name, text in files.items():
            self.cloud.client("s3").put_object(
                Bucket=self.cloud.outputs["DatasetsBucket"],
                Key=f"{folder}/{name}",
                Body=text.encode(),
            )

    def runs(self, folder: str) -> list[dict[str, Any]]:
        """The runs of a folder as the API tells them, the newest first."""
        status, body = self.cloud.get("/runs")
        assert status == 200, body
        return [run for run in body["runs"] if run["folder"] == folder]

    def wait_for_run(self, folder: str, *states: str) -> dict[str, Any]:
        """The newest run of a folder, as soon as it is in one of the states."""
        deadline = time.monotonic() + self.limit
        found: list[dict[str, Any]] = []
        while time.monotonic() < deadline:
            found = self.runs(folder)
            if found and found[0]["state"] in states:
                return found[0]
            time.sleep(POLL_SECONDS)
        raise AssertionError(f"no run of {folder} came to {states} in time: {found}")

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Return when a condition holds."""
        deadline = time.monotonic() + self.limit
        while not holds():
            assert time.monotonic() < deadline, f"not in time: {what}"
            time.sleep(POLL_SECONDS)

    def wait_for_cluster(self, name_end: str, *states: str) -> Any:
        """EMR's description of the newest cluster whose name ends so, once it is in a state."""
        emr = self.cloud.client("emr")
        deadline = time.monotonic() + self.limit
        state = "not there"
        while time.monotonic() < deadline:
            found = [
                each for each in emr.list_clusters()["Clusters"] if each["Name"].endswith(name_end)
            ]
            if found:
                cluster = emr.describe_cluster(ClusterId=found[0]["Id"])["Cluster"]
                state = cluster["Status"]["State"]
                if state in states:
                    return cluster
            time.sleep(POLL_SECONDS)
        raise AssertionError(f"cluster {name_end} is {state}, not one of {states}")


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
