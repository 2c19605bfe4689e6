"""Lost drops: the scan finds each folder without a run once, in a bucket of any size."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from freezegun import freeze_time
from hypothesis import example, given
from hypothesis import strategies as st

from datasets import NAMES
from launcher import handler as launcher
from spark.contracts.movielens import FORMATS
from sweeper import handler as sweeper
from sweeper import lost_drops
from tests.builders.aws import CONTEXT, MOVIES, RATINGS, Cloud
from tools.function_environment import DATASETS
from tools.sample_events import event

FOUND_AFTER = lost_drops.GRACE_PERIOD + timedelta(minutes=1)


class Bucket:
    """A bucket that can only be listed.

    Attributes:
        keys: all that there are, in S3's order.
        page: keys in an answer at the most.
        requests: how many were made.
    """

    def __init__(self, keys: set[str], page: int = 1000) -> None:
        self.keys = sorted(keys, key=str.encode)
        self.page = page
        self.requests = 0

    def list_objects_v2(self, **asked: Any) -> Mapping[str, Any]:
        """ListObjectsV2."""
        assert asked["Bucket"] == DATASETS
        self.requests += 1
        prefix, after = asked.get("Prefix", ""), asked.get("StartAfter", "")
        wanted = min(self.page, asked.get("MaxKeys", 1000))
        start = bisect_right(self.keys, after.encode(), key=str.encode) if after else 0
        if prefix:
            start = max(start, bisect_left(self.keys, prefix.encode(), key=str.encode))
        found = []
        for key in self.keys[start:]:
            if len(found) > wanted or (found and not key.startswith(prefix)):
                break
            if key.startswith(prefix):
                found.append(key)
        made = {"ETag": '"e"', "Size": 1, "LastModified": datetime(2026, 11, 23, tzinfo=UTC)}
        contents = [{"Key": key, **made} for key in found[:wanted]]
        return {"Contents": contents, "IsTruncated": len(found) > wanted}


def complete_folders(keys: set[str]) -> set[str]:
    """The prefixes with all files of a format."""
    names = defaultdict(set)
    for key in keys:
        prefix, slash, name = key.rpartition("/")
        if name.startswith("part-"):
            prefix, slash, name = prefix.rpartition("/")
        form = name.lower().removesuffix(".gz")
        names[prefix + slash].add({"rating.csv": "ratings.csv", "movie.csv": "movies.csv"}.get(
            form, form
        ))  # fmt: skip
    complete = {
        prefix for prefix, there in names.items() if any(there >= {*each.files} for each in FORMATS)
    }
    return complete | {key for key in keys if key.endswith(".zip")}


names = st.sampled_from(
    [
        *("ratings.dat", "movies.dat", "ratings.csv", "movies.csv", "u.data", "u.item"),
        *("Ratings.csv", "rating.csv", "MOVIES.CSV", "movies.csv.gz", "ml.zip"),
        *("ratings.csv/part-00000-a-c000.csv", "movies.csv/part-00001", "ratings.csv/_SUCCESS"),
        *("README", "n", "z.dat", "tags.csv"),
    ]
)
folders = st.lists(st.sampled_from(["a", "b", "ml", "o", "v", "é"]), max_size=3)
keys = st.sets(st.builds(lambda folder, name: "/".join([*folder, name]), folders, names))


@given(keys=keys, page=st.integers(1, 7))
@example(keys={"ml/movies.dat", "ml/n", "ml/o/x", "ml/ratings.dat"}, page=1)
def test_every_complete_folder_is_found_wherever_a_scan_ends(keys: set[str], page: int) -> None:
    bucket, after, seen = Bucket(keys, page), "", set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lost_drops, "MAX_PAGES", 2)
        for _ in range(len(keys) + 2):
            stretch = lost_drops.scan(bucket, DATASETS, after)  # type: ignore[arg-type]
            seen |= {folder.prefix for folder in stretch.folders if folder.is_complete}
            after = stretch.end
            if not after:
                break
    assert not after, "it comes to the bucket's end"
    assert seen == complete_folders(keys)


@pytest.mark.parametrize(
    "keys",
    [
        {f"archive/{number:06d}.jpg" for number in range(100_000)},
        {f"{number // 100:04d}/{number:06d}.jpg" for number in range(100_000)},
        {f"{number // 2:06d}/{name}" for number, name in enumerate(["movies.dat", "n"] * 50_000)},
        {
            f"{number:05d}/{name}"
            for number in range(5_000)
            for name in ("u.data", "u.item", *map(str, range(18)))
        },
    ],
    ids=["one folder", "a thousand folders", "folders of half data", "five thousand data sets"],
)
def test_a_bucket_of_a_hundred_thousand_objects_costs_few_requests(keys: set[str]) -> None:
    drop = {"zz/ml/movies.dat", "zz/ml/ratings.dat"}
    bucket, after, looks, found = Bucket(keys | drop), "", 0, False
    while not found:
        before = bucket.requests
        stretch = lost_drops.scan(bucket, DATASETS, after)  # type: ignore[arg-type]
        by_name = 3 * len(NAMES)  # of at most three folders above the last key
        assert bucket.requests - before <= lost_drops.MAX_PAGES + 3 * by_name
        looks, after = looks + 1, stretch.end
        found = any(folder.prefix == "zz/ml/" for folder in stretch.folders)
        assert after or found
    assert looks <= 11


def lose_drop(cloud: Cloud, folder: str) -> None:
    """Drop a folder without an event."""
    cloud.put(f"{folder}/ratings.dat", RATINGS)
    cloud.put(f"{folder}/movies.dat", MOVIES)


def sweep(cloud: Cloud, after: timedelta) -> int:
    """Sweep after a time and deliver the messages to the launcher; returns their number."""
    with freeze_time(datetime.now(UTC) + after):
        sweeper.lambda_handler(event("sweeper-schedule"), CONTEXT)
        messages = cloud.messages("LaunchQueue")
        for message in messages:
            trigger = event("launcher-dataset-dropped")
            trigger["Records"][0]["body"] = sweeper.json.dumps(message)
            assert launcher.lambda_handler(trigger, CONTEXT) == {"batchItemFailures": []}
    return len(messages)


@pytest.mark.parametrize("folder", ["ml", "years/2026/ml", "ml 10M (ü)"])
def test_a_drop_whose_events_were_lost_has_its_run_and_one_cluster(
    cloud: Cloud, folder: str
) -> None:
    lose_drop(cloud, folder)
    assert sweep(cloud, after=timedelta(minutes=9)) == 0, "its events are on their way"
    assert sweep(cloud, after=FOUND_AFTER) == 1
    for minutes in range(15, 60, 10):
        assert sweep(cloud, after=timedelta(minutes=minutes)) == 0
    (run,) = cloud.all_runs()
    assert (run["folder"], len(cloud.clusters())) == (folder, 1)


def test_incomplete_unsettled_and_old_folders_launch_nothing(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.put("half/ratings.dat", RATINGS)
    cloud.put("other/readme.txt", "nothing")
    assert sweep(cloud, after=FOUND_AFTER) == 0
    lose_drop(cloud, "ml")
    monkeypatch.setattr(sweeper, "settle", timedelta(minutes=15))
    assert sweep(cloud, after=FOUND_AFTER) == 0
    assert sweep(cloud, after=lost_drops.MAX_AGE + timedelta(minutes=1)) == 0
    assert cloud.all_runs() == []


def test_a_folder_dropped_again_after_its_run_failed_is_found_and_an_older_one_is_not(
    cloud: Cloud,
) -> None:
    cloud.put("ml/ratings.dat", "nonsense\n" * 9)
    cloud.put("ml/movies.dat", MOVIES)
    assert sweep(cloud, after=FOUND_AFTER) == 1
    (failed,) = cloud.all_runs()
    assert failed["state"] == "FAILED"
    assert sweep(cloud, after=timedelta(minutes=30)) == 0
    with freeze_time(datetime.now(UTC) + timedelta(minutes=40)):
        lose_drop(cloud, "ml")
    assert sweep(cloud, after=timedelta(minutes=60)) == 1
    assert [run["state"] for run in cloud.all_runs()] == ["FAILED", "STARTING"]


def test_a_large_bucket_is_scanned_over_several_sweeps(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = sweeper.s3.list_objects_v2
    monkeypatch.setattr(lost_drops, "MAX_PAGES", 1)
    monkeypatch.setattr(
        sweeper.s3, "list_objects_v2", lambda **asked: ask(**{"MaxKeys": 3} | asked)
    )
    for name in ("a", "b", "c", "d"):
        lose_drop(cloud, name)
    found = [sweep(cloud, after=FOUND_AFTER) for _ in range(3)]
    assert sum(found) == 4
    assert max(found) < 4
    assert len(cloud.clusters()) == 4
