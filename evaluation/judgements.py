"""People's judgements of which movies are alike: reads a file of them and finds their movies.

Two formats, both with a header and separated by tabs or commas: `title_1 year_1 title_2 year_2
rating`, as the MoreLikeThis data set is published, and `movie_id_1 movie_id_2 rating` with
MovieLens' ids. A rating is OK or NOT_OK.
"""

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from query.search import title_text
from spark.contracts.movielens_lines import MAX_ID, whole_number
from spark.ingest.movies import Catalogue

ALIKE = {"OK": True, "NOT_OK": False}
BY_TITLE = "title_1", "year_1", "title_2", "year_2", "rating"
BY_ID = "movie_id_1", "movie_id_2", "rating"
QUOTED = 40  # characters of the file in a message


class JudgementsError(Exception):
    """Unusable judgements; the message is for the person whose file it is."""


class Title(NamedTuple):
    """A movie as a file of judgements names it.

    Attributes:
        text: without the year.
        year: of the release; None if the file has no number there.
    """

    text: str
    year: int | None


class Judgement(NamedTuple):
    """One judgement: whether the second movie is a good answer to the first.

    Attributes:
        first: by title, or by MovieLens' id.
        second: likewise.
        is_alike: whether it was rated OK.
    """

    first: Title | int
    second: Title | int
    is_alike: bool


@dataclass(frozen=True)
class JudgedPairs:
    """The judgements on movies that a data set has.

    Attributes:
        first: int64 [pairs], indices of movies in the catalogue.
        second: int64 [pairs].
        is_alike: bool [pairs].
        unjoined: how many other judgements there are: on a movie that was not found, or on one and
            the same.
    """

    first: np.ndarray
    second: np.ndarray
    is_alike: np.ndarray
    unjoined: int

    @property
    def counts(self) -> dict[str, int]:
        """Their numbers, for the report."""
        return {
            "joined": self.first.size,
            "unjoined": self.unjoined,
            "alike": int(self.is_alike.sum()),
            "titles": np.unique(self.first).size,
        }


def read(path: Path) -> list[Judgement]:
    """Read a file of judgements.

    Raises:
        JudgementsError: the file is not of either format.
    """
    try:
        with path.expanduser().open(encoding="utf-8-sig", newline="") as file:
            has_tabs = "\t" in file.readline()
            file.seek(0)
            rows = (
                csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
                if has_tabs
                else csv.DictReader(file)
            )
            found = list(_judgements(rows, rows.fieldnames or ()))
    except OSError as error:
        raise JudgementsError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise JudgementsError(f"{path.name} is not text in UTF-8") from error
    except (csv.Error, ValueError) as error:
        raise JudgementsError(f"{path.name}: {error}") from error
    if not found:
        raise JudgementsError(f"{path.name} has a header but no judgements")
    return found


def join(judgements: Sequence[Judgement], movies: Catalogue) -> JudgedPairs:
    """Find the judged movies in a data set.

    Titles are compared by `title_text.forms`. The year may differ by one if only one movie fits.

    Args:
        judgements: from `read`.
        movies: the catalogue.

    Raises:
        JudgementsError: too few judgements are on movies of this data set.
    """
    ids = {id: place for place, id in enumerate(movies.ids.tolist())}
    by_title = _by_title(movies.about)
    pairs = []
    for first, second, is_alike in judgements:
        places = [
            ids.get(movie) if isinstance(movie, int) else _place(movie, by_title)
            for movie in (first, second)
        ]
        if None not in places and places[0] != places[1]:
            pairs.append((*places, is_alike))
    if not pairs:
        raise JudgementsError(
            f"none of the {len(judgements):,} judgements is on two movies of this data set"
        )
    one, other, alike = (np.array(column) for column in zip(*pairs, strict=True))
    found = JudgedPairs(one, other, alike, len(judgements) - len(pairs))
    for rating, kind in ALIKE.items():
        if np.unique(found.first[found.is_alike == kind]).size < 2:  # no error without another
            raise JudgementsError(
                f"of the {len(judgements):,} judgements, {len(pairs):,} are on movies of this data "
                f"set; at least two first titles need one rated {rating}"
            )
    return found


def _judgements(
    rows: Iterable[Mapping[str | None, str | None]], columns: Sequence[str]
) -> Iterator[Judgement]:
    """The judgements in a file's rows; a ValueError says what is wrong with one."""
    if not any(set(columns) >= set(wanted) for wanted in (BY_TITLE, BY_ID)):
        raise ValueError(
            f"expected the columns {', '.join(BY_TITLE)} or {', '.join(BY_ID)}; found "
            f"{', '.join(columns)[:QUOTED] or 'an empty file'}"
        )
    by_id = set(columns) >= set(BY_ID)
    for number, row in enumerate(rows, start=1):
        cells = {name: row[name] or "" for name in (BY_ID if by_id else BY_TITLE)}
        rating = cells["rating"].strip().upper()
        if None in row or None in row.values():
            raise ValueError(f"judgement {number} does not have {len(columns)} columns")
        if rating not in ALIKE:
            found = cells["rating"][:QUOTED]
            raise ValueError(f"judgement {number} is not rated {' or '.join(ALIKE)} but {found!r}")
        first, second = (_id(cells, which) if by_id else _title(cells, which) for which in "12")
        yield Judgement(first, second, ALIKE[rating])


def _id(cells: Mapping[str, str], which: str) -> int:
    text = cells[f"movie_id_{which}"]
    found = whole_number(text, MAX_ID)
    if found is None:
        raise ValueError(f"{text[:QUOTED]!r} is not a movie's id")
    return found


def _title(cells: Mapping[str, str], which: str) -> Title:
    return Title(cells[f"title_{which}"], whole_number(cells[f"year_{which}"], most=9999))


def _by_title(about: Iterable[str]) -> Mapping[tuple[str, int], set[int]]:
    """Indices of movies by each form of their title and their year."""
    found = defaultdict(set)
    for place, text in enumerate(about):
        movie = json.loads(f"{{{text}}}")
        if movie["year"] is not None:
            for form in title_text.forms(movie["title"]):
                found[form, movie["year"]].add(place)
    return found


def _place(movie: Title, by_title: Mapping[tuple[str, int], set[int]]) -> int | None:
    """The index of the one movie with a title, of the same year or else of those around it."""
    if movie.year is None:
        return None
    form = title_text.normalise(movie.text)
    for years in ((movie.year,), (movie.year - 1, movie.year + 1)):
        fitting = set().union(*(by_title.get((form, year), set()) for year in years))
        if fitting:
            return fitting.pop() if len(fitting) == 1 else None
    return None
