"""Faults on a cluster while the job runs: the run ends LIVE with the same bits, or says why not."""

import gzip
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from s3_keys import environment_key
from spark.measures.registry import DEFAULT
from tests.conftest import Observed
from tests.spark import oracle
from tests.spark.test_engine import stored
from tests.spark.test_measures import lists_of
from tests.yarn.conftest import OnYarn, Verbatim
from tools.job_archive import locked_sha256, upload

pytestmark = pytest.mark.yarn

LIMIT_SECONDS = 300
# One task at a time per container. Starting the workers takes most of the time; this is a third.
SLENDER = {"spark.executor.cores": "1", "spark.default.parallelism": "6"}
WHOLE_HEAP = "-Xms450m -XX:+AlwaysPreTouch"  # taken at once, as after much work
SIMILARITIES = "similarities: started"


def setting(**changed: str) -> Callable[[Sequence[str]], list[str]]:
    """Return a function that changes Spark settings in a step's Args, or adds them.

    `a__b` stands for `a.b`.
    """
    values = SLENDER | {name.replace("__", "."): value for name, value in changed.items()}

    def rewrite(arguments: Sequence[str]) -> list[str]:
        kept = list(arguments)
        for argument in arguments:
            if argument.partition("=")[0] in values:
                place = kept.index(argument)
                assert kept[place - 1] == "--conf"
                del kept[place - 1 : place + 1]
        program, *rest = kept
        conf = (("--conf", f"{name}={value}") for name, value in values.items())
        return [program, *(word for each in conf for word in each), *rest]

    return rewrite


def wait_for(holds: Callable[[], Any], what: str) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.05)


@pytest.fixture
def drilled(
    on_yarn: OnYarn, ratings: list[oracle.Rating], tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[..., dict[str, Any]]:
    """Drops a folder, injects a fault at a line of the driver's log, and returns the run."""

    def drill(
        harm: Callable[[], object], after: str = SIMILARITIES, **changed: str
    ) -> dict[str, Any]:
        folder = request.node.name
        on_yarn.clusters.rewrite = setting(**changed)
        known = vars(on_yarn.clusters).get("yarn")
        # The same ratings in another order: another data set with the same result.
        first = 1 + request.session.items.index(request.node)
        on_yarn.drop_ratings(folder, tmp_path / "d", [*ratings[first:], *ratings[:first]])
        wait_for(lambda: vars(on_yarn.clusters).get("yarn") not in (known, None), "a cluster")
        wait_for(lambda: after in on_yarn.clusters.driver_log, after)
        harm()
        return on_yarn.wait_for_run(folder, "LIVE", "FAILED")

    return drill


@pytest.fixture
def is_exact(
    on_yarn: OnYarn, ratings: list[oracle.Rating], verbatim: Verbatim, tmp_path: Path
) -> Callable[[dict[str, Any]], None]:
    """Checks that a run is LIVE with the oracle's pairs and an undisturbed run's neighbours."""

    def see(run: dict[str, Any]) -> None:
        assert run["state"] == "LIVE", run["reason"]
        output = on_yarn.result(run["run_id"], tmp_path / "result")
        assert stored(output / "similarities") == oracle.similarities(ratings, 10, 0.95)
        mine, undisturbed = lists_of(output), lists_of(verbatim.output)
        for measure in ("cosine", DEFAULT):
            rows, others = (
                {m: r for m, r in of[measure].items() if r} for of in (mine, undisturbed)
            )
            assert rows == others, measure

    return see


@pytest.mark.drill(
    "Clusters",
    injected="a NodeManager of a real YARN and all its containers are killed while the job sums up",
    promised="the run ends LIVE with the same bits",
)
def test_a_lost_core_node_costs_only_time(
    on_yarn: OnYarn, drilled: Callable[..., dict], is_exact: Callable, observed: Observed
) -> None:
    def lose_a_node() -> None:
        clusters = on_yarn.clusters
        home = clusters.node_of_driver()
        node = next(each for each in clusters.yarn.nodes if each.name != home)
        assert node.kill() > 1  # the NodeManager, and an executor with its workers

    run = drilled(lose_a_node)
    is_exact(run)
    observed(1, "LIVE, the same to the bit")


@pytest.mark.drill(
    "Clusters",
    injected="an executor on a real YARN is killed while the job sums up",
    promised="the run ends LIVE with the same bits",
)
def test_a_killed_executor_costs_only_time(
    on_yarn: OnYarn, drilled: Callable[..., dict], is_exact: Callable, observed: Observed
) -> None:
    run = drilled(lambda: on_yarn.clusters.executors()[0].kill())
    is_exact(run)
    observed(1, "LIVE, the same to the bit")


@pytest.mark.drill(
    "Clusters",
    injected="executors on a real YARN have less memory than their work takes",
    promised="the run FAILS and says that YARN killed them for their memory",
)
def test_executors_above_their_memory_are_reported_as_such(
    drilled: Callable[..., dict], observed: Observed
) -> None:
    run = drilled(
        lambda: None,
        "",
        spark__executor__cores="4",
        spark__executor__memory="500m",  # Spark wants 450 MB; the serial collector keeps some back
        # Enough for the JVM, which must report to the driver before it is killed, but not for the
        # Python workers too.
        spark__executor__memoryOverhead="200m",
        spark__executor__extraJavaOptions=WHOLE_HEAP,
        # Otherwise the run may get through in the seconds that each new executor lives, or while
        # none has a task when it is killed.
        spark__task__maxFailures="1",
        spark__default__parallelism="48",
    )
    assert run["state"] == "FAILED"
    assert "exceeding physical memory limits" in run["reason"], run["reason"]
    observed(1, run["reason"])


@pytest.mark.drill(
    "Clusters",
    injected="the driver on a real YARN has less memory than its work takes",
    promised="the run FAILS and says where YARN's reason is",
)
def test_a_driver_above_its_memory_is_reported_with_the_log_to_read(
    on_yarn: OnYarn, drilled: Callable[..., dict], observed: Observed
) -> None:
    run = drilled(
        lambda: None,
        "",
        spark__driver__memory="512m",
        spark__driver__memoryOverhead="16m",
        spark__driver__extraJavaOptions=WHOLE_HEAP,
    )
    assert run["state"] == "FAILED"
    assert the_log_says(on_yarn, run, "beyond the 'PHYSICAL' memory limit")
    observed(1, run["reason"])


@pytest.mark.drill(
    "Clusters",
    injected="the driver on a real YARN is killed while the job sums up",
    promised="the run FAILS and says where YARN's reason is; it is not tried again",
)
def test_a_killed_driver_is_reported_with_the_log_to_read(
    on_yarn: OnYarn, drilled: Callable[..., dict], observed: Observed
) -> None:
    run = drilled(lambda: on_yarn.clusters.driver().kill())
    assert run["state"] == "FAILED"
    assert the_log_says(on_yarn, run, "exitCode: 137")
    attempts = on_yarn.clusters.yarn.folder.glob("node*/logs/*/container_*_02_*")
    assert not [*attempts]
    observed(1, run["reason"])


def the_log_says(on_yarn: OnYarn, run: dict[str, Any], words: str) -> bool:
    """Whether the log named by the reason exists and contains YARN's words."""
    link = re.search(r"the driver was killed.*log: s3://([^/]+)/(\S+)", run["reason"])
    assert link, run["reason"]
    answer = on_yarn.cloud.client("s3").get_object(Bucket=link[1], Key=link[2])
    return words in gzip.decompress(answer["Body"].read()).decode()


@pytest.fixture
def no_archive(on_yarn: OnYarn) -> Iterator[Callable[[], None]]:
    """Deletes the job archive, and restores it after the test."""
    s3, bucket = on_yarn.cloud.client("s3"), on_yarn.cloud.outputs["ResultsBucket"]
    key = environment_key(locked_sha256())
    yield lambda: s3.delete_object(Bucket=bucket, Key=key)
    upload(s3, bucket)


@pytest.mark.drill(
    "Clusters",
    injected="the archive of the dependencies is gone when a real YARN is to unpack it",
    promised="the run FAILS and names the archive",
)
def test_a_missing_archive_is_named(
    on_yarn: OnYarn,
    no_archive: Callable[[], None],
    ratings: list[oracle.Rating],
    tmp_path: Path,
    observed: Observed,
) -> None:
    def without(arguments: Sequence[str]) -> Sequence[str]:
        no_archive()  # after the launcher has checked for it
        return arguments

    on_yarn.clusters.rewrite = without
    on_yarn.drop_ratings("no archive", tmp_path / "d", [*ratings, (1, 999, 5.0)])
    run = on_yarn.wait_for_run("no archive", "LIVE", "FAILED")
    assert run["state"] == "FAILED"
    assert "FileNotFoundException" in run["reason"], run["reason"]
    assert environment_key(locked_sha256()) in run["reason"]
    observed(1, run["reason"])


@pytest.mark.drill(
    "Clusters",
    injected="the nodes of a real YARN get no credentials for half a minute",
    promised="the run ends LIVE with the same bits",
)
def test_half_a_minute_without_credentials_costs_only_time(
    on_yarn: OnYarn, drilled: Callable[..., dict], is_exact: Callable, observed: Observed
) -> None:
    metadata = []

    def fail_for_half_a_minute() -> None:
        metadata.append(on_yarn.clusters.metadata)
        metadata[0].outage = True
        threading.Timer(30, lambda: setattr(metadata[0], "outage", False)).start()

    run = drilled(fail_for_half_a_minute, "read: started")
    is_exact(run)
    assert metadata[0].refused > 0, "nobody asked while it was away"
    observed(metadata[0].refused, "LIVE, the same to the bit")
