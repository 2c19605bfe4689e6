"""The lines of MovieLens files: what makes one good, and what it says.

Standard library only. The job reads by these rules, and the launcher checks by them before a
cluster costs money.
"""

import codecs
import csv
import html
import re
from decimal import Decimal
from typing import Literal

from spark.contracts.movielens import Column, Layout

MAX_ID = 2**31 - 1
MAX_TIMESTAMP = 10**18 - 1
MIN_RATING = 0.5
MAX_RATING = 5.0
RATING_STEP = 0.5
# Characters of a line; the longest in MovieLens has a few hundred.
MAX_LINE = 2**16
# These may surround a title. A line of nothing else is blank.
BLANKS = " \t\n\v\f\r"

type Defect = Literal[
    "length", "columns", "user_id", "movie_id", "rating", "scale", "timestamp", "title"
]


def decode(line: bytes) -> str:
    """A line's text: UTF-8 if it is valid, else Windows-1252.

    1M's movies.dat and u.item are ISO-8859-1, which has control characters where Windows-1252 has
    quotes and dashes. As in a browser, bytes without a meaning in it are control characters.
    """
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("cp1252", "as-iso-8859-1")


def _as_iso_8859_1(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)  # noqa: S101  (only `decode` uses it)
    return error.object[error.start : error.end].decode("iso-8859-1"), error.end


codecs.register_error("as-iso-8859-1", _as_iso_8859_1)


def split_line(line: str, separator: str) -> list[str]:
    """The columns of a line; if the separator is a comma, fields can be quoted as in CSV.

    A quote within a quoted field is doubled, or preceded by a backslash as Spark writes it. A line
    with invalid CSV quotes (an open quote, or text after a closing one) has no columns.
    """
    if separator != "," or '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error:
        if '\\"' not in line:
            return []
    try:
        return next(csv.reader([line], strict=True, escapechar="\\", doublequote=False))
    except csv.Error:
        return []


_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,18}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?")
_DIGITS = re.compile(r"[0-9]{1,18}")


def number(text: str) -> Decimal | None:
    """A number in any usual notation (`2000`, `2000.0`, `2e3`), or None for other text."""
    text = text.strip(BLANKS)
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def whole_number(text: str, most: int) -> int | None:
    """A whole number from 0 to `most` in any usual notation, or None for other text."""
    if _DIGITS.fullmatch(text):
        value = int(text)
        return value if value <= most else None
    exact = number(text)
    if exact is None or not 0 <= exact <= most or exact != exact.to_integral_value():
        return None
    return int(exact)


def half_stars(text: str) -> int | None:
    """A rating in half stars, from 1 to 10, or None if it is not on the scale."""
    exact = number(text)
    if exact is None or not Decimal(str(MIN_RATING)) <= exact <= Decimal(str(MAX_RATING)):
        return None
    halves = exact / Decimal(str(RATING_STEP))
    return int(halves) if halves == halves.to_integral_value() else None


def rating_defect(line: str, layout: Layout) -> Defect | None:
    """The defect of a line of a ratings file, or None if the line is good.

    A good line has at most MAX_LINE characters and the layout's columns: user and movie id in
    0..2^31-1, a rating in half stars from 0.5 to 5, and a timestamp in whole seconds since 1970. A
    rating that is a number beyond these is a defect of the `scale`. The job applies the same rules
    with a compiled scanner; a test compares the two.
    """
    rated = parse_rating(line, layout)
    return rated if isinstance(rated, str) else None


def parse_rating(line: str, layout: Layout) -> tuple[int, int, int, int] | Defect:
    """User, movie, half stars and timestamp (0 without one) of a line, or its defect."""
    if len(line) > MAX_LINE:
        return "length"
    columns = split_line(line, layout.separator)
    if len(columns) != len(layout.columns):
        return "columns"
    of = dict(zip(layout.columns, columns, strict=True))
    user, movie = (whole_number(of[name], MAX_ID) for name in ("userId", "movieId"))
    if user is None:
        return "user_id"
    if movie is None:
        return "movie_id"
    halves = half_stars(of["rating"])
    if halves is None:
        return "rating" if number(of["rating"]) is None else "scale"
    timestamp = whole_number(of.get("timestamp", "0"), MAX_TIMESTAMP)
    return "timestamp" if timestamp is None else (user, movie, halves, timestamp)


def movie_defect(line: str, layout: Layout) -> Defect | None:
    """The defect of a line of a movies file, or None if the line is good.

    A good line has at most MAX_LINE characters, the layout's number of columns, a movie id in
    0..2^31-1, and a title.
    """
    if len(line) > MAX_LINE:
        return "length"
    columns = split_line(line, layout.separator)
    if len(columns) != len(layout.columns):
        return "columns"
    if whole_number(columns[layout.columns.index("movieId")], MAX_ID) is None:
        return "movie_id"
    if not columns[layout.columns.index("title")].strip(BLANKS):
        return "title"
    return None


def tag_of(line: str, layout: Layout) -> tuple[int, int, str] | None:
    """User, movie and tag, as the user wrote it, of a line of a tags file; None if it is bad.

    Tags are optional information, so bad lines are skipped; those of the tag genome, too.
    """
    if (of := _cells(line, layout)) is None:
        return None
    user, movie = whole_number(of["userId"], MAX_ID), whole_number(of["movieId"], MAX_ID)
    return None if user is None or movie is None else (user, movie, unescape(of["tag"]))


def genome_tag_of(line: str, layout: Layout) -> tuple[int, str] | None:
    """Id and name of a line of the tag genome's tags, or None if the line is bad."""
    if (of := _cells(line, layout)) is None:
        return None
    tag = whole_number(of["tagId"], MAX_ID)
    return None if tag is None else (tag, unescape(of["tag"]))


def genome_score_of(line: str, layout: Layout) -> tuple[int, int, float] | None:
    """Movie, tag id and relevance (0 to 1) of a line of the tag genome; None if it is bad."""
    if (of := _cells(line, layout)) is None:
        return None
    movie, tag = whole_number(of["movieId"], MAX_ID), whole_number(of["tagId"], MAX_ID)
    relevance = number(of["relevance"])
    if movie is None or tag is None or relevance is None or not 0 <= relevance <= 1:
        return None
    return movie, tag, float(relevance)


def link_of(line: str, layout: Layout) -> tuple[int, str | None, int | None] | None:
    """Movie, IMDb id (`tt0114709`) and TMDB id of a line of a links file; None if it is bad.

    A line is good if it has the movie and one of the two; the other may be empty or unreadable.
    """
    if (of := _cells(line, layout)) is None:
        return None
    movie = whole_number(of["movieId"], MAX_ID)
    imdb = whole_number(of["imdbId"].strip(BLANKS).removeprefix("tt"), MAX_ID)
    tmdb = whole_number(of["tmdbId"], MAX_ID)
    if movie is None or not (imdb or tmdb):  # nothing has the id 0
        return None
    return movie, f"tt{imdb:07d}" if imdb else None, tmdb or None


def _cells(line: str, layout: Layout) -> dict[Column, str] | None:
    """The cells of a line by column, or None if it is too long or has another number of them."""
    cells = split_line(line, layout.separator) if len(line) <= MAX_LINE else []
    if len(cells) != len(layout.columns):
        return None
    return dict(zip(layout.columns, cells, strict=True))


def unescape(text: str) -> str:
    """Text with its HTML entities (`&amp;`, `&#39;`) replaced."""
    return _ENTITY.sub(lambda found: html.unescape(found[0]), text)


_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
