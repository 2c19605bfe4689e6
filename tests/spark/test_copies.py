"""Copies of a data set in another order, notation and encoding give the same result to the bit."""

import random
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from spark import job
from spark.contracts.movielens import MOVIE_COLUMNS, RATING_COLUMNS, TAG_COLUMNS

pytestmark = pytest.mark.spark

TITLES = ["Misérables, Les", "Schindler\u2019s List", 'The "Burbs"', "Bed & Board", "0", "1e3"]
MOVIES = [
    (f"{100 * n}", f"{TITLES[n % len(TITLES)]} ({1950 + n})", "Drama|Sci-Fi" if n % 3 else "War")
    for n in range(40)
]


def ratings() -> list[tuple[str, ...]]:
    """80 users, the first with id 0, rate 25 movies each."""
    chance = random.Random(7)
    rated = [(user, movie) for user in range(80) for movie, *_ in chance.sample(MOVIES, 25)]
    stars = [chance.randint(1, 10) / 2 for _ in rated]
    return [
        (f"{user}", movie, f"{halves:g}", f"{1_000_000 + 7 * n}")
        for n, ((user, movie), halves) in enumerate(zip(rated, stars, strict=True))
    ]


RATINGS = ratings()
TAGS = [(user, movie, f"tag {int(movie) % 5}", time) for user, movie, _, time in RATINGS[::9]]


@dataclass(frozen=True)
class Style:
    """How a copy is written.

    Attributes:
        columns: names of the columns of the ratings, the movies and the tags, in their order.
        seed: of the order of lines and the notation of each number.
        notes: whether numbers have any notation, or the usual one.
        encoding: of the text.
        end: of a line.
        is_quoted: whether every field has quotes.
        has_header: whether the first line names the columns; otherwise they have the usual order.
    """

    columns: tuple[tuple[str, ...], ...]
    seed: int
    notes: bool
    encoding: str
    end: str
    is_quoted: bool
    has_header: bool


def styles() -> st.SearchStrategy[Style]:
    """Any style of a folder with ratings.csv and movies.csv."""
    orders = (
        st.permutations(each).map(tuple) for each in (RATING_COLUMNS, MOVIE_COLUMNS, TAG_COLUMNS)
    )
    return st.builds(
        Style, st.tuples(*orders), st.integers(0, 99), st.booleans(),
        st.sampled_from(["utf-8", "utf-8-sig", "cp1252"]), st.sampled_from(["\n", "\r\n", "\r"]),
        st.booleans(), st.booleans(),
    )  # fmt: skip


def notation(text: str, chance: random.Random) -> str:
    """The same number in another notation."""
    exact = Decimal(text)
    forms = [text, f"{exact:f}", f"{exact.normalize():e}", f"{exact.normalize():E}", f" {text}"]
    return chance.choice([*forms, f"{text}.0" if exact == int(exact) and "." not in text else text])


def write(
    path: Path, names: tuple[str, ...], order: tuple[str, ...], rows: list, style: Style
) -> None:
    """Write one file in a style."""
    chance = random.Random(style.seed)
    order = order if style.has_header else names
    lines = [",".join(order)] if style.has_header else []
    for row in chance.sample(rows, len(rows)):
        cells = []
        for name in order:
            cell = row[names.index(name)]
            if style.notes and name not in ("title", "genres", "tag"):
                cell = notation(cell, chance)
            doubled = cell.replace('"', '""')
            is_odd = any(each in cell for each in ',"')
            cells.append(f'"{doubled}"' if style.is_quoted or is_odd else cell)
        lines.append(",".join(cells))
    path.write_bytes((style.end.join(lines) + style.end).encode(style.encoding))


def result_of(folder: Path, spark: SparkSession) -> dict[str, object]:
    """The bytes of all that a run computes, and the rows of its pairs."""
    output = folder.parent / f"result-{folder.name}"
    arguments = ["--dataset", str(folder), "--output", str(output), "--min-score", "0.3"]
    assert job.main(arguments) == 0
    computed = [*output.glob("neighbours/*"), *output.glob("titles/*"), output / "quality.json"]
    rows = spark.read.parquet(str(output / "similarities")).collect()
    assert rows
    assert not (output / "rejects").exists()
    return {each.name: each.read_bytes() for each in computed} | {"pairs": sorted(map(tuple, rows))}


def drop(folder: Path, style: Style) -> Path:
    """Write the data set in a style."""
    folder.mkdir()
    for name, names, order, rows in zip(
        ("ratings.csv", "movies.csv", "tags.csv"), (RATING_COLUMNS, MOVIE_COLUMNS, TAG_COLUMNS),
        style.columns, (RATINGS, MOVIES, TAGS), strict=True,
    ):  # fmt: skip
        write(folder / name, names, order, rows, style)
    return folder


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(style=styles())
@pytest.mark.usefixtures("running")
def test_a_permuted_re_encoded_re_notated_copy_gives_the_same_result_to_the_bit(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, style: Style
) -> None:
    path = tmp_path_factory.mktemp("copies")
    columns = RATING_COLUMNS, MOVIE_COLUMNS, TAG_COLUMNS
    plain = Style(columns, 0, False, "utf-8", "\n", False, True)
    if not RESULT:
        RESULT.update(result_of(drop(path / "plain", plain), spark))
    assert result_of(drop(path / "copy", style), spark) == RESULT


RESULT: dict[str, object] = {}  # of the plain copy
