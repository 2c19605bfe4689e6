"""The reasons that the API names are those that made a title a neighbour."""

import csv
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from live_pointer import LivePointer
from query.why import why
from spark import job
from spark.contracts.neighbour_lines import neighbours_of
from spark.ingest.tags import normalised
from tests.builders.results import manifest_of, read_lines
from tests.conftest import movielens

pytestmark = pytest.mark.spark

FIRST = 10  # neighbours that a page shows
PAIRS = 60

type Table = list[list[str]]


def lines_of(dataset: Path, output: Path) -> dict[int, dict[str, Any]]:
    """A data set's lines of neighbours by the blend, by movie."""
    options = "--measures", "blend", "--test-users", "0"
    assert job.main(["--dataset", str(dataset), "--output", str(output), *options]) == 0
    parts = (part.name for part in manifest_of(output).neighbours)
    return {line["movie_id"]: line for line in read_lines(output, *parts)}


def some_pairs(
    lines: Mapping[int, dict[str, Any]], chance: random.Random
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Movies, each with one of its first neighbours; no movie is in two pairs."""
    used: set[int] = set()
    for movie in chance.sample(sorted(lines), len(lines)):
        rows = neighbours_of(lines[movie], "blend")[:FIRST]
        row = chance.choice(rows) if rows else None
        if row and not used & {movie, row["movie_id"]}:
            used |= {movie, row["movie_id"]}
            yield movie, row


def without_evidence(tables: Mapping[str, Table], movie: int, other: int, facts: Any) -> None:
    """Take from a data set what two movies share, by changing the other movie."""
    for row in tables["movies.csv"]:
        if row[0] == str(other):
            genres = [genre for genre in row[2].split("|") if genre not in facts.genres]
            row[2] = "|".join(genres) or "(no genres listed)"
            if facts.series or facts.decade:
                row[1] = f"Untitled {other}"
    tags = tables["tags.csv"]
    tags[:] = [row for row in tags if row[1] != str(other) or normalised(row[2]) not in facts.tags]
    ratings = tables["ratings.csv"]
    both = {row[0] for row in ratings if row[1] == str(movie)} if facts.co_raters else set()
    ratings[:] = [row for row in ratings if row[1] != str(other) or row[0] not in both]


@pytest.mark.usefixtures("running")
def test_without_the_named_evidence_nine_of_ten_neighbours_fall(tmp_path: Path) -> None:
    folder, changed = movielens("ml-latest-small"), tmp_path / "changed"
    before = lines_of(folder, tmp_path / "before")
    live = LivePointer("R1", "blend", ["blend"], 10, "0.95", "titles", None, None, "", users=610)
    names = "ratings.csv", "movies.csv", "tags.csv"
    tables = {name: list(csv.reader((folder / name).open())) for name in names}
    pairs = []
    for movie, row in some_pairs(before, random.Random(24)):
        without_evidence(tables, movie, row["movie_id"], why(live, before[movie], row))
        pairs.append((movie, row["movie_id"]))
        if len(pairs) == PAIRS:
            break
    changed.mkdir()
    for name, table in tables.items():
        with (changed / name).open("w", newline="") as stream:
            csv.writer(stream).writerows(table)
    after = lines_of(changed, tmp_path / "after")

    def rank(lines: Mapping[int, dict[str, Any]], movie: int, other: int) -> int:
        ids = [row["movie_id"] for row in neighbours_of(lines[movie], "blend")]
        return ids.index(other) if other in ids else len(ids)

    fell = [rank(after, *pair) > rank(before, *pair) for pair in pairs]
    assert sum(fell) >= 0.9 * PAIRS, [
        pair for pair, is_lower in zip(pairs, fell, strict=True) if not is_lower
    ]
