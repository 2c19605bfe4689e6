"""Waiting drops: whatever looks like a data set and has no run says what it waits for."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import pytest
from freezegun import freeze_time

import datasets
import runs
import waiting
from datasets import DatasetFile, Folder
from launcher import handler as launcher
from sweeper import handler as sweeper
from sweeper import waiting_drops
from tests.builders.aws import CONTEXT, MOVIES, RATINGS, Cloud
from tests.builders.requests import get
from tests.unit.dynalite import database  # noqa: F401
from tools.sample_events import dropped, event
from tools.template import template

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MISSING = "is missing: upload it into the same folder"
RATINGS_CSV = "userId,movieId,rating,timestamp\n1,1,4.0,1\n"
MOVIES_CSV = "movieId,title,genres\n1,Heat (1995),Crime\n"


def folder(*names: str, uploading: frozenset[str] = frozenset(), empty: str = "") -> Folder:
    """A folder with those of these files that are data files."""
    files = tuple(
        DatasetFile(f"ml/{name}", f'"{name}"', int(name != empty), NOW)
        for name in names
        if datasets.folder_of(f"ml/{name}") == "ml/"
    )
    return Folder("datasets", "ml/", files, uploading)


@pytest.mark.parametrize(
    ("key", "prefix"),
    [
        ("ml/ratings.csv", "ml/"),
        ("ml/Ratings.CSV", "ml/"),
        ("ml/rating.csv", "ml/"),
        ("movies_metadata.csv", ""),
        ("a/b/ratings (1).csv", "a/b/"),
        ("ml/ratings.csv.gz", "ml/"),
        ("ml/ratings.parquet", "ml/"),
        ("ml/tags.dat", "ml/"),
        ("ml/U.DATA", "ml/"),
        ("releases/ml-1m.zip", "releases/ml-1m.zip"),
        ("ml/ratings.csv/part-00000-5f2a.csv", "ml/"),
        ("ml/ratings/part-00000", "ml/"),
        ("ml/README.txt", None),
        ("ml/links.csv", "ml/"),
        ("ml/myratings.dat", None),
        ("ml/moviestore.csv", None),
        ("ml/movie.mp4", None),
        ("ml/logs/part-00000", None),
        ("part-00000", None),
        ("ml/ratings.csv/", None),
        ("ml/ratings", None),
    ],
)
def test_a_key_that_looks_like_a_data_file_belongs_to_its_folder(
    key: str, prefix: str | None
) -> None:
    assert waiting.folder_like(key) == prefix


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["ratings.csv"], f"movies.csv {MISSING}"),
        (["u.item", "README"], f"u.data {MISSING}"),
        (["ratings.csv", "movies.dat"], f"ratings.dat or movies.csv {MISSING}"),
        (["tags.csv"], "ratings.csv and movies.csv are missing: upload them into the same folder"),
        (
            ["ratings.csv", "movies_metadata.csv"],
            "movies_metadata.csv is not a name of a format: rename it to movies.csv",
        ),
        (["ratings.csv", "movies.json"], "movies.json is not taken: write it as movies.csv"),
        (
            ["movies.dat", "ratings.parquet"],
            "ratings.parquet is not taken: write it as ratings.dat",
        ),
        (
            ["ratings.tsv.bz2"],
            f"ratings.tsv.bz2 is not taken: unpack it and upload ratings.csv; movies.csv {MISSING}",
        ),
        (["ml.rar"], "ml.rar is not taken: unpack it and upload the files in it"),
        (["README.txt", "links.csv"], None),
        (["ratings.csv", "movies.csv", "movies_metadata.csv", "old.rar"], None),
    ],
)
def test_a_folder_says_in_one_sentence_what_it_waits_for(
    names: list[str], told: str | None
) -> None:
    assert waiting.waits_for(folder(*names), names) == told


def test_an_upload_in_progress_and_an_empty_file_are_told() -> None:
    names = ["ratings.csv", "movies.csv"]
    uploading = folder("movies.csv", uploading=frozenset({"ratings.csv"}))
    assert waiting.waits_for(uploading, names) == "ratings.csv is still being uploaded"
    empty = folder(*names, empty="ratings.csv")
    assert not empty.is_complete
    assert waiting.waits_for(empty, names) == "ratings.csv is empty: upload it again"


def test_many_files_make_one_sentence_of_bounded_length() -> None:
    names = [f"{number:04d}.rar" for number in range(1000)]
    said = waiting.waits_for(folder(), names)
    assert said is not None
    assert said.endswith("; and 997 more")


def launch(key: str) -> None:
    """Deliver a file's event to the launcher."""
    assert launcher.lambda_handler(dropped(key), CONTEXT) == {"batchItemFailures": []}


def shown() -> list[dict[str, Any]]:
    """What GET /runs says of waiting drops."""
    status, body = get("/runs")
    assert status == HTTPStatus.OK
    return body["waiting"]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The messages that people receive."""
    messages: list[dict[str, Any]] = []
    monkeypatch.setattr(sweeper.sns, "publish", lambda **message: messages.append(message))
    return messages


def sweep(after: timedelta = timedelta(0)) -> None:
    """Sweep after a time."""
    with freeze_time(datetime.now(UTC) + after):
        sweeper.lambda_handler(event("sweeper-schedule"), CONTEXT)


def test_a_drop_is_shown_until_it_is_complete_and_then_has_its_run(cloud: Cloud) -> None:
    cloud.put("ml/ratings.csv", RATINGS_CSV)
    launch("ml/ratings.csv")
    (drop,) = shown()
    assert (drop["folder"], drop["waits_for"]) == ("ml", f"movies.csv {MISSING}")
    assert datetime.now(UTC) - datetime.fromisoformat(drop["since"]) < timedelta(minutes=1)

    cloud.put("ml/movies.csv", MOVIES_CSV)
    launch("ml/movies.csv")
    assert shown() == []
    assert [run["folder"] for run in cloud.all_runs()] == ["ml"]


def test_a_nearly_right_name_is_shown_and_its_renaming_starts_the_run(cloud: Cloud) -> None:
    cloud.put("ratings.dat", RATINGS)
    cloud.put("movies_metadata.dat", MOVIES)
    launch("movies_metadata.dat")
    (drop,) = shown()
    assert drop["folder"] == "(the bucket's root)"
    assert "movies_metadata.dat is not a name of a format: rename it to movies.dat" in str(drop)
    cloud.put("movies.dat", MOVIES)
    launch("movies.dat")
    assert shown() == []
    assert len(cloud.all_runs()) == 1


def test_the_first_change_that_was_seen_is_the_time_since_when_it_waits(cloud: Cloud) -> None:
    with freeze_time(datetime.now(UTC) - timedelta(hours=2)):
        cloud.put("ml/ratings.csv", RATINGS_CSV)
        launch("ml/ratings.csv")
        first = shown()
    cloud.put("ml/ratings.csv", RATINGS_CSV + "2,1,4.0,1\n")
    launch("ml/ratings.csv")
    assert shown() == first


def test_an_empty_file_waits_for_its_content_without_a_run(cloud: Cloud) -> None:
    launch_all = ("ml/ratings.dat", "ml/movies.dat")
    cloud.drop("ml", ratings="")
    for key in launch_all:
        launch(key)
    assert [drop["waits_for"] for drop in shown()] == ["ratings.dat is empty: upload it again"]
    assert cloud.all_runs() == []
    cloud.drop("ml")
    launch("ml/ratings.dat")
    assert shown() == []
    assert len(cloud.clusters()) == 1


def test_sparks_part_files_are_seen_as_the_file_that_they_are(cloud: Cloud) -> None:
    cloud.put("ml/Ratings/part-00000-5f2a", RATINGS)
    cloud.put("ml/movies.dat", MOVIES)
    cloud.put("ml/tagsoup/readme", "none of them")
    launch("ml/Ratings/part-00000-5f2a")
    (drop,) = shown()
    assert drop["folder"] == "ml"
    assert drop["waits_for"].startswith("Ratings/ is a folder of part files: upload them as one")


def test_a_file_beside_a_complete_data_set_changes_nothing(cloud: Cloud) -> None:
    launcher.lambda_handler(cloud.drop("ml"), CONTEXT)
    (run,) = cloud.all_runs()
    runs.fail(cloud.runs, run["run_id"], "the step failed", datetime.now(UTC))
    cloud.put("ml/extra.rar", b"Rar!")
    launch("ml/extra.rar")
    assert shown() == []
    assert [each["run_id"] for each in cloud.all_runs()] == [run["run_id"]]


def test_a_deleted_drop_is_forgotten_by_the_next_sweep(cloud: Cloud, sent: list) -> None:
    for name in ("a", "b"):
        cloud.put(f"{name}/ratings.csv", RATINGS_CSV)
        launch(f"{name}/ratings.csv")
    cloud.s3.delete_object(Bucket="datasets", Key="a/ratings.csv")
    sweep()
    assert [drop["folder"] for drop in shown()] == ["b"]
    assert sent == []


def test_a_drop_whose_event_was_lost_is_found_by_a_sweep(cloud: Cloud, sent: list) -> None:
    cloud.put("ml/rating.json", "[]")
    cloud.put("other/links.csv", "1,2\n")
    sweep()
    assert [drop["folder"] for drop in shown()] == ["ml"]
    assert sent == []


def test_people_are_told_once_of_a_drop_that_waits_for_long(cloud: Cloud, sent: list) -> None:
    cloud.put("ml\n20m/ratings.csv", RATINGS_CSV)
    launch("ml\n20m/ratings.csv")
    sweep(waiting_drops.NOTICE_AFTER - timedelta(minutes=1))
    assert sent == []
    for minutes in (1, 11, 21):
        sweep(waiting_drops.NOTICE_AFTER + timedelta(minutes=minutes))
    (message,) = sent
    assert message["Subject"] == "similar-titles: WAITING ml?20m"
    assert f"movies.csv {MISSING}" in message["Message"]


def test_many_waiting_drops_are_one_message(cloud: Cloud, sent: list) -> None:
    for number in range(60):
        cloud.put(f"{number:02d}/ratings.csv", RATINGS_CSV)
    sweep()
    sweep(waiting_drops.NOTICE_AFTER + timedelta(minutes=1))
    (message,) = sent
    assert message["Subject"] == "similar-titles: WAITING 60 folders"
    assert "and 10 more" in message["Message"]
    assert len(shown()) == waiting.MAX_SHOWN


def test_each_sweep_looks_at_a_bounded_number_of_folders_and_in_turn_at_all(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, sent: list
) -> None:
    monkeypatch.setattr(waiting_drops, "MAX_LOOKS", 2)
    for number in range(5):
        cloud.put(f"{number}/ratings.csv", RATINGS_CSV)
    looked = []
    look = datasets.list_folder
    monkeypatch.setattr(
        waiting_drops, "list_folder", lambda *given: looked.append(given[2]) or look(*given)
    )
    for minutes in (0, 10, 20):
        before = len(looked)
        sweep(timedelta(minutes=minutes))
        assert 0 < len(looked) - before <= 4
    assert len(shown()) == 5
    for number in range(5):
        cloud.s3.delete_object(Bucket="datasets", Key=f"{number}/ratings.csv")
    for minutes in (30, 40, 50):
        sweep(timedelta(minutes=minutes))
    assert shown() == []
    assert len(sent) == 1


def test_folders_beyond_the_first_megabyte_of_records_are_seen_too(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, sent: list
) -> None:
    for number in range(8):
        cloud.put(f"{number}/ratings.csv", RATINGS_CSV)
        launch(f"{number}/ratings.csv")
        cloud.runs.update_item(
            Key={"pk": "WAITING", "sk": f"/{number}/"},
            UpdateExpression="SET filler = :filler",
            ExpressionAttributeValues={":filler": "x" * 300_000},
        )
    cloud.s3.delete_object(Bucket="datasets", Key="7/ratings.csv")
    sweep(waiting_drops.NOTICE_AFTER + timedelta(minutes=1))
    assert [message["Subject"] for message in sent] == ["similar-titles: WAITING 7 folders"]
    assert [drop["folder"] for drop in shown()] == list("0123456")
    monkeypatch.setattr(waiting, "MAX_REQUESTS", 1)
    assert 0 < len(waiting.stored(cloud.runs)) < 7, "a sweep reads a bounded number of megabytes"


def test_a_notice_is_of_a_bounded_number_of_folders_and_the_next_of_the_rest(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, sent: list
) -> None:
    monkeypatch.setattr(waiting_drops, "MAX_NOTICED", 3)
    for number in range(5):
        cloud.put(f"{number}/ratings.csv", RATINGS_CSV)
        launch(f"{number}/ratings.csv")
    for minutes in (1, 11, 21):
        sweep(waiting_drops.NOTICE_AFTER + timedelta(minutes=minutes))
    assert [message["Subject"] for message in sent] == [
        "similar-titles: WAITING 3 folders",
        "similar-titles: WAITING 2 folders",
    ]


def test_nothing_is_shown_for_ever(cloud: Cloud) -> None:
    cloud.put("ml/ratings.csv", RATINGS_CSV)
    launch("ml/ratings.csv")
    (item,) = waiting.stored(cloud.runs)
    specified = template()["Resources"]["RunsTable"]["Properties"]["TimeToLiveSpecification"]
    assert specified == {"AttributeName": "expires", "Enabled": True}
    left = int(item["expires"]) - datetime.now(UTC).timestamp()
    assert timedelta(days=13) < timedelta(seconds=left) <= waiting.SHOWN_FOR
    sweep(waiting.SHOWN_FOR + timedelta(minutes=1))
    assert shown() == []


def test_a_folder_that_keeps_changing_is_shown_while_it_does(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "settle", timedelta(seconds=60))
    monkeypatch.setattr(launcher.sqs, "change_message_visibility", lambda **_: None)
    trigger = cloud.drop("ml")
    launcher.lambda_handler(trigger, CONTEXT)
    (drop,) = shown()
    assert drop["waits_for"].startswith("no change for 60 seconds; the last was at ")
    with freeze_time(datetime.now(UTC) + timedelta(seconds=61)):
        assert launcher.lambda_handler(trigger, CONTEXT) == {"batchItemFailures": []}
    assert shown() == []


def test_the_rule_passes_on_every_kind_of_name_that_the_launcher_knows() -> None:
    rule = template()["Resources"]["DatasetDroppedRule"]["Properties"]["EventPattern"]
    suffixes = {
        each["suffix"]["equals-ignore-case"]
        for each in rule["detail"]["object"]["key"]
        if "suffix" in each
    }
    names = ["ratings.csv", "RATINGS.DAT", "u.data", "u.item", "x.zip", "movies.json.gz",
             "movies.parquet", "tags.tsv", "ratings.xlsx"]  # fmt: skip
    for name in names:
        assert waiting.folder_like(f"ml/{name}") in {"ml/", "ml/x.zip"}
        assert name.lower().endswith(tuple(suffixes))
