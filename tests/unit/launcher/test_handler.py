"""The launcher: one data set, one run, one cluster, however events are delivered."""

import io
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from freezegun import freeze_time

import datasets
import runs
from launcher import handler as launcher
from launcher import job_package, launch, preparation
from runs import claims
from tests.builders.aws import CONTEXT, MOVIES, RATINGS, Cloud, long_ago
from tests.builders.requests import get
from tools.sample_events import dropped, event


def deliver(trigger: dict) -> list[str]:
    """Run the launcher; returns the ids of the messages to redeliver."""
    answer = launcher.lambda_handler(trigger, CONTEXT)
    return [item["itemIdentifier"] for item in answer["batchItemFailures"]]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The delays, in seconds, that the launcher sets for its messages."""
    asked: list[int] = []

    def note(*, VisibilityTimeout: int, **_: str) -> None:  # noqa: N803
        asked.append(VisibilityTimeout)

    monkeypatch.setattr(launcher.sqs, "change_message_visibility", note)
    return asked


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, dict]]:
    """The messages that the launcher sends itself, each after its delay in seconds."""
    sent: list[tuple[int, dict]] = []

    def note(*, MessageBody: str, DelaySeconds: int, **_: str) -> None:  # noqa: N803
        sent.append((DelaySeconds, json.loads(MessageBody)))

    monkeypatch.setattr(launcher.sqs, "send_message", note)
    return sent


def message(body: dict, sent_at: datetime | None = None) -> dict:
    """The launcher's event for a message that it sent itself."""
    trigger = dropped("ml/ratings.dat", sent_at)
    trigger["Records"][0]["body"] = json.dumps(body)
    return trigger


def redelivered(trigger: dict, deliveries: int) -> dict:
    """The launcher's event with a number of deliveries."""
    trigger["Records"][0]["attributes"]["ApproximateReceiveCount"] = str(deliveries)
    return trigger


def test_a_dropped_folder_launches_its_cluster(cloud: Cloud) -> None:
    assert deliver(cloud.drop("ml")) == []

    (run,) = cloud.all_runs()
    (cluster,) = cloud.clusters()
    assert run["state"] == "STARTING"
    assert run["folder"] == "ml"
    assert run["cluster_id"] == cluster["Id"]
    assert cluster["Name"] == f"similar-titles-{run['run_id']}"
    assert set(run["timeline"]) == {"CHECKING", "LAUNCHING", "STARTING"}


def test_a_folder_name_that_looks_url_encoded_is_not_decoded(cloud: Cloud) -> None:
    """EventBridge events have the plain key; S3 event notifications have it URL-encoded."""
    assert deliver(cloud.drop("my c++ films %41")) == []

    (run,) = cloud.all_runs()
    assert (run["state"], run["folder"]) == ("STARTING", "my c++ films %41")


def test_a_run_records_its_request_its_cost_and_what_the_intake_check_found(cloud: Cloud) -> None:
    deliver(cloud.drop("ml", ratings=RATINGS + "nonsense\n"))

    (run,) = cloud.all_runs()
    request = json.loads(run["request"])
    assert request["Name"] == f"similar-titles-{run['run_id']}"
    assert request["SecurityConfiguration"].startswith("similar-titles-")
    cloud.emr.describe_security_configuration(Name=request["SecurityConfiguration"])
    assert run["estimated_cost"]["usd"] > 0
    assert (run["instance_type"], run["nodes"]) == ("m5.xlarge", 4)
    (ratings, movies) = run["intake"]
    assert (ratings["file"], ratings["lines"], ratings["defects"]) == (
        "ratings.dat", 41, {"columns": 1},
    )  # fmt: skip
    assert ratings["samples"][0]["line"] == "nonsense"
    assert (movies["file"], movies["defects"]) == ("movies.dat", {})


def test_an_unusable_folder_fails_with_the_report_of_the_intake_check(cloud: Cloud) -> None:
    deliver(cloud.drop("ml", ratings="nonsense\n" * 9))
    (run,) = cloud.all_runs()
    assert run["state"] == "FAILED"
    assert run["intake"][0]["defects"] == {"columns": 9}
    assert cloud.clusters() == []


def test_a_run_beyond_the_budget_is_refused_with_both_figures(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = replace(launcher.settings, max_run_cost=Decimal("0.05"))
    monkeypatch.setattr(launcher, "launcher", replace(launcher.launcher, settings=strict))
    deliver(cloud.drop("ml"))
    (run,) = cloud.all_runs()
    assert run["state"] == "FAILED"
    assert "would cost about 0.14 USD" in run["reason"]
    assert "MaxRunCost is 0.05 USD" in run["reason"]
    assert cloud.clusters() == []


def test_a_redelivered_event_launches_no_second_cluster(cloud: Cloud) -> None:
    trigger = cloud.drop("ml")
    for _ in range(3):
        deliver(trigger)
    deliver(dropped("ml/movies.dat"))

    assert len(cloud.clusters()) == len(cloud.all_runs()) == 1


def second_cluster_requested(run_id: str) -> dict:
    """The launcher's event for a run whose first cluster failed to start."""
    trigger = dropped("ml/ratings.dat")
    trigger["Records"][0]["body"] = json.dumps({"second_cluster": run_id})
    return trigger


def failed_to_start(cloud: Cloud) -> dict:
    """A run whose cluster has failed to start."""
    deliver(cloud.drop("ml"))
    (run,) = cloud.all_runs()
    cloud.emr.terminate_job_flows(JobFlowIds=[run["cluster_id"]])
    failed = {"cluster_id": run["cluster_id"], "reason": "INTERNAL_ERROR", "cost": None}
    assert claims.await_second_cluster(cloud.runs, run["run_id"], failed, datetime.now(UTC))
    return run


def test_a_run_gets_its_second_cluster_and_no_third_however_often_it_is_requested(
    cloud: Cloud,
) -> None:
    first = failed_to_start(cloud)
    for _ in range(3):
        assert deliver(second_cluster_requested(first["run_id"])) == []
        assert deliver(dropped("ml/movies.dat")) == []
    (run,) = cloud.all_runs()
    assert run["state"] == "STARTING"
    assert run["cluster_id"] != first["cluster_id"]
    assert run["request"] == first["request"]
    assert len(cloud.clusters()) == 2
    assert {each["Name"] for each in cloud.clusters()} == {f"similar-titles-{run['run_id']}"}
    assert not claims.await_second_cluster(
        cloud.runs, run["run_id"], {"cluster_id": run["cluster_id"]}, datetime.now(UTC)
    )


@pytest.mark.usefixtures("waits")
def test_a_second_cluster_whose_response_was_lost_is_found(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = failed_to_start(cloud)
    launch_cluster = launcher.emr_once.run_job_flow

    def lost(**request: object) -> None:
        launch_cluster(**request)
        raise ReadTimeoutError(endpoint_url="https://emr")

    with monkeypatch.context() as patched:
        patched.setattr(launcher.emr_once, "run_job_flow", lost)
        assert deliver(second_cluster_requested(run["run_id"])) != []
    with freeze_time(datetime.now(UTC) + timedelta(minutes=5)):
        assert deliver(second_cluster_requested(run["run_id"])) == []
    assert len(cloud.clusters()) == 2
    (now,) = cloud.all_runs()
    assert now["state"] == "STARTING"


def test_a_throttled_list_of_clusters_is_retried_at_once_and_a_launch_is_not() -> None:
    assert launcher.emr.meta.config.retries["total_max_attempts"] > 1
    assert launcher.emr_once.meta.config.retries["total_max_attempts"] == 1


def test_a_slow_multipart_upload_counts_from_its_completion(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, later: list[tuple[int, dict]]
) -> None:
    monkeypatch.setattr(launcher, "settle", timedelta(seconds=60))
    trigger = cloud.drop("ml")
    with freeze_time(datetime.now(UTC) + timedelta(minutes=9)):  # S3 names the upload's beginning
        body = json.loads(trigger["Records"][0]["body"])
        body["time"] = runs.format_time(datetime.now(UTC) - timedelta(seconds=10))
        trigger["Records"][0]["body"] = json.dumps(body)
        assert deliver(trigger) == []
    ((wait, again),) = later
    assert 49 <= wait <= 51
    assert again == body
    assert cloud.clusters() == []


def test_the_same_files_dropped_again_launch_nothing(cloud: Cloud) -> None:
    deliver(cloud.drop("ml"))
    deliver(cloud.drop("ml"))

    assert len(cloud.clusters()) == 1


def test_one_changed_file_gets_exactly_one_new_run(cloud: Cloud) -> None:
    deliver(cloud.drop("ml"))
    trigger = cloud.drop("ml", ratings=RATINGS + "99::1::3::978300760\n")
    deliver(trigger)
    deliver(dropped("ml/movies.dat"))

    assert len(cloud.clusters()) == 2


def test_an_incomplete_folder_waits_for_its_missing_file(cloud: Cloud) -> None:
    cloud.put("ml/ratings.dat", RATINGS)
    assert deliver(dropped("ml/ratings.dat")) == []
    assert cloud.all_runs() == []


def test_a_folder_with_an_upload_in_progress_waits_for_it(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Moto's uploads all began in November 2010.
    monkeypatch.setattr(datasets, "ABANDONED_AFTER", timedelta(days=40_000))
    with freeze_time("2010-11-01"):
        trigger = cloud.drop("ml")
    upload = cloud.s3.create_multipart_upload(Bucket="datasets", Key="ml/ratings.dat")
    assert deliver(trigger) == []
    assert cloud.all_runs() == []

    cloud.s3.abort_multipart_upload(
        Bucket="datasets", Key="ml/ratings.dat", UploadId=upload["UploadId"]
    )
    deliver(trigger)
    assert len(cloud.clusters()) == 1


def test_a_changed_folder_is_checked_again_when_it_may_be_settled_as_often_as_it_takes(
    cloud: Cloud, later: list[tuple[int, dict]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "settle", timedelta(minutes=5))
    trigger = cloud.drop("ml")
    start = datetime.now(UTC)
    for number in range(10):  # the folder changes, and its newest event is delivered again
        with freeze_time(start + number * timedelta(minutes=4)):
            cloud.put("ml/movies.dat", f"1::Heat {number} (1995)::Crime\n")
            assert deliver(dropped("ml/movies.dat")) == []
    assert len(later) == 10
    assert all(200 <= wait <= 300 for wait, _ in later)
    with freeze_time(start + timedelta(minutes=42)):
        assert deliver(message(later[-1][1])) == []
    assert len(cloud.clusters()) == 1
    assert deliver(trigger) == []
    assert len(cloud.clusters()) == 1


def test_the_event_of_an_older_file_does_not_wait_for_the_newer_ones(
    cloud: Cloud, later: list[tuple[int, dict]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "settle", timedelta(minutes=5))
    cloud.drop("ml")
    assert deliver(dropped("ml/ratings.dat", at=datetime.now(UTC) - timedelta(seconds=30))) == []
    assert later == []
    assert cloud.all_runs() == []


def test_an_irrelevant_file_is_ignored(cloud: Cloud) -> None:
    cloud.drop("ml")
    assert deliver(dropped("ml/myratings.dat")) == []
    assert cloud.all_runs() == []


@pytest.mark.parametrize("name", ["tags.csv", "genome-scores.csv", "genome-tags.csv", "links.csv"])
def test_optional_files_are_no_data_set_of_their_own(cloud: Cloud, name: str) -> None:
    cloud.put(f"ml/{name}", "1,1,1\n")
    assert deliver(dropped(f"ml/{name}")) == []
    assert cloud.all_runs() == []


@pytest.mark.parametrize(
    ("name", "content"),
    [("tags.csv", "1,1,pixar,0\n"), ("links.csv", "movieId,imdbId,tmdbId\n1,0114709,862\n")],
)
def test_tags_and_links_are_copied_if_present_and_do_not_change_the_data_set(
    cloud: Cloud, name: str, content: str
) -> None:
    cloud.put(f"ml/{name}", content)
    cloud.put("ml/ratings.csv", RATINGS.replace("::", ","))
    cloud.put("ml/movies.csv", MOVIES.replace("::", ","))
    deliver(dropped("ml/movies.csv"))
    (run,) = cloud.all_runs()
    key = f"runs/{run['run_id']}/input/{name}"
    copied = cloud.s3.get_object(Bucket="results", Key=key)["Body"].read()
    assert copied.decode() == content

    cloud.put(f"ml/{name}", content + content)
    assert deliver(dropped("ml/ratings.csv")) == deliver(dropped(f"ml/{name}")) == []
    assert len(cloud.all_runs()) == len(cloud.clusters()) == 1


def test_input_and_code_are_copied_under_the_run(cloud: Cloud) -> None:
    deliver(cloud.drop("ml"))
    (run,) = cloud.all_runs()
    cloud.drop("ml", ratings="replaced while the cluster starts")

    def read(name: str) -> bytes:
        key = f"runs/{run['run_id']}/{name}"
        return cloud.s3.get_object(Bucket="results", Key=key)["Body"].read()

    assert read("input/ratings.dat").decode() == RATINGS
    assert b"from spark.job import main" in read("code/similarity_job.py")
    assert read("code/bootstrap.sh").startswith(b"#!/bin/bash\n")
    with zipfile.ZipFile(io.BytesIO(read("code/job.zip"))) as package:
        modules = {
            path.relative_to(job_package.JOB_FOLDER.parent).as_posix()
            for path in job_package.JOB_FOLDER.rglob("*.py")
        } - {"spark/similarity_job.py"}
        assert modules == {name for name in package.namelist() if name.endswith(".py")}


def test_a_warm_launcher_does_not_build_the_jobs_package_again() -> None:
    assert job_package.package() is job_package.package()


def test_the_jobs_package_runs_from_its_bytecode_in_a_read_only_folder(
    tmp_path: Path,
) -> None:
    with zipfile.ZipFile(io.BytesIO(job_package.package())) as package:
        package.extractall(tmp_path)
    sources = [*tmp_path.rglob("*.py")]
    assert len(sources) > 20
    for source in sources:  # unchecked bytecode runs whatever has become of its source
        source.write_text("raise SystemExit('compiled again')")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from spark import storage; print(storage.__file__)",
        ],
        env={"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == str(tmp_path / "spark/storage.py"), done.stderr


def test_an_unknown_instance_type_fails_the_run_before_it_costs_anything(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(launcher.settings, instance_type="x9.huge")
    monkeypatch.setattr(launcher, "launcher", replace(launcher.launcher, settings=settings))
    assert deliver(cloud.drop("ml")) == []
    (run,) = cloud.all_runs()
    assert run["state"] == "FAILED"
    assert run["reason"].startswith("InstanceType x9.huge is unknown: choose one of m5.xlarge, ")
    assert cloud.clusters() == []


def test_an_odd_folder_name_is_used_unchanged(cloud: Cloud) -> None:
    deliver(cloud.drop("my data/50% ü+1"))
    (run,) = cloud.all_runs()
    assert run["folder"] == "my data/50% ü+1"


def test_an_unusable_folder_fails_its_run_and_costs_nothing(cloud: Cloud) -> None:
    assert deliver(cloud.drop("ml", ratings="garbage\n" * 100)) == []

    (run,) = cloud.all_runs()
    assert run["state"] == "FAILED"
    assert "ratings.dat: 100 of 100 sampled lines are malformed (columns 100)" in run["reason"]
    assert cloud.clusters() == []


def test_a_file_that_is_replaced_meanwhile_fails_the_run(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replaced(**request: str) -> None:  # moto does not know the condition
        assert request["CopySourceIfMatch"] == listed[request["Key"].rpartition("/")[2]]
        error = {"Code": "PreconditionFailed", "Message": "At least one did not hold"}
        raise ClientError({"Error": error}, "CopyObject")

    trigger = cloud.drop("ml")
    objects = cloud.s3.list_objects_v2(Bucket="datasets")["Contents"]
    listed = {item["Key"].rpartition("/")[2]: item["ETag"] for item in objects}
    monkeypatch.setattr(launcher.s3, "copy_object", replaced)
    assert deliver(trigger) == []
    (run,) = cloud.all_runs()
    assert "ratings.dat was replaced while the run was being prepared" in run["reason"]
    assert cloud.clusters() == []


def test_a_missing_environment_fails_the_run_with_the_command_that_builds_it(cloud: Cloud) -> None:
    (archive,) = cloud.s3.list_objects_v2(Bucket="results")["Contents"]
    cloud.s3.delete_object(Bucket="results", Key=archive["Key"])
    assert deliver(cloud.drop("ml")) == []
    (run,) = cloud.all_runs()
    assert run["state"] == "FAILED"
    assert f"s3://results/{archive['Key']} does not exist: run `make environment" in run["reason"]
    assert cloud.clusters() == []


def test_a_folder_with_two_formats_fails_its_run(cloud: Cloud) -> None:
    cloud.put("ml/ratings.csv", "userId,movieId,rating,timestamp\n1,1,4.0,1\n")
    cloud.put("ml/movies.csv", "movieId,title,genres\n1,Heat (1995),Crime\n")
    deliver(cloud.drop("ml"))
    (run,) = cloud.all_runs()
    assert "keep the files of one format" in run["reason"]


def test_an_event_from_before_the_failure_does_not_start_the_run_again(cloud: Cloud) -> None:
    deliver(cloud.drop("ml", ratings="garbage\n"))
    deliver(dropped("ml/movies.dat", at=long_ago()))
    assert len(cloud.all_runs()) == 1


def test_a_failed_data_set_dropped_again_gets_another_attempt(cloud: Cloud) -> None:
    deliver(cloud.drop("ml"))
    (first,) = cloud.all_runs()
    runs.fail(cloud.runs, first["run_id"], "the step FAILED", datetime.now(UTC))

    deliver(cloud.drop("ml"))

    _, second = sorted(cloud.all_runs(), key=lambda run: run["run_id"])
    assert second["attempt"] == 2
    assert len(cloud.clusters()) == 2


def test_a_launcher_that_died_before_its_request_is_followed_by_another(
    cloud: Cloud, waits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger = cloud.drop("ml")
    with monkeypatch.context() as patch:
        patch.setattr(preparation, "cluster_request", dies)
        with pytest.raises(KilledError):
            deliver(trigger)
    assert cloud.clusters() == []

    assert deliver(dropped("ml/movies.dat")) == [], "the other file's message is not needed"
    assert deliver(redelivered(trigger, 2)) != [], "its own is, when the dead launcher's lease ends"
    assert cloud.clusters() == []
    assert waits
    with freeze_time(datetime.now(UTC) + launch.LEASE, tick=True):
        assert deliver(redelivered(trigger, 3)) == []

    (run,) = cloud.all_runs()
    assert run["state"] == "STARTING"
    assert len(cloud.clusters()) == 1
    assert deliver(redelivered(trigger, 4)) == []


def test_a_message_that_waits_for_a_lease_is_retried_soon_and_then_when_it_ends(
    cloud: Cloud, waits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger = cloud.drop("ml")
    with monkeypatch.context() as patch:
        patch.setattr(preparation, "cluster_request", dies)
        with pytest.raises(KilledError):
            deliver(trigger)
    for deliveries in (2, 3, 4):
        deliver(redelivered(trigger, deliveries))
    soon, later, end = waits
    assert soon <= 5 < later <= 60 < end <= launch.LEASE.total_seconds()


def test_a_launch_that_fails_during_its_lease_is_redelivered_when_the_lease_has_ended(
    cloud: Cloud, waits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger = cloud.drop("ml")

    def breaks(**_: object) -> None:
        raise ClientError({"Error": {"Code": "InternalServerError"}}, "RunJobFlow")

    with monkeypatch.context() as patch:
        patch.setattr(launcher.emr_once, "run_job_flow", breaks)
        assert deliver(trigger) != []
    (wait,) = waits
    assert launch.LEASE / 2 < timedelta(seconds=wait) <= launch.LEASE
    with freeze_time(datetime.now(UTC) + timedelta(seconds=wait), tick=True):
        assert deliver(redelivered(trigger, 2)) == []
    assert len(cloud.clusters()) == 1


def test_a_fault_before_the_claim_delays_the_launch_by_seconds(
    cloud: Cloud, waits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger = cloud.drop("ml")
    with monkeypatch.context() as patch:
        patch.setattr(claims, "claim", lambda *_, **__: 1 / 0)
        assert deliver(trigger) != []
    assert waits
    assert max(waits) <= 5
    assert deliver(redelivered(trigger, 2)) == []
    assert len(cloud.clusters()) == 1


def test_a_cluster_whose_response_was_lost_is_found_again(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger = cloud.drop("ml")
    ask = launcher.emr_once.run_job_flow

    def ask_and_lose_the_answer(**request: object) -> None:
        ask(**request)
        raise ReadTimeoutError(endpoint_url="https://elasticmapreduce")

    with monkeypatch.context() as patch:
        patch.setattr(launcher.emr_once, "run_job_flow", ask_and_lose_the_answer)
        assert len(deliver(trigger)) == 1
    with freeze_time(datetime.now(UTC) + launch.LEASE, tick=True):
        assert deliver(trigger) == []

    (run,) = cloud.all_runs()
    (cluster,) = cloud.clusters()
    assert run["cluster_id"] == cluster["Id"]


@pytest.mark.parametrize(
    ("code", "state"), [("ValidationException", "FAILED"), ("ThrottlingException", "LAUNCHING")]
)
def test_a_rejection_by_emr_fails_the_run_and_throttling_does_not(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, code: str, state: str
) -> None:
    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "no quota"}}, "RunJobFlow")

    monkeypatch.setattr(launcher.emr_once, "run_job_flow", refuse)
    deliver(cloud.drop("ml"))
    (run,) = cloud.all_runs()
    assert run["state"] == state
    assert ("no quota" in run.get("reason", "")) == (state == "FAILED")


def busy(**_: object) -> None:
    """RunJobFlow while EMR throttles it."""
    raise ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, "RunJobFlow")


def test_a_throttled_launch_is_tried_again_within_seconds_and_less_often_later(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, later: list[tuple[int, dict]]
) -> None:
    trigger = cloud.drop("ml")
    with monkeypatch.context() as patched, freeze_time(datetime.now(UTC)) as clock:
        patched.setattr(launcher.emr_once, "run_job_flow", busy)
        for number in range(40):
            assert deliver(trigger) == []
            assert len(later) == number + 1
            (run,) = cloud.all_runs()
            wait, body = later[-1]
            at = {datetime.now(UTC) + timedelta(seconds=wait - less) for less in (0, 1)}
            assert run["waits_for"] in {
                f"EMR throttles RunJobFlow; next try at {each:%H:%M:%S} UTC" for each in at
            }
            assert get("/runs")[1]["runs"][0]["waits_for"] == run["waits_for"]
            clock.tick(timedelta(seconds=wait))
            trigger = message(body)
        waits = [wait for wait, _ in later]
        assert max(waits[0:3]) <= 20
        assert sum(waits[:4]) < 80
        assert waits[:6] == sorted(waits[:6])
        assert max(waits) <= 300
        assert sum(waits) > timedelta(hours=2).total_seconds()
    with freeze_time(datetime.now(UTC) + timedelta(seconds=sum(waits))):
        assert deliver(trigger) == []
    (run,) = cloud.all_runs()
    assert run["state"] == "STARTING"
    assert "waits_for" not in run
    assert len(cloud.clusters()) == 1


def test_other_messages_neither_disturb_a_throttled_launch_nor_fail(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, later: list[tuple[int, dict]], waits: list[int]
) -> None:
    trigger = cloud.drop("ml")
    with monkeypatch.context() as patched:
        patched.setattr(launcher.emr_once, "run_job_flow", busy)
        deliver(trigger)
        for other in (dropped("ml/movies.dat"), redelivered(trigger, 4)):
            assert deliver(other) == []
    assert len(later) == 1
    assert waits == []
    assert cloud.clusters() == []


def test_the_folder_of_a_throttled_run_may_be_deleted(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, later: list[tuple[int, dict]]
) -> None:
    trigger = cloud.drop("ml")
    with monkeypatch.context() as patched:
        patched.setattr(launcher.emr_once, "run_job_flow", busy)
        deliver(trigger)
    for name in ("ratings.dat", "movies.dat"):
        cloud.s3.delete_object(Bucket="datasets", Key=f"ml/{name}")
    ((wait, body),) = later
    with freeze_time(datetime.now(UTC) + timedelta(seconds=wait)):
        assert deliver(message(body)) == deliver(message(body)) == []
    (run,) = cloud.all_runs()
    assert run["state"] == "STARTING"
    assert len(cloud.clusters()) == 1


def test_a_throttled_rerun_and_a_throttled_second_cluster_are_resumed(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, later: list[tuple[int, dict]]
) -> None:
    first = failed_to_start(cloud)
    with monkeypatch.context() as patched:
        patched.setattr(launcher.emr_once, "run_job_flow", busy)
        assert deliver(second_cluster_requested(first["run_id"])) == []
    ((wait, body),) = later
    with freeze_time(datetime.now(UTC) + timedelta(seconds=wait)) as clock:
        assert deliver(message(body)) == []
        (run,) = cloud.all_runs()
        assert run["state"] == "STARTING"
        assert len(cloud.clusters()) == 2

        runs.fail(cloud.runs, run["run_id"], "the step failed", datetime.now(UTC))
        with monkeypatch.context() as patched:
            patched.setattr(launcher.emr_once, "run_job_flow", busy)
            assert deliver(message({"rerun": run["run_id"]})) == []
        wait, body = later[-1]
        clock.tick(timedelta(seconds=wait))
        assert deliver(message(body)) == []
    assert sorted(each["state"] for each in cloud.all_runs()) == ["FAILED", "STARTING"]
    assert len(cloud.clusters()) == 3


def test_a_wait_that_cannot_be_sent_leaves_the_message_and_the_run_resumable(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, waits: list[int]
) -> None:
    trigger = cloud.drop("ml")
    with monkeypatch.context() as patched:
        patched.setattr(launcher.emr_once, "run_job_flow", busy)
        patched.setattr(launcher.sqs, "send_message", lambda **_: 1 / 0)
        assert deliver(trigger) != []
    assert waits
    with freeze_time(datetime.now(UTC) + launch.LEASE, tick=True):
        assert deliver(redelivered(trigger, 2)) == []
    assert len(cloud.clusters()) == len(cloud.all_runs()) == 1


def test_an_irrelevant_file_is_ignored_whatever_its_message_lacks(
    cloud: Cloud,
) -> None:
    trigger = dropped("ml/ratings.dat")
    body = {"detail": {"bucket": {"name": "x"}, "object": {"key": "x"}}}
    trigger["Records"][0]["body"] = json.dumps(body)
    assert deliver(trigger) == []
    assert cloud.all_runs() == []


def test_the_sample_event_names_a_data_file() -> None:
    body = json.loads(event("launcher-dataset-dropped")["Records"][0]["body"])
    assert launcher.folder_of(body["detail"]["object"]["key"]) == "ml-10M100K/"


class KilledError(BaseException):
    """The end of the process; not an Exception, so nothing catches it."""


def dies(*_: object) -> None:
    """End like a killed process."""
    raise KilledError


def test_a_throttled_run_that_fails_no_longer_says_that_it_waits(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher.emr_once, "run_job_flow", busy)
    deliver(cloud.drop("ml"))
    (run,) = cloud.all_runs()
    assert "waits_for" in run
    runs.fail(cloud.runs, run["run_id"], "the launcher did not finish", datetime.now(UTC))
    (run,) = cloud.all_runs()
    assert "waits_for" not in run
