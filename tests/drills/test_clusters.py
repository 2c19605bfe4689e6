"""Clusters come to every bad end, and EMR tells of it badly: the deployed template, EMR played."""

from typing import Any

import pytest

from local.cloud import Cloud
from local.cluster import ENDED, Script
from tests.drills.conftest import Observed
from tests.e2e.conftest import World
from tests.e2e.test_operations import Inbox, environment_of
from tests.e2e.test_pipeline import files, ratings

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LIVE_FOLDER = "what answers"
ENDS: dict[str, tuple[Script, str]] = {
    "the step fails": (Script(step="fails"), "the step FAILED"),
    "out of memory": (
        Script(step="fails", says="Container killed by YARN for exceeding memory limits"),
        "the step FAILED",
    ),
    "archive missing": (
        Script(step="fails", says="java.io.FileNotFoundException: environments/.tar.gz"),
        "the step FAILED",
    ),
    "no start": (Script(cluster="dies_starting"), "BOOTSTRAP_FAILURE"),
    "primary lost": (Script(cluster="dies_running"), "INSTANCE_FAILURE"),
    "core lost": (
        Script(cluster="dies_running", says="All core nodes were terminated by EC2"),
        "All core nodes were terminated",
    ),
}
TOLD = ("once", "doubled", "backwards", "lost")


@pytest.fixture(scope="module")
def answer(deployed: Cloud) -> tuple[int, Any]:
    """What the API answers from the run before, which nothing here may change."""
    world = World(deployed)
    world.drop(LIVE_FOLDER, files(ratings(seed=21)))
    run = world.wait_for_run(LIVE_FOLDER, "LIVE", "FAILED")
    assert run["state"] == "LIVE", run.get("reason")
    return deployed.get("/movies/1/similar")


def sweep(world: World) -> None:
    """The schedule comes round."""
    name = world.cloud.outputs["SweeperFunction"]
    answer = world.cloud.client("lambda").invoke(FunctionName=name, Payload=b"{}")
    assert "FunctionError" not in answer


@pytest.mark.drill(
    "Clusters",
    injected="the step fails, runs out of memory, or misses its archive; the cluster does not "
    "start, its primary or its core nodes are lost; each with EMR's events told once, twice, "
    "backwards after the end, or never (then the sweep comes round)",
    promised="FAILED with EMR's reason and the place of the logs, the cluster ended, one "
    "notification, the run before still answers",
)
@pytest.mark.parametrize("told", TOLD)
def test_a_cluster_that_fails_fails_its_run_once(
    world: World, answer: tuple[int, Any], observed: Observed, told: Any
) -> None:
    inbox = Inbox(world)
    for number, (name, (script, reason)) in enumerate(ENDS.items()):
        folder = f"{name}, told {told}"
        world.cloud.player.script = Script(
            step=script.step, cluster=script.cluster, says=script.says, events=told
        )
        world.drop(folder, files(ratings(seed=100 * TOLD.index(told) + number)))
        run = world.wait_for_run(folder, "STARTING", "RUNNING", "FAILED")
        cluster = world.wait_for_cluster(run["run_id"], *ENDED)
        if told == "lost":
            sweep(world)
        run = world.wait_for_run(folder, "FAILED")
        assert reason in run["reason"] or "STEP_FAILURE" in run["reason"], run
        assert run["cluster_id"] == cluster["Id"]
        assert run["log_uri"].endswith(f"/logs/{run['run_id']}/")
        subject = f"similar-titles: FAILED {folder}"
        world.wait_until(lambda: inbox.has(subject), subject)  # noqa: B023
        assert world.cloud.get("/movies/1/similar") == answer
    subjects = [each["Subject"] for each in inbox.told]
    assert sorted(each for each in subjects if "FAILED" in each) == sorted(
        f"similar-titles: FAILED {name}, told {told}" for name in ENDS
    ), "one notification each"
    observed(len(ENDS), f"told {told}: {len(ENDS)} FAILED, {len(ENDS)} notifications")


@pytest.mark.drill(
    "Clusters",
    injected="a step hangs and EMR says nothing; the sweep comes round before and after the "
    "deadline, three times each",
    promised="left alone before it, ended once after it; SWEPT and FAILED told once each",
)
def test_a_cluster_that_hangs_is_ended_at_its_deadline(
    world: World, answer: tuple[int, Any], observed: Observed
) -> None:
    inbox = Inbox(world)
    world.cloud.player.script = Script(step="hangs", events="lost")
    world.drop("hangs", files(ratings(seed=22)))
    run = world.wait_for_run("hangs", "STARTING")
    world.wait_for_cluster(run["run_id"], "RUNNING")
    for _ in range(3):
        sweep(world)
    assert world.wait_for_cluster(run["run_id"], "RUNNING")
    with environment_of(world, "SweeperFunction", DEADLINE_MINUTES="0"):
        for _ in range(3):
            sweep(world)
    world.wait_for_cluster(run["run_id"], *ENDED)
    failed = world.wait_for_run("hangs", "FAILED")
    assert "past its deadline" in failed["reason"]
    world.wait_until(lambda: inbox.has("similar-titles: FAILED hangs"), "a message")
    subjects = [each["Subject"] for each in inbox.told]
    assert subjects.count(f"similar-titles: SWEPT {run['run_id']}") == 1
    assert subjects.count("similar-titles: FAILED hangs") == 1
    assert world.cloud.get("/movies/1/similar") == answer
    observed(6, "RUNNING three times, then ended, told once")


@pytest.mark.drill(
    "Clusters",
    injected="a good run whose events come doubled, backwards or never",
    promised="LIVE all the same, told once",
)
@pytest.mark.parametrize("told", ["doubled", "backwards", "lost"])
def test_a_good_run_goes_live_however_it_is_told_of(
    world: World, observed: Observed, told: Any
) -> None:
    inbox = Inbox(world)
    world.cloud.player.script = Script(events=told)
    world.drop(f"good, {told}", files(ratings(seed=30 + len(told))))
    run = world.wait_for_run(f"good, {told}", "LIVE", "FAILED")
    assert run["state"] == "LIVE", run.get("reason")
    world.wait_for_cluster(run["run_id"], *ENDED)
    subject = f"similar-titles: LIVE good, {told}"
    world.wait_until(lambda: inbox.has(subject), subject)
    assert [each["Subject"] for each in inbox.told] == [subject]
    assert world.runs(f"good, {told}")[0]["state"] == "LIVE"
    observed(1, "LIVE, told once")
