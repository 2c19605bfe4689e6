"""The movies file: titles, years and genres; and the catalogue of all listed or rated movies."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from spark.contracts.movielens import (
    BLANKS,
    GENRES_100K,
    NO_GENRES,
    Format,
    movie_defect,
    split_line,
)
from spark.ingest.lines import data_lines
from spark.ingest.rejects import LineReport, Reject

FIRST_FLAG = 5  # the column of u.item in which the genre flags begin
# A span of years has a hyphen or an en dash and can be open: (1975-1979), (2007-).
_YEAR = re.compile(r"\(([0-9]{4})(?:[-\u2013](?:[0-9]{4})?)?\)\Z")


@dataclass(frozen=True)
class Movie:
    """One movie of the movies file.

    Attributes:
        movie_id: MovieLens' id.
        title: as in the file, without surrounding blanks; None if the file lacks the movie.
        year: at the end of the title, of a span the first year; None if the title has none.
        genres: names, in the file's order.
    """

    movie_id: int
    title: str | None
    year: int | None
    genres: list[str]


@dataclass(frozen=True)
class Catalogue:
    """All movies that are listed in the movies file or were rated, by ascending id.

    Attributes:
        ids: int32.
        about: for each movie `movie_id`, `title` (null if not listed), `year`, `genres` as the
            inside of a JSON object. It is text because it is written once for every movie that it
            is a neighbour of.
        ratings: int64, how many users rated each.
        listed: how many are in the movies file.
    """

    ids: np.ndarray
    about: list[str]
    ratings: np.ndarray
    listed: int


def read_movies(uri: str, format: Format) -> tuple[list[Movie], LineReport, list[Reject]]:
    """Read a movies file by the rules of `movielens.movie_defect`.

    Returns:
        The movies in the file's order, the report on its lines, and the rejected lines.
    """
    movies, rejects = [], []
    lines = 0
    for line in data_lines(uri, format):
        lines += 1
        if defect := movie_defect(line, format):
            rejects.append(Reject(defect, line))
        else:
            movies.append(parse_movie(line, format))
    defects = Counter(reject.defect for reject in rejects)
    return movies, LineReport(lines, dict(sorted(defects.items()))), rejects


def parse_movie(line: str, format: Format) -> Movie:
    """Parse a good line of a movies file."""
    columns = split_line(line, format.movies_separator)
    title = columns[1].strip(BLANKS)
    year = _YEAR.search(title)
    if format.name == "100k":
        flags = zip(GENRES_100K, columns[FIRST_FLAG:], strict=True)
        genres = [genre for genre, flag in flags if flag == "1" and genre != "unknown"]
    else:
        names = columns[format.movies_columns - 1].split("|")
        genres = [genre for genre in names if genre not in ("", NO_GENRES)]
    return Movie(int(columns[0]), title, int(year[1]) if year else None, genres)


def catalogue(movies: Iterable[Movie], rated: np.ndarray, raters: np.ndarray) -> Catalogue:
    """The catalogue of the listed and the rated movies.

    Args:
        movies: if several have the same id, the first one counts.
        rated: int32, ids of the rated movies, ascending.
        raters: int64, how many users rated each.
    """
    first: dict[int, Movie] = {}
    for movie in movies:
        first.setdefault(movie.movie_id, movie)
    ids = np.union1d(np.fromiter(first, np.int32, len(first)), rated).astype(np.int32)
    ratings = np.zeros(ids.size, np.int64)
    ratings[np.searchsorted(ids, rated)] = raters
    about = [_about(first.get(id) or Movie(id, None, None, [])) for id in ids.tolist()]
    return Catalogue(ids, about, ratings, len(first))


def _about(movie: Movie) -> str:
    return json.dumps(vars(movie), ensure_ascii=False, separators=(",", ":"))[1:-1]
