"""The MovieLens folder formats: which files make a data set, and what makes a line good.

Standard library only. The job reads by these rules, and the launcher checks by them before a
cluster costs money. The tools on a laptop name files by them.
"""

import codecs
import csv
import html
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

MAX_ID = 2**31 - 1
MAX_TIMESTAMP = 10**18 - 1
MIN_RATING = 0.5
MAX_RATING = 5.0
RATING_STEP = 0.5
# A file with a larger share of malformed lines is not what its name says.
UNUSABLE_SHARE = 0.5
# Ratings beyond the scale on more lines than this, and a larger share of them, mean another scale.
SCALE_LINES = 5
SCALE_SHARE = 0.001
# Bytes at the beginning of a file that show its layout.
HEAD = 2**16
# Characters of a line; the longest in MovieLens has a few hundred.
MAX_LINE = 2**16
# These may surround a title. A line of nothing else is blank.
BLANKS = " \t\n\v\f\r"

type FormatName = Literal["dat", "csv", "100k"]
type Defect = Literal[
    "length", "columns", "user_id", "movie_id", "rating", "scale", "timestamp", "title"
]
# "" is a column that nothing reads.
type Column = Literal[
    "userId", "movieId", "rating", "timestamp", "title", "genres", "tag", "tagId", "relevance",
    "imdbId", "tmdbId", "",
]  # fmt: skip

RATING_COLUMNS: tuple[Column, ...] = ("userId", "movieId", "rating", "timestamp")
MOVIE_COLUMNS: tuple[Column, ...] = ("movieId", "title", "genres")
TAG_COLUMNS: tuple[Column, ...] = ("userId", "movieId", "tag", "timestamp")
GENOME_SCORE_COLUMNS: tuple[Column, ...] = ("movieId", "tagId", "relevance")
GENOME_TAG_COLUMNS: tuple[Column, ...] = ("tagId", "tag")
LINK_COLUMNS: tuple[Column, ...] = ("movieId", "imdbId", "tmdbId")
OPTIONAL: Column = "timestamp"
# How headers name the columns, in lower case and without anything but letters.
_NAMES: dict[str, Column] = {
    "userid": "userId", "user": "userId", "movieid": "movieId", "movie": "movieId",
    "itemid": "movieId", "item": "movieId", "rating": "rating", "timestamp": "timestamp",
    "time": "timestamp", "title": "title", "genres": "genres", "genre": "genres", "tag": "tag",
    "tagid": "tagId", "relevance": "relevance", "imdbid": "imdbId", "tmdbid": "tmdbId",
}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """The columns of one file.

    Attributes:
        file: name of the file.
        separator: between the columns.
        columns: their names in the order of the file.
        has_header: whether the first line names them.
    """

    file: str
    separator: str
    columns: tuple[Column, ...]
    has_header: bool

    def place(self, column: Column) -> int | None:
        """The place of a column, or None if the file does not have it."""
        return self.columns.index(column) if column in self.columns else None

    @property
    def expected(self) -> str:
        """The columns as a person would write them into the file."""
        if "" in self.columns:
            return f"{len(self.columns)} columns separated by {self.separator}"
        return self.separator.replace("\t", "\\t").join(self.columns)


@dataclass(frozen=True)
class Format:
    """How one family of MovieLens releases lays out a folder.

    Attributes:
        name: the family: `dat` (1M, 10M), `csv` (latest, 20M, 25M, 32M) or `100k`.
        ratings: file name of the ratings (user, movie, rating, timestamp).
        movies: file name of the movies (movie, title, genres).
        ratings_separator: between the columns of the ratings file.
        movies_separator: between the columns of the movies file.
        header: whether the first line of both files names the columns in the releases.
        movies_columns: number of columns of a movies line.
        tags: file name of the tags (user, movie, tag, timestamp), with the separator of the
            ratings. A folder is complete without it. Empty if the family has no tags.
        genome_scores: file name of the tag genome (movie, tag id, relevance), with a comma and a
            header. A folder is complete without it. Empty if the family has none.
        genome_tags: file name of the genome's tags (tag id, tag), likewise.
        links: file name of the movies' ids at IMDb and TMDB (movie, IMDb id without its "tt", TMDB
            id), likewise.
    """

    name: FormatName
    ratings: str
    movies: str
    ratings_separator: str
    movies_separator: str
    header: bool
    movies_columns: int
    tags: str = ""
    genome_scores: str = ""
    genome_tags: str = ""
    links: str = ""

    @property
    def files(self) -> tuple[str, str]:
        """The names of the files that make a folder complete."""
        return self.ratings, self.movies

    @property
    def optional(self) -> tuple[str, ...]:
        """The names of the files that are read if they are there."""
        return tuple(filter(None, (self.tags, self.genome_scores, self.genome_tags, self.links)))

    @property
    def ratings_layout(self) -> Layout:
        """The usual layout of the ratings file."""
        return Layout(self.ratings, self.ratings_separator, RATING_COLUMNS, self.header)

    @property
    def movies_layout(self) -> Layout:
        """The usual layout of the movies file."""
        columns: tuple[Column, ...] = MOVIE_COLUMNS
        if self.movies_columns != len(MOVIE_COLUMNS):
            columns = ("movieId", "title") + ("",) * (self.movies_columns - 2)
        return Layout(self.movies, self.movies_separator, columns, self.header)

    @property
    def tags_layout(self) -> Layout:
        """The usual layout of the tags file."""
        return Layout(self.tags, self.ratings_separator, TAG_COLUMNS, self.header)

    @property
    def genome_scores_layout(self) -> Layout:
        """The usual layout of the tag genome."""
        return Layout(self.genome_scores, ",", GENOME_SCORE_COLUMNS, has_header=True)

    @property
    def genome_tags_layout(self) -> Layout:
        """The usual layout of the genome's tags."""
        return Layout(self.genome_tags, ",", GENOME_TAG_COLUMNS, has_header=True)

    @property
    def links_layout(self) -> Layout:
        """The usual layout of the links file."""
        return Layout(self.links, ",", LINK_COLUMNS, has_header=True)


FORMATS: tuple[Format, ...] = (
    Format("dat", "ratings.dat", "movies.dat", "::", "::", False, 3, "tags.dat"),
    Format(
        "csv", "ratings.csv", "movies.csv", ",", ",", True, 3,
        "tags.csv", "genome-scores.csv", "genome-tags.csv", "links.csv",
    ),
    # u.item: id, title, release date, video release date, URL, and one 0/1 flag per genre.
    Format("100k", "u.data", "u.item", "\t", "|", False, 24),
)  # fmt: skip

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


# ---- Layouts -------------------------------------------------------------------------------------

# What files begin with that are not text in an encoding of ASCII's family.
_NOT_TEXT = {
    b"\x1f\x8b": "gzip-compressed bytes: add .gz to its name",
    b"PK\x03\x04": "a zip archive: drop the archive under a name that ends in .zip",
    b"BZh": "bytes compressed by bzip2: unpack the file",
    b"\xfd7zXZ\x00": "bytes compressed by xz: unpack the file",
    b"\x28\xb5\x2f\xfd": "bytes compressed by Zstandard: unpack the file",
    b"PAR1": "Parquet: save the table as text",
    b"\xff\xfe": "UTF-16: save the file as UTF-8",
    b"\xfe\xff": "UTF-16: save the file as UTF-8",
}
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", "::": "double colons"}


def layout_of(head: bytes, usual: Layout) -> Layout:
    """The layout of a file, by its header or, without one, by the number of its columns.

    A header is read by its names, in any order. Without one, the columns have the usual order; only
    the timestamp may be missing.

    Args:
        head: the first HEAD bytes of the file.
        usual: layout of its format.

    Raises:
        DatasetError: the file is not text, its header lacks a column or has an unknown one, or the
            columns are separated by something else.
    """
    for magic, what in _NOT_TEXT.items():
        if head.startswith(magic):
            raise DatasetError(f"{usual.file}: expected {usual.expected}; found {what}")
    whole = head if len(head) < HEAD else head[: max(head.rfind(b"\n"), head.rfind(b"\r"), 0)]
    lines = [decode(line) for line in re.split(rb"[\r\n]", whole)]
    lines = [line for line in lines if line.strip(BLANKS)]
    if lines:
        lines[0] = lines[0].removeprefix("\ufeff")
    if not lines:
        return usual
    first, columns = lines[0][:MAX_LINE], usual.columns
    cells = split_line(first, usual.separator)
    if _is_header(cells, usual):
        found = _names(cells)
        missing = set(columns) - {*found, OPTIONAL}
        if missing or not set(found) <= set(columns) or len(set(found)) < len(found):
            raise _unexpected(usual, first, "the columns")
        return replace(usual, columns=tuple(found), has_header=True)
    usual = replace(usual, has_header=False)
    fitting = {len(columns), len(columns) - (OPTIONAL in columns)}
    widths = Counter(len(split_line(line, usual.separator)) for line in lines)
    width, _ = widths.most_common(1)[0]
    if width not in fitting:
        for separator, words in _SEPARATORS.items():
            fits = sum(len(line.split(separator)) in fitting for line in lines)
            if separator != usual.separator and 2 * fits > len(lines):
                raise _unexpected(usual, first, f"columns separated by {words}")
    if width == len(columns) - 1 and OPTIONAL in columns:
        return replace(usual, columns=tuple(each for each in columns if each != OPTIONAL))
    return usual


def _names(cells: Iterable[str]) -> list[Column]:
    """The columns that cells of a header name; "" for one that names none."""
    return [_NAMES.get(re.sub("[^a-z]", "", cell.lower()), "") for cell in cells]


def _is_header(cells: list[str], usual: Layout) -> bool:
    """Whether the cells of a first line are names of columns.

    They are if two of them are known or, in a family whose files have a header, all are text.
    """
    if "" in usual.columns or any(number(cell) is not None for cell in cells):
        return False
    known = set(_names(cells)) & set(usual.columns)
    return len(known) > 1 or (usual.has_header and len(cells) == len(usual.columns))


def _unexpected(usual: Layout, line: str, what: str) -> DatasetError:
    return DatasetError(
        f"{usual.file}: expected {usual.expected}; found {what} {line[:QUOTED]!r} in line 1"
    )


# ---- Refusals ------------------------------------------------------------------------------------

QUOTED = 120  # characters of a line in a message
_HINTS: dict[str, str] = {
    "user_id": f"ids are whole numbers from 0 to {MAX_ID}",
    "movie_id": f"ids are whole numbers from 0 to {MAX_ID}",
    "rating": f"ratings are from {MIN_RATING:g} to {MAX_RATING:g} in half stars",
    "scale": f"ratings are from {MIN_RATING:g} to {MAX_RATING:g} in half stars",
    "timestamp": "timestamps are whole seconds since 1970",
}


def is_another_scale(lines: int, defects: Mapping[str, int]) -> bool:
    """Whether more than a few ratings are beyond the scale of the format.

    Args:
        lines: how many were read.
        defects: malformed lines per kind of defect.
    """
    return defects.get("scale", 0) > max(SCALE_LINES, SCALE_SHARE * lines)


def refusal(layout: Layout, lines: str, defects: Mapping[str, int], example: str) -> str:
    """The message for a file that is not what its name says: what was expected, what was found.

    Args:
        layout: of the file.
        lines: how many lines were read, in words.
        defects: malformed lines per kind of defect.
        example: a malformed line.
    """
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(defects.items()))
    hint = _HINTS.get(max(defects, key=lambda kind: defects[kind]))
    if defects.get("scale"):
        hint = _HINTS["scale"]
    return (
        f"{layout.file}: {sum(defects.values())} of {lines} are malformed ({kinds}): expected "
        f"{layout.expected}{f', where {hint}' if hint else ''}; found {example[:QUOTED]!r}"
    )
