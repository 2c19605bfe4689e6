"""Data sets that became wrong on their way: the quality gate sees each, and no good resample."""

import csv
import io
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

import index_table
import live_pointer
from spark import job
from spark.contracts.manifest import MANIFEST, SIMILARITIES
from tests.builders.aws import Cloud, account
from tests.builders.indexed import deliver, drain, start_run
from tests.conftest import Observed, movielens
from tests.spark.conftest import running, spark  # noqa: F401
from tests.unit.runs.test_quality_gate import run_of
from tools.sample_events import manifest_written

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("running")]

RESAMPLES = 20
type Files = Mapping[str, bytes]
type Row = list[str]
type Change = Callable[[Files, random.Random], Files]


def rows_of(files: Files) -> list[Row]:
    """The ratings as columns: user, movie, rating, timestamp."""
    return list(csv.reader(io.StringIO(files["ratings.csv"].decode())))[1:]


def with_rows(files: Files, rows: Iterable[Row]) -> Files:
    """The files with other ratings."""
    text = "userId,movieId,rating,timestamp\n" + "".join(",".join(row) + "\n" for row in rows)
    return {**files, "ratings.csv": text.encode()}


def exchanged(files: Files, _: random.Random) -> Files:
    """Users and movies are exchanged."""
    return with_rows(files, ([movie, user, *rest] for user, movie, *rest in rows_of(files)))


def movies_mixed_up(files: Files, chance: random.Random) -> Files:
    """Each movie has the id of another one."""
    rows = rows_of(files)
    ids = sorted({movie for _, movie, *_ in rows})
    others = dict(zip(ids, chance.sample(ids, len(ids)), strict=True))
    return with_rows(files, ([user, others[movie], *rest] for user, movie, *rest in rows))


def users_mixed_up(share: float) -> Change:
    """A share of the ratings have the users of others of them."""

    def change(files: Files, chance: random.Random) -> Files:
        rows = rows_of(files)
        some = chance.sample(range(len(rows)), round(share * len(rows)))
        users = [rows[place][0] for place in chance.sample(some, len(some))]
        for place, user in zip(some, users, strict=True):
            rows[place] = [user, *rows[place][1:]]
        return with_rows(files, rows)

    return change


def doubled(files: Files, chance: random.Random) -> Files:
    """5 % of the users are there twice, under another id."""
    rows = rows_of(files)
    users = sorted({row[0] for row in rows})
    some = set(chance.sample(users, len(users) // 20))
    again = ([f"9{user:0>6}", *rest] for user, *rest in rows if user in some)
    return with_rows(files, [*rows, *again])


def read_as(encoding: str) -> Change:
    """The titles were read in an encoding that is not theirs, and written as UTF-8."""

    def change(files: Files, _: random.Random) -> Files:
        text = files["movies.csv"].decode(encoding, "replace")
        return {**files, "movies.csv": text.encode()}

    return change


def cut(name: str, share: float) -> Change:
    """Only the first part of a file has arrived; it ends within a line."""

    def change(files: Files, _: random.Random) -> Files:
        end = int(share * len(files[name]))
        while files[name][end - 1 : end] == b"\n":
            end -= 1
        return {**files, name: files[name][:end]}

    return change


def without_users(share: float) -> Change:
    """A good resample: without some of the users."""

    def change(files: Files, chance: random.Random) -> Files:
        rows = rows_of(files)
        users = sorted({row[0] for row in rows})
        gone = set(chance.sample(users, round(share * len(users))))
        return with_rows(files, (row for row in rows if row[0] not in gone))

    return change


def without_ratings(share: float) -> Change:
    """A good resample: without some of the ratings."""

    def change(files: Files, chance: random.Random) -> Files:
        return with_rows(files, (row for row in rows_of(files) if chance.random() >= share))

    return change


# With the reason that must be among those for which the run is held back.
CORRUPTIONS: dict[str, tuple[Change, str]] = {
    "users and movies exchanged": (exchanged, "lost titles"),
    "users mixed up": (users_mixed_up(1), "moved lists"),
    "5 % of the users doubled": (doubled, "doubled users"),
    "titles read as Windows-1252": (read_as("cp1252"), "garbled titles"),
    "ratings.csv cut at 90 %": (cut("ratings.csv", 0.9), "cut file"),
}
MORE: dict[str, tuple[Change, str]] = {
    "movie ids mixed up": (movies_mixed_up, "moved lists"),
    "a fifth of the ratings have other users": (users_mixed_up(0.2), "moved lists"),
    "titles read as ASCII": (read_as("ascii"), "garbled titles"),
    "titles read as ISO-8859-1": (read_as("iso-8859-1"), "garbled titles"),
    "ratings.csv cut at 50 %": (cut("ratings.csv", 0.5), "lost ratings"),
    "ratings.csv cut at 99 %": (cut("ratings.csv", 0.99), "cut file"),
    "movies.csv cut at 50 %": (cut("movies.csv", 0.5), "changed titles"),
}


class Pipeline:
    """From a data set to the gate: the real job, then the real indexer.

    Attributes:
        cloud: an account.
        folder: for data sets and results.
        runs: how many there were.
    """

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud, self.folder, self.runs = cloud, folder, 0

    def run(self, files: Files) -> str:
        """Compute a data set and index the result; returns the run's id."""
        self.runs += 1
        dataset, output = (self.folder / f"{kind}-{self.runs}" for kind in ("data", "result"))
        dataset.mkdir()
        for name, content in files.items():
            (dataset / name).write_bytes(content)
        options = "--measures", "blend", "--blocks", "1"  # the default measure alone is compared
        assert job.main(["--dataset", str(dataset), "--output", str(output), *options]) == 0
        run_id = start_run(self.cloud, self.runs)
        for path in sorted(output.rglob("*"), key=lambda path: path.name == MANIFEST):
            if path.is_file() and path.parent.name != SIMILARITIES:
                name = path.relative_to(output).as_posix()
                self.cloud.put(f"runs/{run_id}/{name}", path.read_bytes(), "results")
        deliver(manifest_written(run_id))
        drain(self.cloud)
        return run_id

    def reason(self, files: Files) -> str | None:
        """Why a data set is held back; None if it goes live. The first run is then live again."""
        run = run_of(self.cloud, self.run(files))
        if run["state"] == "LIVE":
            live_pointer.roll_back(self.cloud.runs, self.cloud.index, datetime.now(UTC))
            return None
        assert run["held_back"], run["reason"]
        return run["reason"]


@contextmanager
def pipeline(files: Files, folder: Path) -> Iterator[Pipeline]:
    """An account in which a data set is live; its index holds no movies, which would take long."""
    with account() as cloud, pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_table, "write", lambda *_: None)
        made = Pipeline(cloud, folder)
        assert run_of(cloud, made.run(files))["state"] == "LIVE"
        yield made


def release() -> Files:
    """The files of ml-latest-small."""
    folder = movielens("ml-latest-small")
    return {name: (folder / name).read_bytes() for name in ("ratings.csv", "movies.csv")}


@pytest.mark.drill(
    "Bad input",
    injected="a data set with exchanged or mixed-up ids, doubled users, titles in the wrong "
    "encoding, or a file that is cut off; and good resamples of it, without some users or ratings",
    promised="each corruption is held back with the figure that shows it; no resample is",
)
@pytest.mark.parametrize(
    ("corruptions", "resamples"),
    [
        (CORRUPTIONS, 1),
        pytest.param(CORRUPTIONS | MORE, RESAMPLES, marks=pytest.mark.slow),
    ],
    ids=["few", "all"],
)
def test_a_corrupted_data_set_is_held_back_and_a_resample_is_not(
    tmp_path: Path,
    observed: Observed,
    corruptions: Mapping[str, tuple[Change, str]],
    resamples: int,
) -> None:
    files = release()
    with pipeline(files, tmp_path) as made:
        for name, (change, expected) in corruptions.items():
            reason = made.reason(change(files, random.Random(name)))
            assert reason is not None, f"{name} went live"
            assert expected in reason, name
        for seed in range(resamples):
            change = without_ratings(0.1) if seed % 4 == 3 else without_users(0.1)
            assert made.reason(change(files, random.Random(seed))) is None, f"resample {seed}"
    observed(
        len(corruptions) + resamples,
        f"{len(corruptions)} corruptions held back, {resamples} of {resamples} resamples live",
    )
