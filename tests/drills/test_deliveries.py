"""Events are duplicate, late and out of order, while folders arrive, change and vanish."""

import random
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from freezegun import freeze_time

import runs
from launcher import handler as launcher
from runs.states import State
from tests.builders.aws import CONTEXT, MOVIES, RATINGS, Cloud, account
from tests.conftest import Observed
from tests.drills.conftest import between
from tests.drills.polling import polling
from tools.sample_events import dropped
from tools.sample_events import messages as sent_by_functions

SETTLE = timedelta(seconds=60)
START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
OTHER_RATINGS = RATINGS + "99::1::3::978300760\n"


def deliver(trigger: dict[str, Any]) -> bool:
    """Run the launcher on one message; returns whether it was processed."""
    return not launcher.lambda_handler(trigger, CONTEXT)["batchItemFailures"]


@pytest.fixture
def settling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the launcher wait for folders to settle, as when it is deployed."""
    monkeypatch.setattr(launcher, "settle", SETTLE)
    monkeypatch.setattr(launcher.sqs, "change_message_visibility", lambda **_: None)


@pytest.mark.drill(
    "Deliveries",
    injected="the events of a folder that arrives file by file, one file twice; each event is "
    "delivered repeatedly in random order over two hours, before and after the folder is "
    "settled, while its run proceeds to LIVE",
    promised="one run, one cluster",
)
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("settling")
def test_a_thousand_deliveries_launch_one_cluster(
    cloud: Cloud, observed: Observed, seed: int
) -> None:
    chance = random.Random(seed)
    arrivals = {
        0: ("ratings.dat", RATINGS[:400]),  # an upload that is then repeated whole
        30: ("ratings.dat", RATINGS),
        70: ("movies.dat", MOVIES),
        80: ("README.txt", "welcome, and ignored"),
    }
    steps = {600: State.RUNNING, 2400: State.INDEXING, 4000: State.LIVE}
    deliveries = sorted(
        (
            arrived + chance.choice([0, 1, 61, chance.randint(0, 300), chance.randint(0, 7200)]),
            name,
            START + timedelta(seconds=arrived),
        )
        for arrived, (name, _) in chance.choices([*arrivals.items()], k=500)
    )
    plan = [(second, "deliver", *event) for second, *event in deliveries]
    plan += [(second, "arrive", *file) for second, file in arrivals.items()]
    plan += [(second, "move", state) for second, state in steps.items()]
    with freeze_time(START) as clock:
        for second, what, *details in sorted(plan, key=lambda each: each[0]):
            clock.move_to(START + timedelta(seconds=second))
            if what == "arrive":
                cloud.put(f"ml/{details[0]}", details[1])
            elif what == "move":
                (run,) = cloud.all_runs()
                assert runs.advance(cloud.runs, run["run_id"], details[0], datetime.now(UTC))
            else:
                assert deliver(dropped(f"ml/{details[0]}", at=details[1]))
        waited = cloud.messages("LaunchQueue")
        assert waited, "some came before the folder was settled"
        assert deliver(sent_by_functions(*waited))
    (run,) = cloud.all_runs()
    (cluster,) = cloud.clusters()
    assert run["cluster_id"] == cluster["Id"]
    assert run["state"] == State.LIVE
    observed(len(deliveries), "1 run, 1 cluster")


@pytest.mark.drill(
    "Deliveries",
    injected="the same content is dropped again, then different content under the same name, "
    "then the first content again; after each drop all events are repeated",
    promised="one run per content, none for repeated drops",
)
def test_content_decides_and_not_the_name_or_the_number_of_drops(
    cloud: Cloud, observed: Observed
) -> None:
    triggers: list[dict[str, Any]] = []
    seen = []
    for ratings in (RATINGS, RATINGS, OTHER_RATINGS, OTHER_RATINGS, RATINGS):
        triggers += [cloud.drop("ml", ratings=ratings), dropped("ml/movies.dat")]
        assert all(map(deliver, triggers))
        seen.append(len(cloud.clusters()))
    assert seen == [1, 1, 2, 2, 2]
    assert len({run["fingerprint"] for run in cloud.all_runs()}) == len(cloud.all_runs()) == 2
    observed(5, f"{len(cloud.all_runs())} runs, {len(cloud.clusters())} clusters")


@pytest.mark.drill(
    "Deliveries",
    injected="fifty folders with different content are dropped at once; all events arrive "
    "twice, in random order, in batches of ten",
    promised="fifty runs with one cluster each",
)
def test_fifty_folders_at_once_become_fifty_runs(cloud: Cloud, observed: Observed) -> None:
    chance = random.Random(3)
    for number in range(50):
        cloud.drop(f"set-{number}", ratings=RATINGS + f"{100 + number}::1::3::978300760\n")
    records = [
        dropped(f"set-{number}/{name}")["Records"][0]
        for number in range(50)
        for name in ("ratings.dat", "movies.dat")
    ] * 2
    chance.shuffle(records)
    records = [each | {"messageId": str(place)} for place, each in enumerate(records)]
    for start in range(0, len(records), 10):
        assert deliver({"Records": records[start : start + 10]})
    made = cloud.all_runs()
    assert sorted(run["folder"] for run in made) == sorted(f"set-{k}" for k in range(50))
    assert {run["cluster_id"] for run in made} == {each["Id"] for each in cloud.clusters()}
    assert len(cloud.clusters()) == 50
    observed(len(records), f"{len(made)} runs, {len(cloud.clusters())} clusters")


@pytest.mark.drill(
    "Deliveries",
    injected="an empty ratings file comes first; then it is uploaded again every 20 seconds for "
    "an hour, with other content each time",
    promised="nothing fails or reaches the dead-letter queue; when the folder rests, one run with "
    "its last content",
)
def test_a_folder_that_does_not_come_to_rest_waits_and_does_not_fail(
    cloud: Cloud, observed: Observed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "settle", SETTLE)
    uploads = 0
    with polling(cloud) as poller:
        start = datetime.now(UTC)
        cloud.put("ml/movies.dat", MOVIES)
        cloud.put("ml/ratings.dat", "")
        poller.put("LaunchQueue", dropped("ml/ratings.dat"))

        def upload_again(_: int) -> nullcontext[None]:
            nonlocal uploads
            while datetime.now(UTC) < start + timedelta(hours=1):
                uploads += 1
                cloud.put("ml/ratings.dat", RATINGS + f"99::1::{uploads % 5 + 1}::{uploads}\n")
                poller.put("LaunchQueue", dropped("ml/ratings.dat"))
                poller.clock.tick(timedelta(seconds=19))
                if uploads % 2:  # every other upload is seen
                    break
            return nullcontext()

        worked = poller.work_off("LaunchQueue", upload_again)
        assert poller.left("LaunchQueue-dead") == 0
    assert worked.back == 0
    assert uploads == 180
    (run,) = cloud.all_runs()
    (cluster,) = cloud.clusters()
    assert run["cluster_id"] == cluster["Id"]
    assert f"::{uploads}\n" in input_of(cloud, run)[0]
    assert worked.took < timedelta(minutes=63)
    observed(uploads, f"1 run after {worked.delivered} deliveries, none of which failed")


@dataclass
class Change:
    """A change of the folder just before one of the launcher's calls.

    Attributes:
        before: the number of that call, from 1.
        happen: it.
        calls: how many calls were made.
    """

    before: int
    happen: Callable[[], object]
    calls: int = 0

    def __call__(self, operation: str, parameters: dict, carry_out: Callable[[], Any]) -> Any:
        """Change the folder, and copy as S3 does: moto lacks CopySourceIfMatch."""
        self.calls += 1
        if self.calls == self.before:
            self.happen()
        if operation == "CopyObject" and "CopySourceIfMatch" in parameters:
            try:
                is_there = launcher.s3.head_object(**parameters["CopySource"])
            except ClientError:
                is_there = {"ETag": None}
            if is_there["ETag"] != parameters["CopySourceIfMatch"]:
                error = {"Code": "PreconditionFailed", "Message": "it is another one"}
                raise ClientError({"Error": error}, operation)
        return carry_out()


def folders_that_change(change: str) -> Iterator[tuple[Cloud, Change, dict[str, Any]]]:
    """A folder for each of the launcher's calls, before which it changes."""
    number = 1
    while True:
        with account() as cloud:
            trigger = cloud.drop("ml")
            happens = {
                "deleted": lambda: cloud.s3.delete_object(Bucket="datasets", Key="ml/movies.dat"),
                "replaced": lambda: cloud.put("ml/ratings.dat", OTHER_RATINGS),
            }
            hand = Change(number, happens[change])
            with between(hand):
                deliver(trigger)
            if hand.calls < number:
                return
            yield cloud, hand, trigger
        number += 1


@pytest.mark.drill(
    "Deliveries",
    injected="a file of the folder is deleted or replaced just before each AWS call of the "
    "launcher; then the complete folder is dropped again",
    promised="no cluster computes on mixed content; the final content of the folder gets one "
    "cluster",
)
@pytest.mark.parametrize("change", ["deleted", "replaced"])
def test_a_folder_that_changes_during_the_launch_is_never_computed_half(
    observed: Observed, change: str
) -> None:
    contents = {"deleted": RATINGS, "replaced": OTHER_RATINGS}
    tried = failed = 0
    for cloud, _, trigger in folders_that_change(change):
        tried += 1
        with freeze_time(datetime.now(UTC) + timedelta(minutes=13), tick=True):
            again = cloud.drop("ml", ratings=contents[change])
            for each in (trigger, again, dropped("ml/movies.dat")):
                assert deliver(each)
        good = [run for run in cloud.all_runs() if run["state"] == State.STARTING]
        bad = [run for run in cloud.all_runs() if run["state"] == State.FAILED]
        assert {run["cluster_id"] for run in good} == {each["Id"] for each in cloud.clusters()}
        assert len(good) + len(bad) == len(cloud.all_runs())
        assert all("was replaced while the run was being prepared" in run["reason"] for run in bad)
        inputs = [input_of(cloud, run) for run in good]
        assert set(inputs) <= {(RATINGS, MOVIES), (OTHER_RATINGS, MOVIES)}
        assert inputs.count((contents[change], MOVIES)) == 1
        failed += len(bad)
    assert failed > 0
    observed(tried, f"{change}: {failed} runs failed with the reason, none on half a content")


def input_of(cloud: Cloud, run: runs.Run) -> tuple[str, str]:
    """The files that a run's cluster reads."""
    ratings, movies = (
        cloud.s3.get_object(Bucket="results", Key=f"runs/{run['run_id']}/input/{name}")["Body"]
        .read()
        .decode()
        for name in ("ratings.dat", "movies.dat")
    )
    return ratings, movies
