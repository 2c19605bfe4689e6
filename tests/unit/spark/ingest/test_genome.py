"""The tag genome: the most relevant tags of each movie, from files of any size and order."""

import csv
import random
import tracemalloc
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from spark.contracts.movielens import FORMATS, DatasetError
from spark.ingest import genome, lines
from spark.ingest.dataset import GENOME_WEIGHT, movie_tags
from spark.ingest.genome import LEAST_RELEVANCE, MOST_PER_MOVIE, read_genome
from spark.storage import list_files

CSV = FORMATS[1]
HEADER = "movieId,tagId,relevance\n"
NAMES = 'tagId,tag\n1,007\n2,007 (series)\n3,Sci-Fi\n4,sci fi\n5,overrated\n6,"drugs, etc."\n'
type Tags = dict[tuple[int, str], float]


def read(folder: Path, scores: str | None = None, names: str | None = NAMES) -> Tags:
    """The relevant tags by files with these texts; None leaves a file as it is."""
    for name, text in (("genome-scores.csv", scores), ("genome-tags.csv", names)):
        if text is not None:
            (folder / name).write_bytes(text.encode())
    paths = str(folder / "genome-scores.csv"), str(folder / "genome-tags.csv")
    return read_genome(paths[0], CSV.genome_scores_layout, paths[1], CSV.genome_tags_layout)


def release(folder: Path, movies: int, tags: int) -> None:
    """Files in the format of ml-25m: every movie has a score for every tag; most are low."""
    rng = np.random.default_rng(7)
    with (folder / "genome-scores.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["movieId", "tagId", "relevance"])
        for movie in range(1, movies + 1):
            # In quarters of a thousandth, as in the release (0.02875), so some are equal.
            scores = np.round(rng.beta(0.5, 2.5, tags) * 4000) / 4000
            writer.writerows(zip([movie] * tags, range(1, tags + 1), scores.tolist(), strict=True))
    text = "".join(f"{tag},tag {tag % 997}x\n" for tag in range(1, tags + 1))
    (folder / "genome-tags.csv").write_text("tagId,tag\n" + text)


def plain(rows: Iterable[tuple[int, str, float]]) -> dict[int, list[float]]:
    """By plain loops: the highest relevances of each movie, each tag once."""
    scores: dict[int, dict[str, float]] = defaultdict(dict)
    for movie, tag, relevance in rows:
        if relevance >= LEAST_RELEVANCE:
            scores[movie][tag] = max(relevance, scores[movie].get(tag, 0))
    return {
        movie: sorted(of.values(), reverse=True)[:MOST_PER_MOVIE] for movie, of in scores.items()
    }


def by_movie(found: Tags) -> dict[int, list[float]]:
    """The relevances of each movie, the highest first."""
    scores = defaultdict(list)
    for (movie, _), relevance in found.items():
        scores[movie].append(relevance)
    return {movie: sorted(of, reverse=True) for movie, of in scores.items()}


def test_a_release_gives_each_movie_its_most_relevant_tags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "BLOCK", 2**16)  # many blocks, which cut lines and movies
    release(tmp_path, movies=60, tags=1128)
    with (tmp_path / "genome-scores.csv").open() as file:
        rows = [
            (int(m), f"tag {int(t) % 997}x", float(r)) for m, t, r in list(csv.reader(file))[1:]
        ]
    found = read(tmp_path, names=None)
    expected = plain(rows)
    assert by_movie(found) == {m: pytest.approx(of, abs=1e-6) for m, of in expected.items()}
    best = {(m, t): r for m, t, r in sorted(rows, key=lambda row: row[2])}
    assert all(best[tag] == pytest.approx(relevance) for tag, relevance in found.items())
    assert max(map(len, expected.values())) == MOST_PER_MOVIE, "the limit has been reached"


def test_the_order_of_lines_and_columns_and_line_ends_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "BLOCK", 2**14)
    release(tmp_path, movies=20, tags=300)
    expected = read(tmp_path, names=None)
    _, *rows = (tmp_path / "genome-scores.csv").read_text().splitlines()
    random.Random(7).shuffle(rows)
    assert read(tmp_path, HEADER + "\n".join(rows), None) == expected
    turned = "\r\n".join(",".join(row.split(",")[::-1]) for row in rows)
    assert read(tmp_path, "\ufeffRelevance,tag_id,movie_id\r\n" + turned, None) == expected
    assert read(tmp_path, "\r" + HEADER.strip() + "\r" + "\r".join(rows), None) == expected
    assert read(tmp_path, "\n".join(rows), None) == expected, "without a header"


def test_memory_holds_a_block_and_the_best_tags_and_not_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "BLOCK", 2**18)
    release(tmp_path, movies=200, tags=1128)
    path = tmp_path / "genome-scores.csv"
    body = path.read_text().removeprefix(HEADER)

    def peak() -> int:
        tracemalloc.start()
        found = read(tmp_path, names=None)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len({movie for movie, _ in found}) == 200
        return most

    peak()  # what is imported at the first time does not count
    once = peak()
    with path.open("a") as file:
        file.writelines([body] * 5)
    assert path.stat().st_size > 2**24, "the file is much larger than a block"
    assert peak() < 1.2 * once < 2**23
    with path.open("a") as file:
        file.write("7" * 2**24)  # a line without an end
    assert peak() < 2**23


def test_spellings_of_a_tag_are_one_and_stopped_tags_take_no_place(tmp_path: Path) -> None:
    scores = "7,1,0.9\n7,2,0.8\n7,3,0.6\n7,4,0.75\n7,5,1.0\n7,6,0.5\n8,6,0.4995\n"
    assert read(tmp_path, HEADER + scores) == pytest.approx(
        {(7, "007"): 0.9, (7, "007 series"): 0.8, (7, "sci fi"): 0.75, (7, "drugs etc"): 0.5}
    )
    many = "tagId,tag\n" + "".join(f"{tag},seen {tag}\n" for tag in range(50)) + "99,noir\n"
    scores = HEADER + "".join(f"7,{tag},0.9\n" for tag in range(50)) + "7,99,0.6\n"
    assert read(tmp_path, scores, many) == {(7, "noir"): pytest.approx(0.6)}


GOOD = "7,1,0.9\n8,3,0.625\n"


@pytest.mark.parametrize(
    "bad",
    ["nonsense", "7,2", "7,2,0.9,0", "x,2,0.9", "-7,2,0.9", "7,x,0.9", "7,77,0.9", "7,2,",
     ",2,0.9", "NA,2,0.9", "7,2,high", "7,2,1.5", "7,2,-0.5", "7,2,nan", "7,2,inf",
     "99999999999,2,0.9", '7,"2,0.9', "   ", "\ufffd,2,1", "7,2," + "9" * 10**6],
)  # fmt: skip
@pytest.mark.parametrize("block", [2**24, 8])
def test_bad_lines_are_skipped_and_good_ones_beside_them_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: str, block: int
) -> None:
    monkeypatch.setattr(lines, "BLOCK", block if len(bad) < 100 else 2**16)
    expected = {(7, "007"): pytest.approx(0.9), (8, "sci fi"): 0.625}
    assert read(tmp_path, f"{HEADER}{bad}\n{GOOD}{bad}\n") == expected
    found = read(tmp_path, f"\ufeff{GOOD}{bad}\nnonsense\n")  # no line by compiled code
    assert found == expected
    assert {type(movie) for movie, _ in found} == {int}


def test_numbers_in_other_notations_are_read_as_in_other_files(tmp_path: Path) -> None:
    scores = HEADER + '"7","1","0.9"\n 8.0 ,3.0, 6.25e-1\n'
    assert read(tmp_path, scores) == {(7, "007"): pytest.approx(0.9), (8, "sci fi"): 0.625}


def test_lines_as_in_the_releases_need_no_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(genome, "genome_score_of")
    assert len(read(tmp_path, HEADER + GOOD.replace("\n", "\r\n"))) == 2


@pytest.mark.parametrize("names", ["tagId,tag\n", "tagId,tag\n1,seen\nx,noir\n", ""])
def test_a_genome_without_tags_says_nothing(tmp_path: Path, names: str) -> None:
    assert read(tmp_path, HEADER + GOOD, names) == {}
    assert read(tmp_path, HEADER) == read(tmp_path, "") == {}


def test_a_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"genome-scores.csv: expected movieId,tagId,relevance"):
        read(tmp_path, "movieId,rating,relevance\n1,1,1\n")
    with pytest.raises(DatasetError, match=r"genome-tags.csv: expected tagId,tag; found"):
        read(tmp_path, HEADER, "id;name\n1;noir\n")


def movies_tags(folder: Path) -> Tags:
    """All tags of a folder."""
    return movie_tags(str(folder), CSV, list_files(str(folder)))


def test_the_genome_adds_to_what_users_say(tmp_path: Path) -> None:
    read(tmp_path, HEADER + "7,1,0.5\n7,3,1.0\n")
    assert movies_tags(tmp_path) == pytest.approx(
        {(7, "007"): GENOME_WEIGHT / 2, (7, "sci fi"): GENOME_WEIGHT}
    )
    ten = "".join(f"{user},9,noir,0\n" for user in range(10))
    (tmp_path / "tags.csv").write_text("userId,movieId,tag,timestamp\n1,7,Sci-Fi,0\n" + ten)
    assert movies_tags(tmp_path) == pytest.approx(
        {
            (7, "007"): GENOME_WEIGHT / 2,
            (7, "sci fi"): 1 + GENOME_WEIGHT,
            (9, "noir"): GENOME_WEIGHT,
        }
    )


@pytest.mark.parametrize("missing", ["genome-tags.csv", "genome-scores.csv"])
def test_half_a_genome_is_not_used_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, missing: str
) -> None:
    (tmp_path / "tags.csv").write_text("userId,movieId,tag,timestamp\n1,7,noir,0\n")
    assert movies_tags(tmp_path) == {(7, "noir"): 1}
    assert not caplog.messages
    read(tmp_path, HEADER + GOOD)
    (tmp_path / missing).unlink()
    (other,) = {"genome-tags.csv", "genome-scores.csv"} - {missing}
    assert movies_tags(tmp_path) == {(7, "noir"): 1}
    assert caplog.messages == [f"{other} is not used: {missing} is missing"]
