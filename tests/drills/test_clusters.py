"""Clusters fail, hang and die; EMR's events are lost, duplicate, late and out of order."""

import itertools
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer
from freezegun import freeze_time
from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT_ID
from moto.emr import models as emr_models

import index_table
import live_pointer
import runs
from monitor import handler as monitor
from notifier import handler as notifier
from runs.states import State
from sweeper import handler as sweeper
from tests.builders.aws import CONTEXT, Cloud, account, movie_line
from tests.builders.indexed import deliver as index_it
from tests.builders.indexed import drain, finish_run
from tests.conftest import Observed
from tests.drills.test_deliveries import deliver
from tools.sample_events import event, manifest_written

HOPELESS = "ratings.dat: none of its 40 lines is a rating"
OUT_OF_MEMORY = "Step s-1 FAILED: Java heap space"
PRIMARY_LOST = "INSTANCE_FAILURE: The master node was terminated by EC2."
ENDED = {"TERMINATED", "TERMINATING", "TERMINATED_WITH_ERRORS"}
HOUR = timedelta(hours=1)


class People:
    """The subscribers of the topic, who receive what the stream of the runs table causes.

    Attributes:
        messages: subjects and texts, in order.
    """

    def __init__(self, cloud: Cloud, patch: pytest.MonkeyPatch) -> None:
        self.cloud = cloud
        self.messages: list[tuple[str, str]] = []
        self._seen: dict[str, dict[str, Any]] = {}
        for module in (notifier, sweeper):
            patch.setattr(module.sns, "publish", self._hear)
        self.look()
        self.messages.clear()

    def look(self) -> None:
        """Deliver the changes since the last look through the stream."""
        for run in self.cloud.all_runs():
            before = self._seen.get(run["run_id"])
            if run != before:
                self._seen[run["run_id"]] = run
                notifier.lambda_handler(_changed(before, run), CONTEXT)

    def of(self, run_id: str) -> list[str]:
        """The messages about a run, without those about terminated clusters."""
        return [
            text for subject, text in self.messages if run_id in text and "SWEPT" not in subject
        ]

    def _hear(self, **message: str) -> None:
        self.messages.append((message["Subject"], message["Message"]))


def _changed(before: dict[str, Any] | None, after: dict[str, Any]) -> dict[str, Any]:
    """A change of a run as a stream record."""
    serialize = TypeSerializer().serialize
    trigger = event("notifier-run-live")
    change = trigger["Records"][0]["dynamodb"]
    for name, image in (("OldImage", before), ("NewImage", after)):
        change.pop(name, None)
        if image is not None:
            change[name] = {key: serialize(value) for key, value in image.items()}
    return trigger


@pytest.fixture
def served(cloud: Cloud) -> str:
    """The run that is live before anything happens."""
    return finish_run(cloud)


def launch(cloud: Cloud) -> runs.Run:
    """A run whose cluster is starting, with the location of its log."""
    assert deliver(cloud.drop("ml"))
    run = max(cloud.all_runs(), key=lambda each: each["run_id"])
    assert run["state"] == State.STARTING
    assert run["log_uri"]
    return run


@pytest.fixture
def launched(cloud: Cloud, served: str) -> runs.Run:  # noqa: ARG001
    """See `launch`; the run is later than the live one."""
    return launch(cloud)


@pytest.fixture
def people(cloud: Cloud, launched: runs.Run, monkeypatch: pytest.MonkeyPatch) -> People:  # noqa: ARG001
    """See `People`."""
    return People(cloud, monkeypatch)


def news(run: runs.Run, name: str, says: str | None = None) -> dict[str, Any]:
    """One of EMR's events about a run's cluster."""
    trigger = event(f"monitor-{name.replace('cancelled', 'failed')}")
    if name == "step-cancelled":
        trigger["detail"]["state"] = "CANCELLED"
    trigger["detail"] |= {
        "name": f"similar-titles-{run['run_id']}",
        "clusterId": run["cluster_id"],
    }
    trigger["time"] = f"{datetime.now(UTC) + timedelta(minutes=30):%Y-%m-%dT%H:%M:%SZ}"
    if says and name == "cluster-failed":
        code, _, message = says.partition(": ")
        trigger["detail"]["stateChangeReason"] = json.dumps({"code": code, "message": message})
    elif says:
        trigger["detail"]["message"] = says
    return trigger


def tell(people: People, some: Sequence[dict[str, Any]]) -> None:
    """Deliver EMR's events in this order; after each, the stream delivers the changes."""
    for each in some:
        monitor.lambda_handler(each, CONTEXT)
        people.look()


def sweep(people: People, after: timedelta) -> None:
    """Run the sweep after a time."""
    with freeze_time(datetime.now(UTC) + after):
        sweeper.lambda_handler(event("sweeper-schedule"), CONTEXT)
    people.look()


def current(cloud: Cloud, run: runs.Run) -> runs.Run:
    """The run as it is in the table now."""
    now = runs.get(cloud.runs, run["run_id"])
    assert now is not None
    return now


def end(cloud: Cloud, run: runs.Run, words: str | None) -> None:
    """End a run's cluster, with or without a failure message of the job."""
    if words:
        left = json.dumps({"error": "DatasetError", "message": words, "report": []})
        cloud.put(f"runs/{run['run_id']}/failure.json", left, "results")
    cloud.emr.terminate_job_flows(JobFlowIds=[run["cluster_id"]])


def is_ended(cloud: Cloud, run: runs.Run) -> bool:
    """Whether a run's cluster no longer costs anything."""
    found = cloud.emr.describe_cluster(ClusterId=run["cluster_id"])["Cluster"]
    return found["Status"]["State"] in ENDED


def answers_from(cloud: Cloud) -> tuple[str, list[int]]:
    """The live run, and which of its movies 1 to 3 are in the index."""
    pointer = live_pointer.read(cloud.index)
    assert pointer is not None
    items = (
        cloud.index.get_item(Key=index_table.movie_key(pointer.run_id, id)) for id in (1, 2, 3)
    )
    return pointer.run_id, [id for id, item in enumerate(items, 1) if "Item" in item]


def check_failed(people: People, run: runs.Run, served: str, *reasons: str) -> None:
    """Check that a run failed with a reason and one message, and that nothing else changed."""
    cloud = people.cloud
    after = current(cloud, run)
    assert after["state"] == State.FAILED
    assert any(reason in after["reason"] for reason in reasons), after["reason"]
    (text,) = people.of(run["run_id"])
    assert after["reason"] in text
    assert f"Logs: {run['log_uri']}" in text
    assert is_ended(cloud, run)
    assert answers_from(cloud) == (served, [1, 2, 3])


# What happened, as EMR's and the job's words; and the reasons that may be given for it.
FAILURES = {
    "bad data": (["step-running", "step-failed", "cluster-failed"], HOPELESS, (HOPELESS,)),
    "out of memory": (
        ["step-running", "step-failed", "cluster-failed"],
        None,
        (OUT_OF_MEMORY, PRIMARY_LOST),  # whichever comes first
    ),
    "primary lost while it computes": (["step-running", "cluster-failed"], None, (PRIMARY_LOST,)),
}
SAYS = {"step-failed": OUT_OF_MEMORY, "cluster-failed": PRIMARY_LOST}


def orders(events: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """All orders of some events, each of which arrives twice."""
    yield from sorted(set(itertools.permutations(events * 2)))


@pytest.mark.drill(
    "Clusters",
    injected="a step fails because of bad data or lack of memory, or the primary node is lost; "
    "EMR's events arrive twice, in every order",
    promised="FAILED with the job's reason, or else EMR's, and the location of the log; one "
    "notification; the cluster is terminated and the previous run is served",
)
@pytest.mark.parametrize(
    "failure",
    [
        *(name for name, (events, *_) in FAILURES.items() if len(events) < 3),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name, (events, *_) in FAILURES.items()
            if len(events) == 3
        ),
    ],
)
def test_a_failed_cluster_fails_its_run_whatever_the_order_of_its_events(
    observed: Observed, people: People, launched: runs.Run, served: str, failure: str
) -> None:
    cloud = people.cloud
    events, words, reasons = FAILURES[failure]
    end(cloud, launched, words)
    tried = 0
    for order in orders(events):
        cloud.runs.put_item(Item=launched)
        people.look()
        people.messages.clear()
        tell(people, [news(launched, name, SAYS.get(name)) for name in order])
        check_failed(people, launched, served, *reasons)
        assert current(cloud, launched)["actual_cost"]["node_hours"] > 0
        tried += 1
    observed(tried, f"{failure}: FAILED with the reason, notified once")


class NeverReady(emr_models.Cluster):
    """A cluster that failed to start; moto's clusters get their nodes at once and have no code."""

    @property
    def status(self) -> dict[str, Any]:
        """The Status of DescribeCluster."""
        timeline = {"CreationDateTime": self.creation_datetime, "EndDateTime": datetime.now(UTC)}
        code, _, message = PRIMARY_LOST.partition(": ")
        return {
            "State": "TERMINATED_WITH_ERRORS",
            "StateChangeReason": {"Code": code, "Message": message},
            "Timeline": timeline,
        }


def never_ready(cloud: Cloud, cluster_id: str) -> None:
    """A cluster fails to start."""
    cloud.emr.terminate_job_flows(JobFlowIds=[cluster_id])
    region = cloud.emr.meta.region_name
    emr_models.emr_backends[ACCOUNT_ID][region].clusters[cluster_id].__class__ = NeverReady


def ask_launcher(people: People, after: timedelta) -> None:
    """Deliver the waiting messages to the launcher after a time, each twice."""
    for message in people.cloud.messages("LaunchQueue"):
        trigger = event("launcher-dataset-dropped")
        trigger["Records"][0]["body"] = json.dumps(message)
        with freeze_time(datetime.now(UTC) + after):
            for _ in range(2):
                assert deliver(trigger)
        people.look()


@pytest.mark.drill(
    "Clusters",
    injected="a cluster fails to start; EMR's events arrive twice, in every order, or are "
    "lost; then the second cluster also fails to start, or works",
    promised="a second cluster, never a third; LIVE, or FAILED with the reason; one "
    "notification, which mentions the first cluster",
)
@pytest.mark.parametrize("second", ["starts", "fails, too"])
def test_a_failed_start_is_retried_once(
    observed: Observed, monkeypatch: pytest.MonkeyPatch, second: str
) -> None:
    every = [*orders(["step-cancelled", "cluster-failed"]), ("step-cancelled",), ()]
    for order in every:
        with account() as cloud:
            finish_run(cloud)
            first = launch(cloud)
            people = People(cloud, monkeypatch)
            never_ready(cloud, first["cluster_id"])
            tell(people, [news(first, name, SAYS.get(name)) for name in order])
            sweep(people, after=timedelta(minutes=5))
            ask_launcher(people, after=timedelta(minutes=5))
            run = current(cloud, first)
            assert run["state"] == State.STARTING
            assert len({first["cluster_id"], run["cluster_id"]}) == 2
            tell(people, [news(first, name, SAYS.get(name)) for name in order])
            assert current(cloud, first)["cluster_id"] == run["cluster_id"]
            if second == "starts":
                cloud.write_result(run["run_id"], [[movie_line(1, 2)], [movie_line(2)]])
                index_it(manifest_written(run["run_id"]))
                drain(cloud)
                people.look()
            else:
                never_ready(cloud, run["cluster_id"])
                tell(people, [news(run, name, SAYS.get(name)) for name in order])
            sweep(people, after=timedelta(minutes=40))
            ask_launcher(people, after=timedelta(minutes=40))
            state = State.LIVE if second == "starts" else State.FAILED
            assert current(cloud, run)["state"] == state
            (text,) = people.of(run["run_id"])
            assert f"the first one, {first['cluster_id']}, did not start" in text
            assert len([each for each in cloud.clusters() if run["run_id"] in each["Name"]]) == 2
    observed(
        len(every), f"the second cluster {second}: {state}, notified once, never a third cluster"
    )


@pytest.mark.drill(
    "Clusters",
    injected="the same failures with every subset of EMR's events lost; the sweep runs half an "
    "hour later",
    promised="the same; the sweep repairs what the lost events would have changed",
)
@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_whose_events_were_lost_is_found(
    observed: Observed, people: People, launched: runs.Run, served: str, failure: str
) -> None:
    cloud = people.cloud
    events, words, reasons = FAILURES[failure]
    end(cloud, launched, words)
    tried = 0
    for count in range(len(events)):
        for heard in itertools.combinations(events, count):
            cloud.runs.put_item(Item=launched)
            people.look()
            people.messages.clear()
            tell(people, [news(launched, name, SAYS.get(name)) for name in heard])
            sweep(people, after=timedelta(minutes=30))
            check_failed(people, launched, served, "its event was lost", *reasons)
            tried += 1
    observed(tried, f"{failure}: FAILED all the same, notified once")


@pytest.mark.drill(
    "Clusters",
    injected="the result is complete, but then events report a failed step and a dead cluster; "
    "they arrive twice, in every order, before and after S3's event; or S3's event is lost",
    promised="LIVE, one notification: a complete result is used even if its cluster fails",
)
@pytest.mark.parametrize("share", [6, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("comes", ["s3's event comes", "s3's event is lost"])
def test_a_complete_result_goes_live_whatever_its_clusters_events_say(
    observed: Observed, monkeypatch: pytest.MonkeyPatch, comes: str, share: int
) -> None:
    events = ["step-running", "step-failed", "cluster-failed", "s3"]
    every = list(itertools.permutations(events))[::share]
    for order in every:
        with account() as cloud:
            finish_run(cloud)
            run = launch(cloud)
            people = People(cloud, monkeypatch)
            cloud.write_result(
                run["run_id"], [[movie_line(1, 2), movie_line(2, 1)], [movie_line(3)]]
            )
            cloud.emr.terminate_job_flows(JobFlowIds=[run["cluster_id"]])
            for name in order * 2:
                if name != "s3":
                    tell(people, [news(run, name, SAYS.get(name))])
                elif "lost" not in comes:
                    index_it(manifest_written(run["run_id"]))
                    drain(cloud)
                    people.look()
            if "lost" in comes:
                sweep(people, after=HOUR)
                drain(cloud)
                people.look()
            assert current(cloud, run)["state"] == State.LIVE
            assert answers_from(cloud) == (run["run_id"], [1, 2, 3])
            assert len(people.of(run["run_id"])) == 1
    observed(len(every), f"{comes}: LIVE, notified once")


@pytest.mark.drill(
    "Clusters",
    injected="a step hangs; the sweep runs every ten minutes for five hours; the events of the "
    "end arrive late and twice",
    promised="the cluster is terminated at its deadline and not before, the run becomes "
    "FAILED; one notification of each",
)
def test_a_cluster_that_hangs_is_terminated_at_its_deadline(
    observed: Observed, people: People, launched: runs.Run, served: str
) -> None:
    cloud = people.cloud
    tell(people, [news(launched, "step-running")])
    ended_at = None
    for minutes in range(10, 301, 10):
        sweep(people, after=timedelta(minutes=minutes))
        if ended_at is None and is_ended(cloud, launched):
            ended_at = minutes
    assert ended_at in (120, 130), "at DEADLINE_MINUTES, or at the sweep that comes next"
    tell(people, [news(launched, "cluster-failed", PRIMARY_LOST)] * 2)
    check_failed(people, launched, served, "(DeadlineMinutes)")
    assert [subject for subject, _ in people.messages if "SWEPT" in subject] == [
        f"similar-titles: SWEPT {launched['run_id']}"
    ]
    observed(30, f"ended after {ended_at} minutes, notified once")


@pytest.mark.drill(
    "Clusters",
    injected="the archive of native dependencies is missing from the results bucket",
    promised="the run fails before a cluster is launched; the reason has the command that "
    "uploads the archive",
)
def test_a_missing_archive_fails_before_anything_is_paid_for(
    observed: Observed, cloud: Cloud, served: str
) -> None:
    for each in cloud.s3.list_objects_v2(Bucket="results", Prefix="environments/")["Contents"]:
        cloud.s3.delete_object(Bucket="results", Key=each["Key"])
    assert deliver(cloud.drop("ml"))
    run = max(cloud.all_runs(), key=lambda each: each["run_id"])
    assert run["state"] == State.FAILED
    assert "make environment STACK=" in run["reason"]
    assert cloud.clusters() == []
    assert answers_from(cloud) == (served, [1, 2, 3])
    observed(1, f"FAILED: {run['reason']}")
