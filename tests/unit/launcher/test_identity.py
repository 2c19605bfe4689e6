"""The identity of a data set: its content, however it was uploaded; and unfinished uploads."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from freezegun import freeze_time

import datasets
import runs
from datasets import dataset_files, fingerprint_of, list_folder, with_checksums
from launcher import handler as launcher
from runs import claims
from sweeper import lost_drops
from tests.builders.aws import CONTEXT, MOVIES, RATINGS, Cloud, long_ago
from tools.function_environment import DATASETS
from tools.sample_events import dropped

MANY = RATINGS + "".join(f"{user}::1::3::978300760\n" for user in range(100, 300_000))
IN_PARTS = TransferConfig(multipart_threshold=5 * 2**20, multipart_chunksize=5 * 2**20)


def deliver(trigger: dict[str, Any]) -> None:
    """Run the launcher on an event that it must not postpone."""
    assert launcher.lambda_handler(trigger, CONTEXT) == {"batchItemFailures": []}


def upload_in_parts(cloud: Cloud, path: Path, **arguments: str) -> None:
    """Upload the ratings in two parts."""
    extra = {"ChecksumAlgorithm": "CRC32", **arguments}
    cloud.s3.upload_file(str(path), DATASETS, "ml/ratings.dat", ExtraArgs=extra, Config=IN_PARTS)


@pytest.mark.parametrize(
    ("checksum", "clusters"), [("FULL_OBJECT", 1), ("COMPOSITE", 2)],
    ids=["a checksum of the whole object", "no such checksum: the ETag counts"],
)  # fmt: skip
def test_the_same_bytes_in_one_part_and_in_two_are_one_data_set(
    cloud: Cloud, tmp_path: Path, checksum: str, clusters: int
) -> None:
    path = tmp_path / "ratings.dat"
    path.write_text(MANY)
    cloud.s3.put_object(
        Bucket=DATASETS, Key="ml/ratings.dat", Body=MANY.encode(), ChecksumAlgorithm="CRC32"
    )
    cloud.put("ml/movies.dat", MOVIES)
    one = cloud.s3.head_object(Bucket=DATASETS, Key="ml/ratings.dat")["ETag"]
    deliver(dropped("ml/ratings.dat"))
    upload_in_parts(cloud, path, ChecksumType=checksum)
    listed = with_checksums(cloud.s3, list_folder(cloud.s3, DATASETS, "ml/", long_ago()))
    assert [bool(file.checksum) for file in listed.files] == [True, checksum == "FULL_OBJECT"]
    assert cloud.s3.head_object(Bucket=DATASETS, Key="ml/ratings.dat")["ETag"] != one
    deliver(dropped("ml/ratings.dat"))
    assert len(cloud.all_runs()) == len(cloud.clusters()) == clusters


def test_other_bytes_of_the_same_size_are_another_data_set(cloud: Cloud) -> None:
    deliver(cloud.drop("ml"))
    deliver(cloud.drop("ml", ratings=RATINGS.replace("4.5", "3.5")))
    assert len(cloud.clusters()) == 2


def lost(cloud: Cloud, now: datetime) -> list[dict[str, Any]]:
    """The events of lost drops that a sweep finds."""
    scanned = lost_drops.scan(cloud.s3, DATASETS, "")
    return [*lost_drops.events(cloud.s3, scanned, cloud.runs, timedelta(0), now)]


def test_a_run_that_an_earlier_version_knew_by_etags_is_found(cloud: Cloud) -> None:
    trigger = cloud.drop("ml")
    folder = list_folder(cloud.s3, DATASETS, "ml/", long_ago())
    known = with_checksums(cloud.s3, folder)
    assert all(file.checksum for file in known.files)
    by_etags = fingerprint_of(dataset_files(folder))
    now = datetime.now(UTC)
    made = claims.claim(cloud.runs, by_etags, "ml", None, now, timedelta(hours=1))
    assert made is not None
    deliver(trigger)
    assert len(cloud.all_runs()) == 1
    later = now + lost_drops.GRACE_PERIOD + timedelta(minutes=1)
    assert lost(cloud, later) == []

    runs.fail(cloud.runs, made["run_id"], "the step FAILED", now)
    with freeze_time(now + timedelta(seconds=10), tick=True):
        deliver(dropped("ml/ratings.dat"))
        assert sorted(run["state"] for run in cloud.all_runs()) == ["FAILED", "STARTING"]
        deliver(dropped("ml/ratings.dat"))
    assert len(cloud.clusters()) == 1


@pytest.mark.parametrize(("status", "is_raised"), [(503, True), (403, False), (400, False)])
def test_the_etag_counts_if_s3_does_not_tell_the_checksum_and_not_if_it_is_only_busy(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, status: int, is_raised: bool
) -> None:
    """Otherwise a busy moment would make another data set of the same files."""

    def refuse(**_: Any) -> None:
        answer = {"Error": {"Code": str(status)}, "ResponseMetadata": {"HTTPStatusCode": status}}
        raise ClientError(answer, "HeadObject")  # type: ignore[arg-type]

    cloud.drop("ml")
    folder = list_folder(cloud.s3, DATASETS, "ml/", long_ago())
    monkeypatch.setattr(cloud.s3, "head_object", refuse)
    if is_raised:
        with pytest.raises(ClientError):
            with_checksums(cloud.s3, folder)
    else:
        assert with_checksums(cloud.s3, folder) == folder


def test_parts_are_not_looked_up_one_by_one(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        cloud.put(f"ml/ratings.dat/part-{number:05d}", RATINGS)
    cloud.put("ml/movies.dat", MOVIES)
    asked: list[str] = []
    head = cloud.s3.head_object
    monkeypatch.setattr(
        cloud.s3, "head_object", lambda **request: asked.append(request["Key"]) or head(**request)
    )
    with_checksums(cloud.s3, list_folder(cloud.s3, DATASETS, "ml/", long_ago()))
    assert asked == ["ml/movies.dat"]


class Uploads:
    """A bucket's list of unfinished uploads; moto dates all of them 2010."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *uploads: tuple[str, datetime]) -> None:
        """List these uploads: key and beginning."""
        listed = [{"Key": key, "Initiated": began} for key, began in uploads]
        get_paginator = launcher.s3.get_paginator

        class Paginator:
            def paginate(self, **_: str) -> list[dict[str, Any]]:
                return [{"Uploads": listed}]

        monkeypatch.setattr(
            launcher.s3,
            "get_paginator",
            lambda name: Paginator() if name == "list_multipart_uploads" else get_paginator(name),
        )


@pytest.mark.parametrize(
    ("key", "began", "waits"),
    [
        ("ml/ratings.dat", timedelta(minutes=-1), False),  # a killed client's, before the file
        ("ml/ratings.dat", timedelta(minutes=1), True),  # it replaces the file
        ("ml/ratings.dat", timedelta(0), True),
        ("ml/ratings.dat.gz", timedelta(minutes=-1), True),  # of another file
        ("ml/README", timedelta(minutes=1), False),
        ("ml/ratings.dat", -datasets.ABANDONED_AFTER, False),
    ],
)
def test_a_file_wins_over_an_upload_that_began_before_it(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, key: str, began: timedelta, waits: bool
) -> None:
    trigger = cloud.drop("ml")
    (item,) = cloud.s3.list_objects_v2(Bucket=DATASETS, Prefix="ml/ratings.dat")["Contents"]
    Uploads(monkeypatch, (key, item["LastModified"] + began))
    deliver(trigger)
    assert len(cloud.clusters()) == (0 if waits else 1)


def test_a_folder_whose_unfinished_upload_was_aborted_is_found_without_an_event(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger = cloud.drop("ml")
    now = datetime.now(UTC)
    with monkeypatch.context() as patch:
        Uploads(patch, ("ml/ratings.dat", now + timedelta(seconds=1)))
        deliver(trigger)
    assert cloud.all_runs() == []
    later = now + lost_drops.GRACE_PERIOD + timedelta(minutes=1)
    (message,) = lost(cloud, later)
    deliver(dropped(message["detail"]["object"]["key"]))
    assert len(cloud.clusters()) == 1
