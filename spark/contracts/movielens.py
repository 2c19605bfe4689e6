"""The MovieLens folder formats: which files make a data set, and which columns these have.

Standard library only. The job, the launcher and the tools on a laptop name files by them.
movielens_lines.py says what makes a line good, movielens_files.py how a file is recognised.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

type FormatName = Literal["dat", "csv", "100k"]
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
