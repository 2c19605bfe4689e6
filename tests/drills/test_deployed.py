"""The deployed template: many drops at once, Lambda's own limit, poison, and the index rebuilt."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

import runs
from local.cluster import ENDED, Script
from tests.drills.conftest import Observed, builders
from tests.e2e.conftest import World
from tests.e2e.test_operations import operate
from tests.e2e.test_pipeline import clusters, drained, files, ratings

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@contextmanager
def soon_again(world: World, *queues: str) -> Iterator[None]:
    """Queues whose messages come again soon, while the block lasts."""
    sqs, outputs = world.cloud.client("sqs"), world.cloud.outputs
    for queue in queues:
        sqs.set_queue_attributes(QueueUrl=outputs[queue], Attributes={"VisibilityTimeout": "1"})
    try:
        yield
    finally:
        for queue in queues:
            usual = {"VisibilityTimeout": "720"}
            sqs.set_queue_attributes(QueueUrl=outputs[queue], Attributes=usual)


def waiting(world: World, queue: str) -> int:
    """How many messages wait in a queue."""
    name = "ApproximateNumberOfMessages"
    answer = world.cloud.client("sqs").get_queue_attributes(
        QueueUrl=world.cloud.outputs[queue], AttributeNames=[name]
    )
    return int(answer["Attributes"][name])


@pytest.mark.drill(
    "Deliveries",
    injected="50 different folders dropped at once, each of their files twice",
    promised="50 runs, each with its one cluster",
)
def test_fifty_data_sets_at_once_get_a_run_each(world: World, observed: Observed) -> None:
    world.cloud.player.script = Script(step="fails")
    before = clusters(world)
    names = [f"set {number}" for number in range(50)]
    for name in names:
        content = files(ratings(seed=1000 + names.index(name)))
        for _ in range(2):
            world.drop(name, content)
    world.wait_until(lambda: drained(world), "every drop was looked at")
    cloud = builders(world.cloud)
    found = [run for run in cloud.all_runs() if run["folder"] in names]
    assert sorted(run["folder"] for run in found) == sorted(names)
    assert clusters(world) == before + 50
    assert len({run["cluster_id"] for run in found}) == 50
    for run in found:
        world.wait_for_cluster(run["run_id"], *ENDED)
    observed(200, "50 runs, 50 clusters")


@pytest.mark.drill(
    "Crashes",
    injected="EMR launches the cluster and answers late: the launcher is ended by Lambda at its "
    "limit (8 s here), its lease ends, its message comes again",
    promised="the cluster is found; one cluster, and the run goes on",
)
def test_a_launcher_ended_by_lambda_itself_is_followed(world: World, observed: Observed) -> None:
    functions, outputs = world.cloud.client("lambda"), world.cloud.outputs
    cloud = builders(world.cloud)
    before = clusters(world)
    content = files(ratings(seed=41))
    usual = functions.get_function_configuration(FunctionName=outputs["LauncherFunction"])
    functions.update_function_configuration(FunctionName=outputs["LauncherFunction"], Timeout=8)
    try:
        world.drop("late", {"movies.dat": content["movies.dat"]})
        world.wait_until(lambda: drained(world), "half a folder was looked at")
        world.cloud.player.script = Script(step="hangs", answer="late")
        with soon_again(world, "LaunchQueue"):
            world.drop("late", {"ratings.dat": content["ratings.dat"]})
            run = world.wait_for_run("late", "LAUNCHING")
            world.wait_until(lambda: clusters(world) == before + 1, "the cluster is there")
            past = runs.format_time(datetime.now(UTC) - timedelta(seconds=1))
            assert runs.note(cloud.runs, run["run_id"], lease_until=past)
            run = world.wait_for_run("late", "STARTING", "RUNNING")
    finally:
        functions.update_function_configuration(
            FunctionName=outputs["LauncherFunction"], Timeout=usual["Timeout"]
        )
    assert clusters(world) == before + 1
    cluster = world.wait_for_cluster(run["run_id"], "RUNNING")
    item = runs.get(cloud.runs, run["run_id"])
    assert item is not None
    assert item["cluster_id"] == cluster["Id"]
    world.cloud.client("emr").terminate_job_flows(JobFlowIds=[cluster["Id"]])
    failed = world.wait_for_run("late", "FAILED")
    assert "USER_REQUEST" in failed["reason"]
    observed(1, "1 cluster, found by its name")


POISON = {
    "LaunchQueue": ["no JSON", "[]", "null", "{}", '{"detail": {}}', '{"rerun": {"S": "x"}}',
                    json.dumps({"detail": {"bucket": {"name": "x"}, "object": {"key": 5}}}),
                    "\u202e" * 9, "[" * 50_000],
    "IndexQueue": ["no JSON", "[]", "null", "{}", '{"detail": {}}', '{"action": "load"}',
                   '{"action": "load", "run_id": "../x", "part": {}}', "[" * 50_000],
}  # fmt: skip


@pytest.mark.drill(
    "Dependencies",
    injected="messages that nobody can read, in the launcher's and the indexer's queue, with good "
    "drops between them; then `redrive`",
    promised="each reaches the dead-letter queue, before and after the redrive; the good drops get "
    "their runs",
)
def test_poison_ends_in_the_dead_letter_queue(world: World, observed: Observed) -> None:
    world.cloud.player.script = Script(step="fails")
    sqs, outputs = world.cloud.client("sqs"), world.cloud.outputs
    dead = {queue: queue.replace("Queue", "DeadLetterQueue") for queue in POISON}

    def all_dead() -> bool:
        return all(waiting(world, dead[queue]) == len(POISON[queue]) for queue in POISON)

    with soon_again(world, *POISON):
        for number, (queue, bodies) in enumerate(POISON.items()):
            for body in bodies:
                sqs.send_message(QueueUrl=outputs[queue], MessageBody=body)
            world.drop(f"between {number}", files(ratings(seed=50 + number)))
        world.wait_until(all_dead, "all poison is in the dead-letter queues")
        for number in range(len(POISON)):
            world.wait_for_run(f"between {number}", "FAILED")
        said = operate(world, "redrive")
        for queue, bodies in POISON.items():
            assert f"{queue}: {len(bodies)} messages sent again" in said
        world.wait_until(all_dead, "and there again")
    for queue in dead.values():
        sqs.purge_queue(QueueUrl=outputs[queue])
    count = sum(map(len, POISON.values()))
    observed(2 * count, f"{count} of {count} in the dead-letter queues, twice")


@pytest.mark.drill(
    "Disaster",
    injected="the index table is deleted and made empty again; then `rebuild`, once",
    promised="the same answers as before, without a cluster",
)
def test_a_deleted_index_table_is_made_again_with_one_command(
    world: World, observed: Observed
) -> None:
    world.drop("to be rebuilt", files(ratings(seed=61)))
    run = world.wait_for_run("to be rebuilt", "LIVE", "FAILED")
    assert run["state"] == "LIVE", run.get("reason")
    answers = {movie: world.cloud.get(f"/movies/{movie}/similar") for movie in range(1, 16)}
    before, name = clusters(world), world.cloud.outputs["IndexTable"]
    dynamodb = world.cloud.client("dynamodb")
    described = dynamodb.describe_table(TableName=name)["Table"]
    dynamodb.delete_table(TableName=name)
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=described["AttributeDefinitions"],
        KeySchema=described["KeySchema"],
    )
    assert world.cloud.get("/movies/1/similar")[0] == 503
    start = time.monotonic()
    assert run["run_id"] in operate(world, "rebuild")
    world.wait_until(
        lambda: (
            world.runs("to be rebuilt")[0]["state"] == "LIVE"
            and world.cloud.get("/movies/1/similar")[0] == 200
        ),
        "the index is there again",
    )
    seconds = time.monotonic() - start
    for movie, answer in answers.items():
        assert world.cloud.get(f"/movies/{movie}/similar") == answer
    assert clusters(world) == before
    observed(1, f"answers as before after {seconds:.0f} s; 0 clusters")
