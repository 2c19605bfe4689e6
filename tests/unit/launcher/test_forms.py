"""Forms of a drop: other names, gzip, Spark's parts and zips become the run's own plain input."""

import gzip
import io
import itertools
import random
import tracemalloc
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets import DatasetFile, Folder, dataset, list_folder
from launcher import handler as launcher
from launcher import unpacking
from spark.contracts.movielens import DatasetError
from tests.builders.aws import CONTEXT, Cloud, long_ago
from tools.function_environment import DATASETS
from tools.sample_events import dropped

HEADER = "userId,movieId,rating,timestamp\n"
LINES = [f"{user},{movie},4.5,978300760\n" for user in range(1, 21) for movie in (1, 2)]
RATINGS = HEADER + "".join(LINES)
MOVIES = "movieId,title,genres\n1,Toy Story (1995),Animation\n2,Heat (1995),Crime\n"
LINKS = "movieId,imdbId,tmdbId\n1,0114709,862\n2,0113277,949\n"
TAGS = "userId,movieId,tag,timestamp\n1,1,pixar,0\n"
GENOME = "movieId,tagId,relevance\n1,1,0.9\n"
NAMES = "tagId,tag\n1,toys\n"
INPUT = {"ratings.csv": RATINGS, "movies.csv": MOVIES}
PART = "part-{:05d}-5e3a9c1d-c000.csv"


def packed(text: str) -> bytes:
    """A text in gzip's format."""
    return gzip.compress(text.encode())


def zipped(members: Mapping[str, str | bytes], **changes: Any) -> bytes:
    """A zip of these members; `changes` are of every member's entry."""
    blob = io.BytesIO()
    with zipfile.ZipFile(blob, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            for field, value in changes.items():
                setattr(entry, field, value)
            archive.writestr(entry, content)
    return blob.getvalue()


def drop(cloud: Cloud, files: Mapping[str, str | bytes]) -> dict[str, Any]:
    """Drop files, and deliver the event of the last; returns the run."""
    for key, content in files.items():
        cloud.put(key, content)
    answer = launcher.lambda_handler(dropped(list(files)[-1]), CONTEXT)
    assert answer == {"batchItemFailures": []}
    (run,) = cloud.all_runs()
    return run


def stored(cloud: Cloud, run: Mapping[str, Any]) -> dict[str, str]:
    """The run's own input: contents by name."""
    prefix = f"runs/{run['run_id']}/input/"
    found = cloud.s3.list_objects_v2(Bucket="results", Prefix=prefix).get("Contents", [])
    read = {each["Key"]: cloud.s3.get_object(Bucket="results", Key=each["Key"]) for each in found}
    return {key.removeprefix(prefix): each["Body"].read().decode() for key, each in read.items()}


FORMS: dict[str, Mapping[str, str | bytes]] = {
    "capitals": {"ml/Ratings.csv": RATINGS, "ml/MOVIES.CSV": MOVIES},
    "Kaggle's names": {"ml/rating.csv": RATINGS, "ml/movie.csv": MOVIES},
    "gzip": {"ml/ratings.csv.gz": packed(RATINGS), "ml/movies.csv.gz": packed(MOVIES)},
    "one in gzip": {"ml/ratings.csv.gz": packed(RATINGS), "ml/movies.csv": MOVIES},
    "gzip of two members": {
        "ml/ratings.csv.gz": packed(HEADER) + packed("".join(LINES)),
        "ml/movies.csv": MOVIES,
    },
    "parts": {
        f"ml/ratings.csv/{PART.format(1)}": HEADER + "".join(LINES[20:]),
        f"ml/ratings.csv/{PART.format(0)}": HEADER + "".join(LINES[:20]),
        f"ml/ratings.csv/.{PART.format(0)}.crc": b"crc\0",
        "ml/ratings.csv/_SUCCESS": "",
        f"ml/movies.csv/{PART.format(0)}": MOVIES,
    },
    "parts without headers": {
        f"ml/ratings.csv/{PART.format(0)}": HEADER + "".join(LINES[:20]),
        f"ml/ratings.csv/{PART.format(1)}": "".join(LINES[20:]),
        "ml/movies.csv": MOVIES,
    },
    "parts in gzip, the first one empty, the second one without a line break at its end": {
        f"ml/ratings.csv/{PART.format(0)}.gz": packed(""),
        f"ml/ratings.csv/{PART.format(1)}.gz": packed((HEADER + "".join(LINES[:9])).rstrip("\n")),
        f"ml/ratings.csv/{PART.format(2)}.gz": packed(HEADER),
        f"ml/ratings.csv/{PART.format(3)}.gz": packed(HEADER + "".join(LINES[9:])),
        "ml/movies.csv": MOVIES,
    },
    "a zip of a folder": {
        "ml.zip": zipped(
            {
                "ml/": "",
                "ml/README.txt": "read",
                "ml/ratings.csv": RATINGS,
                "ml/movies.csv": MOVIES,
                "ml/README.html": "movieId,imdbId,tmdbId\n",
                "__MACOSX/ml/._ratings.csv": b"\0\5\x16\7",
            }
        )
    },
    "a zip of files, in a folder": {
        "drop/ml.zip": zipped({"rating.csv": RATINGS, "movie.csv": MOVIES})
    },
    "a zip of gzip and parts, made on Windows": {
        "drop/ML.ZIP": zipped(
            {
                "ml\\ratings.csv.gz": packed(RATINGS),
                f"ml\\movies.csv\\{PART.format(0)}": MOVIES,
            }
        )
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_drop_becomes_the_same_plain_input(cloud: Cloud, form: str) -> None:
    run = drop(cloud, FORMS[form])
    assert run["state"] == "STARTING", run.get("reason")
    assert stored(cloud, run) == INPUT
    assert [(each["file"], each["lines"], each["defects"]) for each in run["intake"]] == [
        ("ratings.csv", 40, {}), ("movies.csv", 2, {}),
    ]  # fmt: skip
    assert len(cloud.clusters()) == 1


def test_a_drop_is_known_by_its_folder_and_a_zip_by_its_key(cloud: Cloud) -> None:
    assert drop(cloud, FORMS["parts"])["folder"] == "ml"
    cloud.put("a/b.zip", zipped(INPUT))
    launcher.lambda_handler(dropped("a/b.zip"), CONTEXT)
    assert sorted(run["folder"] for run in cloud.all_runs()) == ["a/b.zip", "ml"]


@pytest.mark.parametrize(
    "tags", [{"ml/tag.csv": TAGS}, {"ml/tags.csv.gz": packed(TAGS)},
             {f"ml/tags.csv/{PART.format(0)}": TAGS}]
)  # fmt: skip
def test_tags_may_have_every_form_too(cloud: Cloud, tags: Mapping[str, str | bytes]) -> None:
    run = drop(cloud, {**tags, "ml/ratings.csv": RATINGS, "ml/movies.csv": MOVIES})
    assert stored(cloud, run) == INPUT | {"tags.csv": TAGS}


@pytest.mark.parametrize(
    "genome", [{"ml/genome-scores.csv": GENOME, "ml/genome-tags.csv": NAMES},
               {"ml/genome_scores.csv": GENOME, "ml/genome_tags.csv": NAMES},
               {"ml/genome-scores.csv.gz": packed(GENOME),
                f"ml/genome-tags.csv/{PART.format(0)}": NAMES}]
)  # fmt: skip
def test_the_tag_genome_may_have_every_form_too(
    cloud: Cloud, genome: Mapping[str, str | bytes]
) -> None:
    run = drop(cloud, {**genome, "ml/ratings.csv": RATINGS, "ml/movies.csv": MOVIES})
    expected = {"genome-scores.csv": GENOME, "genome-tags.csv": NAMES}
    assert stored(cloud, run) == INPUT | expected
    cloud.put("ml.zip", zipped({f"ml/{name}": text for name, text in (INPUT | expected).items()}))
    launcher.lambda_handler(dropped("ml.zip"), CONTEXT)
    (zip_run,) = (each for each in cloud.all_runs() if each["folder"] == "ml.zip")
    assert stored(cloud, zip_run) == INPUT | expected


@pytest.mark.parametrize(
    "links", [{"ml/links.csv": LINKS}, {"ml/Link.csv": LINKS}, {"ml/links.csv.gz": packed(LINKS)},
              {f"ml/links.csv/{PART.format(0)}": LINKS}]
)  # fmt: skip
def test_links_may_have_every_form_too(cloud: Cloud, links: Mapping[str, str | bytes]) -> None:
    run = drop(cloud, {**links, "ml/ratings.csv": RATINGS, "ml/movies.csv": MOVIES})
    assert stored(cloud, run) == INPUT | {"links.csv": LINKS}
    inside = {f"ml/{name}": text for name, text in INPUT.items()}
    cloud.put("ml.zip", zipped(inside | links))
    launcher.lambda_handler(dropped("ml.zip"), CONTEXT)
    (zip_run,) = (each for each in cloud.all_runs() if each["folder"] == "ml.zip")
    assert stored(cloud, zip_run) == INPUT | {"links.csv": LINKS}


def test_tags_of_a_zip_are_read(cloud: Cloud) -> None:
    run = drop(cloud, {"ml.zip": zipped({f"ml/{name}": text for name, text in INPUT.items()}
                                        | {"ml/tags.csv": TAGS})})  # fmt: skip
    assert stored(cloud, run) == INPUT | {"tags.csv": TAGS}


def test_a_first_line_of_data_that_two_parts_share_is_kept_twice(cloud: Cloud) -> None:
    part = "1::1::4.5::978300760\n"
    run = drop(
        cloud,
        {
            "ml/ratings.dat/part-00000": part,
            "ml/ratings.dat/part-00001": part,
            "ml/movies.dat": "1::Toy Story (1995)::Animation\n",
        },
    )
    assert stored(cloud, run)["ratings.dat"] == part * 2


def test_the_size_of_the_disks_follows_from_the_unpacked_ratings(cloud: Cloud) -> None:
    """Other ratings than the files of the drop have."""
    text = HEADER + "".join(LINES) * 5000
    run = drop(cloud, {"ml.zip": zipped({"ratings.csv": text, "movies.csv": MOVIES})})
    own = cloud.s3.head_object(Bucket="results", Key=f"runs/{run['run_id']}/input/ratings.csv")
    assert own["ContentLength"] == len(text)


def encrypted(blob: bytes) -> bytes:
    """The same zip with every member marked as encrypted."""
    marked = bytearray(blob)
    for signature, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = -1
        while (at := marked.find(signature, at + 1)) >= 0:
            marked[at + place] |= 1
    return bytes(marked)


def with_method(blob: bytes, method: int) -> bytes:
    """The same zip with every member marked as compressed in another way."""
    marked = bytearray(blob)
    for signature, place in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        at = -1
        while (at := marked.find(signature, at + 1)) >= 0:
            marked[at + place] = method
    return bytes(marked)


def doubled(blob: bytes) -> bytes:
    """The same zip with the member `x` called `ratings.csv`."""
    return blob.replace(b"xxxxxxx.csv", b"ratings.csv")


ML = {f"ml/{name}": text for name, text in INPUT.items()}
REFUSED: dict[str, tuple[Mapping[str, str | bytes], str]] = {
    "two forms": (
        {"ml/ratings.csv.gz": packed(RATINGS), "ml/ratings.csv": RATINGS, "ml/movies.csv": MOVIES},
        "ml holds ratings.csv and ratings.csv.gz, and each is ratings.csv: keep one",
    ),
    "two names": (
        {"ml/Ratings.csv": RATINGS, "ml/rating.csv": RATINGS, "ml/movies.csv": MOVIES},
        "ml holds Ratings.csv and rating.csv, and each is ratings.csv: keep one",
    ),
    "a file and parts": (
        {
            "ml/ratings.csv": RATINGS,
            f"ml/ratings.csv/{PART.format(0)}": RATINGS,
            "ml/movies.csv": MOVIES,
        },
        f"ml holds ratings.csv and ratings.csv/{PART.format(0)}, and each is ratings.csv",
    ),
    "two formats": (
        {**ML, "ml/u.data.gz": packed("1\t1\t5\t0\n"), "ml/u.item": "1|Toy Story|\n"},
        "ml holds ratings.csv + movies.csv and u.data + u.item: keep the files of one format",
    ),
    "a truncated gzip": (
        {"ml/ratings.csv.gz": packed(RATINGS)[:-9], "ml/movies.csv": MOVIES},
        "ratings.csv.gz is damaged or incomplete, so it cannot be unpacked (Compressed file ended",
    ),
    "a gzip with a wrong checksum": (
        {"ml/ratings.csv.gz": packed(RATINGS)[:-8] + bytes(8), "ml/movies.csv": MOVIES},
        "ratings.csv.gz is damaged or incomplete, so it cannot be unpacked (CRC check failed",
    ),
    "no gzip": (
        {"ml/ratings.csv.gz": RATINGS, "ml/movies.csv": MOVIES},
        "ratings.csv.gz is damaged or incomplete, so it cannot be unpacked (Not a gzipped file",
    ),
    "bad lines in a gzip": (
        {"ml/ratings.csv.gz": packed("nonsense\n" * 9), "ml/movies.csv": MOVIES},
        "ratings.csv: ",
    ),
    "no zip": (
        {"ml.zip": "nothing"},
        "ml.zip is damaged or incomplete, so it cannot be unpacked (File is not a zip file)",
    ),
    "half a zip": (
        {"ml.zip": zipped(ML)[: len(zipped(ML)) // 2]},
        "ml.zip is damaged or incomplete, so it cannot be unpacked (File is not a zip file)",
    ),
    "an empty zip": ({"ml.zip": zipped({})}, "ml.zip is not a MovieLens folder: it needs one of"),
    "a zip without movies": (
        {"ml.zip": zipped({"a/ratings.csv": RATINGS, "b/README": "read"})},
        "ml.zip/a is not a MovieLens folder: it needs one of ratings.dat + movies.dat, ratings.csv "
        "+ movies.csv, u.data + u.item; found ratings.csv",
    ),
    "a zip of a zip": (
        {"ml.zip": zipped({"ml-1m.zip": zipped(ML)})},
        "ml.zip is not a MovieLens folder",
    ),
    "a zip of two data sets": (
        {"ml.zip": zipped(ML | {f"old/{name}": text for name, text in INPUT.items()})},
        "ml.zip holds the data sets ml.zip/ml and ml.zip/old: drop a zip of one folder",
    ),
    "a doubled member": (
        {"ml.zip": doubled(zipped(INPUT | {"xxxxxxx.csv": RATINGS}))},
        "ml.zip holds ratings.csv and ratings.csv, and each is ratings.csv: keep one",
    ),
    "two members for a file": (
        {"ml.zip": zipped(INPUT | {"RATINGS.csv.gz": packed(RATINGS)})},
        "ml.zip holds RATINGS.csv.gz and ratings.csv, and each is ratings.csv: keep one",
    ),
    "a member above": (
        {"ml.zip": zipped(ML | {"ml/../../x": "x"})},
        "ml.zip has the member ml/../../x, which would be outside of it: pack the folder again",
    ),
    "an absolute member": (
        {"ml.zip": zipped(ML | {"/etc/passwd": "x"})},
        "ml.zip has the member /etc/passwd, which would be outside of it",
    ),
    "a member of a drive": (
        {"ml.zip": zipped(ML | {"C:\\x": "x"})},
        "ml.zip has the member C:\\x, which would be outside of it",
    ),
    "an encrypted zip": (
        {"ml.zip": encrypted(zipped(ML))},
        "ml/ratings.csv is encrypted: pack the folder without a password",
    ),
    "a zip with Deflate64, as Windows makes large ones": (
        {"ml.zip": with_method(zipped(ML), 9)},
        "ml/ratings.csv cannot be unpacked (That compression method is not supported): pack the",
    ),
    "a bomb": (
        {"ml.zip": zipped({"ratings.csv": HEADER + LINES[0] * 400_000, "movies.csv": MOVIES})},
        "ml.zip becomes more than 100 times as large when it is unpacked: drop the unpacked files",
    ),
    "a bomb in gzip": (
        {"ml/ratings.csv.gz": packed(HEADER + LINES[0] * 400_000), "ml/movies.csv": MOVIES},
        "ml becomes more than 100 times as large when it is unpacked: drop the unpacked files",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_drop_that_cannot_be_unpacked_is_refused_in_a_sentence_before_it_costs_anything(
    cloud: Cloud, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "ALWAYS", 2**20)
    files, sentence = REFUSED[case]
    run = drop(cloud, files)
    assert run["state"] == "FAILED"
    assert sentence in run["reason"]
    assert "\n" not in run["reason"]
    assert cloud.clusters() == []


def test_a_member_that_lies_about_its_size_is_stopped_by_what_comes_out(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "MAX_FILE", 100_000)
    text = HEADER + "".join(LINES) * 500
    run = drop(cloud, {"ml/ratings.csv.gz": packed(text), "ml/movies.csv": MOVIES})
    assert run["reason"] == "ratings.csv has more than 100000 bytes; the limit is 5 GiB"
    assert "ratings.csv" not in stored(cloud, run)


def test_what_takes_too_long_to_unpack_is_refused_before_the_function_times_out(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(step=unpacking.SECONDS + 1)
    monkeypatch.setattr(unpacking, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    run = drop(cloud, {"ml.zip": zipped(ML)})
    assert run["state"] == "FAILED"
    assert "takes longer than 80 seconds to unpack: drop the unpacked files" in run["reason"]


def test_a_huge_directory_of_a_zip_is_not_read(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "MAX_DIRECTORY", 2**17)
    run = drop(cloud, {"ml.zip": zipped(ML | {f"{number:0200d}": "" for number in range(600)})})
    assert "its directory is larger than 131072 bytes" in run["reason"]


def test_a_zip_that_is_replaced_while_it_is_read_fails_the_run(cloud: Cloud) -> None:
    cloud.put("ml.zip", zipped(ML))
    folder = list_folder(cloud.s3, DATASETS, "ml.zip", long_ago())
    cloud.put("ml.zip", zipped(ML | {"more": "more"}))
    with (
        pytest.raises(DatasetError, match=r"ml\.zip was replaced while the run"),
        unpacking.opened(cloud.s3, folder),
    ):
        pass


@given(data=st.data())
def test_any_damage_of_a_zip_or_gzip_is_a_sentence_or_harmless(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([zipped(ML), packed(RATINGS)]))
    is_zip = whole.startswith(b"PK")
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    content = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    key = "ml.zip" if is_zip else "ml/ratings.csv.gz"
    held = {key: content, "ml/movies.csv": MOVIES.encode()}
    store = Store(held)
    names = [key] if is_zip else list(held)
    files = tuple(DatasetFile(name, "", len(held[name]), datetime.now(UTC)) for name in names)
    try:
        with unpacking.opened(store, Folder("b", key if is_zip else "ml/", files)) as source:  # type: ignore[arg-type]
            for name, parts in dataset(source.folder).sources.items():
                unpacking.unpack(store, source, parts, "results", name)  # type: ignore[arg-type]
    except DatasetError:
        return
    assert set(store.written) <= {"ratings.csv", "movies.csv", "tags.csv"}


class Store:
    """Objects by key, read in ranges; what is uploaded is counted, and not kept."""

    def __init__(self, held: Mapping[str, bytes]) -> None:
        self.held, self.written = held, dict[str, int]()

    def get_object(self, *, Key: str, Range: str, **_: str) -> dict[str, Any]:  # noqa: N803
        """GetObject."""
        first, last = map(int, Range.removeprefix("bytes=").split("-"))
        return {"Body": io.BytesIO(self.held[Key][first : last + 1])}

    def upload_fileobj(self, content: Any, _bucket: str, key: str, **_: object) -> None:
        """Upload in parts."""
        self.written[key] = 0
        while part := content.read(unpacking.RANGE):
            self.written[key] += len(part)


def test_memory_stays_at_a_few_chunks_however_large_the_zip(tmp_path: Path) -> None:
    chance = random.Random(23)
    lines = "".join(f"{chance.randrange(10**6)},{chance.randrange(10**5)},4.5,{chance.random()}\n"
                    for _ in range(30_000))  # fmt: skip
    path = tmp_path / "ml.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("ratings.csv", "w") as member:
            for _ in range(90):
                member.write(lines.encode())
        archive.writestr("movies.csv", MOVIES)
    content = path.read_bytes()
    store = Store({"ml.zip": content})
    folder = Folder("b", "ml.zip", (DatasetFile("ml.zip", "", len(content), datetime.now(UTC)),))
    tracemalloc.start()
    with unpacking.opened(store, folder) as source:  # type: ignore[arg-type]
        data = dataset(source.folder)
        unpacking.unpack(store, source, data.sources["ratings.csv"], "r", "x/ratings.csv")  # type: ignore[arg-type]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert store.written == {"x/ratings.csv": 90 * len(lines)}
    assert store.written["x/ratings.csv"] > 2 * peak
    assert peak < 6 * unpacking.RANGE
