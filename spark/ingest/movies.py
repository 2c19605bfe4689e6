"""The movies file: titles, years and genres; and the catalogue of all listed or rated movies."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from spark.contracts.movielens import GENRES_100K, NO_GENRES, Layout
from spark.contracts.movielens_lines import (
    BLANKS,
    MAX_ID,
    movie_defect,
    split_line,
    unescape,
    whole_number,
)
from spark.contracts.series import series_of
from spark.ingest.lines import data_lines
from spark.ingest.rejects import LineReport, Reject

FIRST_FLAG = 5  # the column of u.item in which the genre flags begin
LONGEST_TITLE = 10  # lines of a title in quotes
MOST_TAGS = 5  # of a movie, written once for every movie that it is a neighbour of
# A span of years has a hyphen or an en dash and can be open: (1975-1979), (2007- ). A bracket
# too many is not rare.
_YEAR = re.compile(r"\(\s*([0-9]{4})\s*(?:[-\u2013]\s*(?:[0-9]{4}\s*)?)?\)+\Z")


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
        about: for each movie `movie_id`, `title` (null if not listed), `year`, `genres`, and where
            it has them `series`, `imdb_id`, `tmdb_id` and `tags`, as the inside of a JSON object.
            It is text because it is written once for every movie that it is a neighbour of.
        ratings: int64, how many users rated each.
        listed: how many are in the movies file.
    """

    ids: np.ndarray
    about: list[str]
    ratings: np.ndarray
    listed: int


def read_movies(uri: str, layout: Layout) -> tuple[list[Movie], LineReport, list[Reject]]:
    """Read a movies file by the rules of `movielens.movie_defect`.

    Args:
        uri: of the file.
        layout: of the file.

    Returns:
        The movies in the file's order, the report on its lines, and the rejected lines. A title
        that goes on in the next lines is one line.
    """
    movies, rejects = [], []
    lines = 0
    for line in _joined(data_lines(uri, layout), layout):
        lines += 1
        if defect := movie_defect(line, layout):
            rejects.append(Reject(defect, line))
        else:
            movies.append(parse_movie(line, layout))
    defects = Counter(reject.defect for reject in rejects)
    return movies, LineReport(lines, dict(sorted(defects.items()))), rejects


def _joined(lines: Iterator[str], layout: Layout) -> Iterator[str]:
    """The lines with those joined over which a field in quotes extends.

    A line that only lacks a quote must not swallow others: those that are good by themselves end
    the search, and if no line closes the quote, each is a line of its own.
    """
    left: list[str] = []
    while True:
        line = left.pop(0) if left else next(lines, None)
        if line is None:
            return
        joined = line
        if '"' in line and movie_defect(line, layout) and not split_line(line, layout.separator):
            for place in range(LONGEST_TITLE):
                if place == len(left):
                    if (more := next(lines, None)) is None:
                        break
                    left.append(more)
                if not movie_defect(left[place], layout):
                    break
                joined += "\n" + left[place]
                if not movie_defect(joined, layout):
                    line, left = joined, left[place + 1 :]
                    break
        yield line


def parse_movie(line: str, layout: Layout) -> Movie:
    """Parse a good line of a movies file."""
    columns = split_line(line, layout.separator)
    movie_id = whole_number(columns[layout.columns.index("movieId")], MAX_ID)
    assert movie_id is not None  # noqa: S101  (the line is good)
    title = " ".join(unescape(columns[layout.columns.index("title")]).strip(BLANKS).splitlines())
    year = _YEAR.search(title)
    place = layout.place("genres")
    if place is None:
        flags = zip(GENRES_100K, columns[FIRST_FLAG:], strict=True)
        genres = [genre for genre, flag in flags if flag == "1" and genre != "unknown"]
    else:
        names = (unescape(name).strip(BLANKS) for name in columns[place].split("|"))
        genres = [genre for genre in names if genre not in ("", NO_GENRES)]
    return Movie(movie_id, title, int(year[1]) if year else None, genres)


def described(
    movies: Iterable[Movie],
    links: Mapping[int, Mapping[str, str | int]] = MappingProxyType({}),
) -> dict[int, str]:
    """What is said about each listed movie, by its id: `Catalogue.about`.

    Args:
        movies: if several have the same id, the first one counts.
        links: from `read_links`.
    """
    first: dict[int, Movie] = {}
    for movie in movies:
        first.setdefault(movie.movie_id, movie)
    every = [first[id] for id in sorted(first)]
    series = series_of([movie.title for movie in every])
    return {
        movie.movie_id: _about(movie, links, {"series": name} if name else {})
        for movie, name in zip(every, series, strict=True)
    }


def catalogue(
    listed: Mapping[int, str],
    rated: np.ndarray,
    raters: np.ndarray,
    links: Mapping[int, Mapping[str, str | int]] = MappingProxyType({}),
) -> Catalogue:
    """The catalogue of the listed and the rated movies.

    Args:
        listed: from `described`.
        rated: int32, ids of the rated movies, ascending.
        raters: int64, how many users rated each.
        links: from `read_links`, for rated movies that are not listed.
    """
    ids = np.union1d(np.fromiter(listed, np.int32, len(listed)), rated).astype(np.int32)
    ratings = np.zeros(ids.size, np.int64)
    ratings[np.searchsorted(ids, rated)] = raters
    about = [listed.get(id) or _about(Movie(id, None, None, []), links) for id in ids.tolist()]
    return Catalogue(ids, about, ratings, len(listed))


def _about(
    movie: Movie,
    links: Mapping[int, Mapping[str, str | int]],
    more: Mapping[str, str] = MappingProxyType({}),
) -> str:
    return _inside(vars(movie) | dict(more) | dict(links.get(movie.movie_id, {})))


def with_tags(catalogue: Catalogue, tags: Iterable[Sequence[str]]) -> Catalogue:
    """The catalogue in which each movie also has the tags that say most about it.

    Args:
        catalogue: without tags.
        tags: of each movie, the most telling first; the first MOST_TAGS are kept.
    """
    about = [
        f"{each},{_inside({'tags': own[:MOST_TAGS]})}" if own else each
        for each, own in zip(catalogue.about, tags, strict=True)
    ]
    return replace(catalogue, about=about)


def _inside(values: Mapping[str, object]) -> str:
    """The inside of a JSON object."""
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))[1:-1]
