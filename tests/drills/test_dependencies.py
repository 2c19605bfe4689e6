"""AWS throttles, fails, is slow, loses responses, and processes requests only partly."""

import math
import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from freezegun import freeze_time

import index_table
from launcher import handler as launcher
from query import handler as query
from runs.states import State
from tests.builders.aws import CONTEXT, Cloud, movie_line
from tests.builders.indexed import movies_of, state_of
from tests.builders.lines import as_text
from tests.conftest import Observed
from tests.drills.conftest import between
from tests.drills.faults import Fault, Weather, weather
from tests.drills.polling import polling
from tools.sample_events import event, manifest_written

SDK_ATTEMPTS = 3  # AWS_MAX_ATTEMPTS in template.yaml
LONGEST_WAIT = 20.0  # seconds
PARTS = [[movie_line(number) for number in range(first, first + 30)] for first in (1, 31)]


def check_waits(now: Weather) -> None:
    """Check that the SDK gave up, and that its pauses were bounded and varied."""
    assert max(now.most.values()) <= SDK_ATTEMPTS
    assert now.waits
    assert max(now.waits) <= LONGEST_WAIT
    assert len(set(now.waits)) > len(now.waits) / 2, "waits are spread"


FAULTS: dict[str, dict[str, list[Fault]]] = {
    "DynamoDB throttles": {"dynamodb": ["throttled", "overrun", "broken"]},
    "S3 fails and is slow": {"s3": ["broken", "slow down", "timed out"]},
    "SQS fails": {"sqs": ["throttled", "broken"]},
    "everything fails": {
        "dynamodb": ["throttled", "broken", "timed out", "answer lost"],
        "s3": ["broken", "slow down", "timed out", "answer lost"],
        "sqs": ["broken", "answer lost"],
        "emr": ["throttled", "timed out", "answer lost"],
    },
}


@pytest.mark.drill(
    "Dependencies",
    injected="half of the requests to one service, or a quarter of those to all services, are "
    "throttled, fail with 500 or 503, time out, or lose their response, from the drop to the "
    "index",
    promised="retries are bounded and spread; one run, one cluster; the run is live and "
    "complete; the API responds",
)
@pytest.mark.parametrize("faults", FAULTS.values(), ids=[*FAULTS])
def test_half_of_all_requests_fail_and_nothing_is_lost(
    cloud: Cloud, observed: Observed, faults: dict[str, list[Fault]]
) -> None:
    # If half of all requests failed for hours, the SDK would use up its own quota of retries.
    now = Weather(faults, share=0.25 if len(faults) > 1 else 0.5)
    with polling(cloud) as poller:
        poller.put("LaunchQueue", cloud.drop("ml"))
        first = poller.work_off("LaunchQueue", lambda _: weather(now))
        (run,) = cloud.all_runs()
        (cluster,) = cloud.clusters()
        assert (run["state"], run["cluster_id"]) == (State.STARTING, cluster["Id"])
        cloud.write_result(run["run_id"], PARTS)
        poller.put("IndexQueue", manifest_written(run["run_id"]))
        second = poller.work_off("IndexQueue", lambda _: weather(now))
    assert state_of(cloud, run["run_id"]) == State.LIVE
    assert movies_of(cloud, run["run_id"]) == list(range(1, 61))
    check_waits(now)
    delivered, again = first.delivered + second.delivered, first.back + second.back
    observed(now.hit, f"{delivered} deliveries, {again} came back; LIVE and whole")


@pytest.mark.drill(
    "Dependencies",
    injected="every request to DynamoDB, then to S3, fails until the launcher and the indexer "
    "give up; then the services recover",
    promised="the function gives up after the SDK's attempts, its message is redelivered "
    "within seconds, and the work continues",
)
@pytest.mark.parametrize("service", ["dynamodb", "s3"])
def test_a_service_that_is_down_stops_the_run_for_seconds_and_loses_nothing(
    cloud: Cloud, observed: Observed, service: str
) -> None:
    now = Weather({service: ["broken"]}, share=1)

    def at_first(delivery: int) -> AbstractContextManager[object]:
        return weather(now) if delivery == 1 else nullcontext()

    with polling(cloud) as poller:
        poller.put("LaunchQueue", cloud.drop("ml"))
        launched = poller.work_off("LaunchQueue", at_first)
        (run,) = cloud.all_runs()
        cloud.write_result(run["run_id"], PARTS)
        poller.put("IndexQueue", manifest_written(run["run_id"]))
        indexed = poller.work_off("IndexQueue", at_first)
    assert state_of(cloud, run["run_id"]) == State.LIVE
    assert len(cloud.clusters()) == 1
    assert launched.back == indexed.back == 1
    waited = max(launched.took, indexed.took)
    assert timedelta(0) < waited < timedelta(seconds=10)
    check_waits(now)
    attempts = max(now.most.values())
    observed(now.hit, f"{service}: given up after {attempts} attempts; LIVE seconds later")


@pytest.mark.drill(
    "Dependencies",
    injected="every request of the launcher to DynamoDB, or to EMR after the run is leased, "
    "fails for twenty minutes or permanently",
    promised="an outage of twenty minutes is survived; after a permanent one and five "
    "deliveries the message is in the dead-letter queue",
)
@pytest.mark.parametrize("lasts", [20, 24 * 60], ids=["20 minutes", "a day"])
@pytest.mark.parametrize("service", ["dynamodb", "emr"])
def test_a_fault_is_retried_and_then_reported(
    cloud: Cloud, observed: Observed, service: str, lasts: int
) -> None:
    with polling(cloud) as poller:
        end = datetime.now(UTC) + timedelta(minutes=lasts)
        now = Weather({service: ["broken"]}, share=1)
        poller.put("LaunchQueue", cloud.drop("ml"))
        worked = poller.work_off(
            "LaunchQueue", lambda _: weather(now) if datetime.now(UTC) < end else nullcontext()
        )
        dead = poller.left("LaunchQueue-dead")
    is_launched = lasts == 20
    assert (len(cloud.clusters()), dead) == ((1, 0) if is_launched else (0, 1))
    assert worked.delivered == worked.back + is_launched <= 5
    minutes = round(worked.took.total_seconds() / 60)
    said = "cluster by" if is_launched else "set aside after"
    observed(
        now.hit, f"{service}: {said} delivery {worked.delivered}, {minutes} minutes after the first"
    )


PART_MOVIES = 1_068  # of ml-10M100K's ten parts


class Clock:
    """A clock that sleeping and other events advance.

    Attributes:
        now: seconds.
        waits: what was slept, each.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.waits.append(seconds)


class Rationed:
    """A hook that limits DynamoDB's write units per second; the bucket starts empty.

    Attributes:
        clock: which its requests move on, too.
        units_a_second: that it takes.
        units: that it has taken.
        refused: items that it handed back, counted each time.
    """

    latency = 0.02  # seconds of a request

    def __init__(self, clock: Clock, units_a_second: float) -> None:
        self.clock, self.units_a_second = clock, units_a_second
        self.units = self.refused = 0

    def __call__(self, operation: str, parameters: dict, carry_out: Callable[[], Any]) -> Any:
        if operation != "BatchWriteItem":
            return carry_out()
        self.clock.now += self.latency
        ((table, requests),) = parameters["RequestItems"].items()
        taken: list[Any] = []
        left: list[Any] = []
        for request in requests:
            item = request["PutRequest"]["Item"]
            units = math.ceil((len(item["pk"]) + len(bytes(item["movie"]))) / 1024)
            has_room = self.units + units <= self.clock.now * self.units_a_second
            (taken if has_room else left).append(request)
            self.units += units if has_room else 0
        self.refused += len(left)
        parameters["RequestItems"][table] = taken
        if not taken:
            code = "ProvisionedThroughputExceededException"
            raise ClientError({"Error": {"Code": code, "Message": "rationed"}}, operation)
        return carry_out() | {"UnprocessedItems": {table: left} if left else {}}


def taking(share: Callable[[int], int], counted: list[int]) -> Callable:
    """A hook that makes DynamoDB process a part of each batch and return the rest."""

    def hand(operation: str, parameters: dict, carry_out: Callable[[], Any]) -> Any:
        if operation != "BatchWriteItem":
            return carry_out()
        ((table, requests),) = parameters["RequestItems"].items()
        taken = share(len(requests))
        counted.append(len(requests) - taken)
        parameters["RequestItems"][table], left = requests[:taken], requests[taken:]
        answer = carry_out() if taken else {"UnprocessedItems": {}}
        return answer | {"UnprocessedItems": {table: left} if left else {}}

    return hand


@pytest.mark.drill(
    "Dependencies",
    injected="DynamoDB processes a random part of each batch and returns the rest as "
    "UnprocessedItems",
    promised="every movie is in the index",
)
def test_unprocessed_items_are_written_again(
    cloud: Cloud, observed: Observed, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(index_table, "time", clock)
    chance, left = random.Random(3), []
    lines = [movie_line(number) for number in range(1, 201)]
    with between(taking(lambda count: chance.randint(0, count), left)):
        index_table.write(cloud.index, "run", map(as_text, lines))
    assert movies_of(cloud, "run") == list(range(1, 201))
    assert sum(left) > 100
    assert len(set(clock.waits)) == len(clock.waits) > 0
    observed(sum(left), "200 of 200 movies in the index")


@pytest.mark.drill(
    "Dependencies",
    injected="a new table accepts 4,000 write units a second, shared by two indexers; it "
    "returns unprocessed items or rejects whole batches; with default lists and with 500 "
    "neighbours",
    promised="a part is written on its first delivery, in little more time than its write "
    "units require",
)
@pytest.mark.parametrize("item_bytes", [6_100, 43_000], ids=["usual lists", "500 neighbours"])
def test_a_new_table_is_loaded_as_fast_as_it_accepts_writes(
    cloud: Cloud, observed: Observed, monkeypatch: pytest.MonkeyPatch, item_bytes: int
) -> None:
    clock = Clock()
    monkeypatch.setattr(index_table, "time", clock)
    chance = random.Random(5)
    lines = [
        movie_line(number) | {"title": chance.randbytes(item_bytes).hex()}
        for number in range(1, PART_MOVIES + 1)
    ]
    rationed = Rationed(clock, units_a_second=2_000)
    with between(rationed):
        index_table.write(cloud.index, "run", map(as_text, lines))
    pages = cloud.index.meta.client.get_paginator("scan").paginate(TableName=cloud.index.name)
    assert sum(page["Count"] for page in pages) == PART_MOVIES
    assert rationed.units > PART_MOVIES * item_bytes // 1024
    shortest = rationed.units / rationed.units_a_second
    assert clock.now < 1.5 * shortest + 1
    assert clock.now < index_table.WRITE_TIMEOUT
    observed(
        rationed.refused,
        f"{rationed.units:,} write units in {clock.now:.0f} s; {shortest:.0f} s at the least",
    )


@pytest.mark.drill(
    "Dependencies",
    injected="DynamoDB processes no item of any batch",
    promised="the indexer gives up after a bounded time, and its message is redelivered a "
    "minute later",
)
def test_a_table_that_accepts_no_writes_ends_the_attempt(
    cloud: Cloud, observed: Observed, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(index_table, "time", clock)
    left: list[int] = []
    with between(taking(lambda _: 0, left)), pytest.raises(index_table.BusyTableError) as given_up:
        index_table.write(cloud.index, "run", [as_text(movie_line(1))])
    assert len(left) < 60
    assert clock.now <= index_table.WRITE_TIMEOUT, "well within the function's two minutes"
    assert given_up.value.seconds == 60
    observed(len(left), f"given up after {len(left)} requests")


@pytest.mark.drill(
    "Dependencies",
    injected="EMR throttles RunJobFlow, then loses its response, then throttles ListClusters; "
    "each time the message is redelivered",
    promised="one cluster in the end; the SDK never repeats RunJobFlow",
)
def test_throttling_and_lost_responses_of_emr_launch_one_cluster(
    cloud: Cloud, observed: Observed
) -> None:
    trigger = cloud.drop("ml")
    stages: list[tuple[str, Fault]] = [
        ("emr.RunJobFlow", "throttled"),
        ("emr.RunJobFlow", "timed out"),
        ("emr.CreateSecurityConfiguration", "throttled"),
        ("emr.RunJobFlow", "answer lost"),
        ("emr.ListClusters", "throttled"),
    ]
    hits = 0
    for number, (operation, fault) in enumerate(stages):
        with (
            freeze_time(datetime.now(UTC) + number * timedelta(minutes=13)),
            weather(Weather({operation: [fault]}, share=1)) as now,
        ):
            came_back = launcher.lambda_handler(trigger, CONTEXT)["batchItemFailures"]
        assert bool(came_back) == (fault != "throttled"), "waiting is not failing"
        attempts = 1 if operation == "emr.RunJobFlow" else 3
        assert now.hit == attempts, "RunJobFlow is called once"
        assert cloud.all_runs()[0]["state"] == State.LAUNCHING
        hits += now.hit
    with freeze_time(datetime.now(UTC) + len(stages) * timedelta(minutes=13)):
        assert launcher.lambda_handler(trigger, CONTEXT) == {"batchItemFailures": []}
    (run,) = cloud.all_runs()
    (cluster,) = cloud.clusters()
    assert run["cluster_id"] == cluster["Id"]
    observed(hits, "1 cluster")


@pytest.mark.drill(
    "Dependencies",
    injected="EMR throttles every RunJobFlow for six hours, while the event of the folder is "
    "delivered again every half an hour",
    promised="the next try follows within seconds and later every five minutes; nothing fails or "
    "reaches the dead-letter queue; the run says what it waits for; one cluster in the end",
)
def test_a_launch_that_is_throttled_for_hours_waits_and_does_not_fail(
    cloud: Cloud, observed: Observed
) -> None:
    now = Weather({"emr.RunJobFlow": ["throttled"]}, share=1)
    told = set()
    tries: list[datetime] = []
    with polling(cloud) as poller:
        trigger = cloud.drop("ml")
        poller.put("LaunchQueue", trigger)
        start = datetime.now(UTC)
        repeated = [start + timedelta(minutes=half) for half in range(30, 360, 30)]

        def at_a_delivery(_: int) -> AbstractContextManager[object]:
            told.update(run.get("waits_for", "")[:13] for run in cloud.all_runs())
            tries.append(datetime.now(UTC))
            while repeated and tries[-1] > repeated[0]:
                repeated.pop(0)
                poller.put("LaunchQueue", trigger)
            is_over = tries[-1] > start + timedelta(hours=6)
            return nullcontext() if is_over else weather(now)

        worked = poller.work_off("LaunchQueue", at_a_delivery)
        assert poller.left("LaunchQueue-dead") == 0
    (run,) = cloud.all_runs()
    (cluster,) = cloud.clusters()
    assert (run["state"], run["cluster_id"]) == (State.STARTING, cluster["Id"])
    assert worked.back == 0
    assert told == {"EMR throttles"}
    assert "waits_for" not in run
    assert tries[3] - tries[0] < timedelta(minutes=1)
    assert worked.took < timedelta(hours=6, minutes=6)
    assert not repeated
    assert worked.delivered < 120, "one message waits at a time"
    observed(now.hit, f"cluster by delivery {worked.delivered}, minutes after the six hours")


def listing_late(operation: str, _: dict, carry_out: Callable[[], Any]) -> Any:
    """A hook that makes EMR list clusters three minutes after their request."""
    answer = carry_out()
    if operation == "ListClusters":
        seen = datetime.now(UTC) - timedelta(minutes=3)
        answer["Clusters"] = [
            each
            for each in answer["Clusters"]
            if each["Status"]["Timeline"]["CreationDateTime"] <= seen
        ]
    return answer


@pytest.mark.drill(
    "Dependencies",
    injected="EMR's response to RunJobFlow is lost, and EMR lists the cluster only three "
    "minutes later",
    promised="the launcher does not repeat the request before it can see the cluster",
)
def test_a_cluster_that_is_listed_late_is_not_launched_twice(
    cloud: Cloud, observed: Observed
) -> None:
    now = Weather({"emr.RunJobFlow": ["answer lost"]}, share=1)

    def at_first(delivery: int) -> AbstractContextManager[object]:
        return weather(now) if delivery == 1 else nullcontext()

    with polling(cloud) as poller, between(listing_late):
        poller.put("LaunchQueue", cloud.drop("ml"))
        worked = poller.work_off("LaunchQueue", at_first)
    (run,) = cloud.all_runs()
    (cluster,) = cloud.clusters()
    assert (run["state"], run["cluster_id"]) == (State.STARTING, cluster["Id"])
    assert now.hit == 1
    observed(1, f"1 cluster, found {round(worked.took.total_seconds() / 60)} minutes later")


@pytest.mark.drill(
    "Dependencies",
    injected="EMR rejects the cluster because of a quota",
    promised="the run fails at once with EMR's message and costs nothing",
)
def test_a_quota_fails_the_run_with_emrs_message(
    cloud: Cloud, observed: Observed, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "The number of vCPUs exceeds the quota of 16"
    refusal = {"Error": {"Code": "ValidationException", "Message": words}}

    def refuse(**_: object) -> None:
        raise launcher.emr.exceptions.ClientError(refusal, "RunJobFlow")

    monkeypatch.setattr(launcher.emr_once, "run_job_flow", refuse)
    assert launcher.lambda_handler(cloud.drop("ml"), CONTEXT) == {"batchItemFailures": []}
    (run,) = cloud.all_runs()
    assert run["state"] == State.FAILED
    assert words in run["reason"]
    assert cloud.clusters() == []
    observed(1, f"FAILED: {run['reason']}")


@pytest.mark.drill(
    "Dependencies",
    injected="half of the API's requests to DynamoDB and S3 are throttled, fail or are slow",
    promised="every response is correct or a 503",
)
def test_the_api_answers_correctly_or_says_to_try_again(cloud: Cloud, observed: Observed) -> None:
    launcher.lambda_handler(cloud.drop("ml"), CONTEXT)
    run_id = cloud.all_runs()[0]["run_id"]
    cloud.write_result(run_id, PARTS)
    with polling(cloud) as poller:
        poller.put("IndexQueue", manifest_written(run_id))
        poller.work_off("IndexQueue")
    requests = [event("query-similar"), event("query-search"), event("query-runs")]
    requests[0]["path"] = "/movies/1/similar"
    query.lambda_handler(requests[0], CONTEXT)
    faults: dict[str, list[Fault]] = {
        "dynamodb": ["throttled", "overrun", "broken"],
        "s3": ["slow down"],
    }
    with weather(Weather(faults)) as now:
        answers = [query.lambda_handler(each, CONTEXT) for _ in range(50) for each in requests]
    statuses = [answer["statusCode"] for answer in answers]
    assert set(statuses) <= {200, 503}
    assert len({answer["body"] for answer in answers if answer["statusCode"] == 200}) <= 3
    check_waits(now)
    observed(now.hit, f"{statuses.count(200)} answers, all right; {statuses.count(503)} times 503")
