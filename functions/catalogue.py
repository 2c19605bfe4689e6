"""The titles catalogue of a run: search by title, in memory."""

import gzip
import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_YEAR = re.compile(r"\s*\(\d{4}[^)]*\)\s*$")
_ARTICLE = re.compile(r"^(.*), (the|a|an|les|le|la|l'|der|die|das|il|el|los|las|un|une)$")
_WORD = re.compile(r"\w+")

type Movie = dict[str, Any]


@dataclass(frozen=True)
class Catalogue:
    """The titles of one run.

    Attributes:
        movies: `movie_id`, `title`, `year`, `genres`, `ratings` of each movie.
        normalised: each movie's title as `normalise` makes it, in the same order.
    """

    movies: Sequence[Movie]
    normalised: Sequence[str]


def load(blob: bytes) -> Catalogue:
    """Read a titles catalogue.

    Args:
        blob: the part of `titles/`: gzip JSON Lines.
    """
    movies = [json.loads(line) for line in gzip.decompress(blob).splitlines()]
    return Catalogue(movies, [normalise(movie["title"] or "") for movie in movies])


def normalise(title: str) -> str:
    """A title as it is compared: no case, accents or year, its article in front.

    `Matrix, The (1999)` becomes `the matrix`.
    """
    decomposed = unicodedata.normalize("NFKD", title.casefold())
    plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    plain = _YEAR.sub("", plain)
    plain = _ARTICLE.sub(r"\2 \1", plain)
    return " ".join(_WORD.findall(plain))


def search(catalogue: Catalogue, title: str, limit: int) -> list[Movie]:
    """The movies whose titles hold all the words of a query, as whole words or beginnings of them.

    Equal titles come first, then the most rated.

    Args:
        catalogue: to search in.
        title: as a person types it; a year in parentheses at its end must match.
        limit: at most so many.
    """
    wanted = normalise(title)
    year = re.search(r"\((\d{4})\)\s*$", title)
    words = wanted.split()
    found = [
        (normalised == wanted, movie)
        for movie, normalised in zip(catalogue.movies, catalogue.normalised, strict=True)
        if words
        and all(any(have.startswith(word) for have in normalised.split()) for word in words)
        and (year is None or movie["year"] == int(year[1]))
    ]
    found.sort(key=lambda hit: (not hit[0], -hit[1]["ratings"], hit[1]["movie_id"]))
    return [movie for _, movie in found[:limit]]
