"""The MovieLens folder formats: which files make a data set, and what makes a line good.

Standard library only. The job reads by these rules, and the launcher checks by them before a
cluster costs money. The tools on a laptop name files by them.
"""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

MAX_ID = 2**31 - 1
MIN_RATING = 0.5
MAX_RATING = 5.0
RATING_STEP = 0.5
# A file with a larger share of malformed lines is not what its name says.
UNUSABLE_SHARE = 0.5
# Characters of a line; the longest in MovieLens has a few hundred.
MAX_LINE = 2**16
# These may surround a title. A line of nothing else is blank.
BLANKS = " \t\n\v\f\r"

type FormatName = Literal["dat", "csv", "100k"]
type Defect = Literal["length", "columns", "user_id", "movie_id", "rating", "timestamp", "title"]


@dataclass(frozen=True)
class Format:
    """How one family of MovieLens releases lays out a folder.

    Attributes:
        name: the family: `dat` (1M, 10M), `csv` (latest, 20M, 25M, 32M) or `100k`.
        ratings: file name of the ratings (user, movie, rating, timestamp).
        movies: file name of the movies (movie, title, genres).
        ratings_separator: between the columns of the ratings file.
        movies_separator: between the columns of the movies file.
        header: whether the first line of both files names the columns.
        movies_columns: number of columns of a movies line.
        tags: file name of the tags (user, movie, tag, timestamp), with the separator of the
            ratings. A folder is complete without it. Empty if the family has no tags.
    """

    name: FormatName
    ratings: str
    movies: str
    ratings_separator: str
    movies_separator: str
    header: bool
    movies_columns: int
    tags: str = ""

    @property
    def files(self) -> tuple[str, str]:
        """The names of the files that make a folder complete."""
        return self.ratings, self.movies


FORMATS: tuple[Format, ...] = (
    Format("dat", "ratings.dat", "movies.dat", "::", "::", False, 3, "tags.dat"),
    Format("csv", "ratings.csv", "movies.csv", ",", ",", True, 3, "tags.csv"),
    # u.item: id, title, release date, video release date, URL, and one 0/1 flag per genre.
    Format("100k", "u.data", "u.item", "\t", "|", False, 24),
)

FILES: frozenset[str] = frozenset(name for format in FORMATS for name in format.files)

# The flag columns of u.item, in their order (u.genre of the 100K release).
GENRES_100K: tuple[str, ...] = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary",
    "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi",
    "Thriller", "War", "Western",
)  # fmt: skip

NO_GENRES = "(no genres listed)"


class DatasetError(Exception):
    """An unusable folder; the message is for the person who dropped it."""


def formats_in(names: Iterable[str]) -> list[Format]:
    """The formats whose files are all among the file names of one folder."""
    present = set(names)
    return [format for format in FORMATS if present.issuperset(format.files)]


def only_format(names: Iterable[str], where: str) -> Format:
    """The one format that a folder's file names complete.

    Args:
        names: file names in the folder, without their path.
        where: the folder, for the message.

    Raises:
        DatasetError: no format is complete, or more than one.
    """
    present = sorted(set(names) & FILES)
    found = formats_in(present)
    if not found:
        wanted = ", ".join(" + ".join(format.files) for format in FORMATS)
        seen = ", ".join(present) or "none of these"
        raise DatasetError(
            f"{where} is not a MovieLens folder: it needs one of {wanted}; found {seen}"
        )
    if len(found) > 1:
        both = " and ".join(" + ".join(format.files) for format in found)
        raise DatasetError(f"{where} holds {both}: keep the files of one format")
    return found[0]


def decode(line: bytes) -> str:
    """A line's text: UTF-8 if it is valid, else ISO-8859-1, as in 1M's movies.dat and u.item."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("iso-8859-1")


def split_line(line: str, separator: str) -> list[str]:
    """The columns of a line; if the separator is a comma, fields can be quoted as in CSV.

    A line with invalid CSV quotes (an open quote, or text after a closing one) has no columns.
    """
    if separator != "," or '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error:
        return []


_INTEGER = re.compile(r"[0-9]{1,18}")
_RATING = re.compile(r"[0-5](\.[05]0*)?")


def _is_id(text: str) -> bool:
    return _INTEGER.fullmatch(text) is not None and 1 <= int(text) <= MAX_ID


def rating_defect(line: str, format: Format) -> Defect | None:
    """The defect of a line of a ratings file, or None if the line is good.

    A good line has at most MAX_LINE characters and four columns: user and movie id in 1..2^31-1, a
    rating in half stars from 0.5 to 5, and a timestamp in whole seconds since 1970. The job applies
    the same rules with a compiled scanner; a test compares the two.
    """
    if len(line) > MAX_LINE:
        return "length"
    columns = split_line(line, format.ratings_separator)
    if len(columns) != 4:
        return "columns"
    user, movie, rating, timestamp = columns
    if not _is_id(user):
        return "user_id"
    if not _is_id(movie):
        return "movie_id"
    if _RATING.fullmatch(rating) is None or not MIN_RATING <= float(rating) <= MAX_RATING:
        return "rating"
    if _INTEGER.fullmatch(timestamp) is None:
        return "timestamp"
    return None


def movie_defect(line: str, format: Format) -> Defect | None:
    """The defect of a line of a movies file, or None if the line is good.

    A good line has at most MAX_LINE characters, the format's number of columns, a movie id in
    1..2^31-1, and a title.
    """
    if len(line) > MAX_LINE:
        return "length"
    columns = split_line(line, format.movies_separator)
    if len(columns) != format.movies_columns:
        return "columns"
    if not _is_id(columns[0]):
        return "movie_id"
    if not columns[1].strip(BLANKS):
        return "title"
    return None


def tag_of(line: str, format: Format) -> tuple[int, str] | None:
    """The movie and the tag (in lower case) of a line of a tags file; None if the line is bad.

    Tags are optional information, so bad lines are skipped.
    """
    columns = split_line(line, format.ratings_separator) if len(line) <= MAX_LINE else []
    if len(columns) != 4 or not _is_id(columns[1]):
        return None
    tag = " ".join(columns[2].lower().split())
    return (int(columns[1]), tag) if tag else None


def is_header(line: str, format: Format) -> bool:
    """Whether a file's first line names columns instead of holding data."""
    first = line.split(",", 1)[0].replace('"', "")
    return format.header and not (first.isascii() and first.isdigit())
