"""The deployed template in a test's hands."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.cloud import Cloud

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
