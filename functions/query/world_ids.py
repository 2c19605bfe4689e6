"""The ids that movies have elsewhere, at IMDb and TMDB, and the movies that they stand for.

A request may name a movie `imdb:tt0114709` or `tmdb:862`. Leading zeros do not matter.
"""

import gzip
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import Struct, json

type Row = Mapping[str, Any]

PATTERN = "^(imdb:tt[0-9]{1,10}|tmdb:[0-9]{1,10})$"


class _Movie(Struct, frozen=True, gc=False):
    """What a movie's line in the titles catalogue says of its ids; earlier runs say nothing."""

    movie_id: int
    ratings: int
    imdb_id: str | None = None
    tmdb_id: int | None = None


@dataclass(frozen=True)
class WorldIds:
    """The movies of one run by their ids elsewhere.

    Attributes:
        movies: movie ids, by `imdb` or `tmdb` and the number there.
    """

    movies: Mapping[str, Mapping[int, int]]

    def movie_id(self, id: str) -> int | None:
        """The movie of an id such as `imdb:tt0114709`; None if the run does not know it."""
        catalogue, number = normalised(id)
        return self.movies[catalogue].get(number)


def load(blob: bytes) -> WorldIds:
    """Load the ids from a titles catalogue. If two movies have the same id, the more rated counts.

    Args:
        blob: the part of `titles/`: gzipped JSON Lines.
    """
    read = json.Decoder(_Movie).decode
    movies = [read(line) for line in gzip.decompress(blob).splitlines() if line]
    movies.sort(key=lambda each: (each.ratings, -each.movie_id))
    return WorldIds(
        {
            "imdb": {int(each.imdb_id[2:]): each.movie_id for each in movies if each.imdb_id},
            "tmdb": {each.tmdb_id: each.movie_id for each in movies if each.tmdb_id is not None},
        }
    )


def normalised(id: str) -> tuple[str, int]:
    """The catalogue and the number of an id: `imdb:tt0114709` gives `("imdb", 114709)`."""
    catalogue, _, number = id.partition(":")
    return catalogue, int(number.removeprefix("tt"))


def ids_of(row: Row) -> Iterable[int | tuple[str, int]]:
    """All ids of a movie, also its own."""
    yield row["movie_id"]
    if imdb := row.get("imdb_id"):
        yield "imdb", int(imdb[2:])
    if tmdb := row.get("tmdb_id"):
        yield "tmdb", tmdb
