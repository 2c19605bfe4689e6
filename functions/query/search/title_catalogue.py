"""The titles of one run in memory, with the indexes by which a search finds them."""

import gzip
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import Struct, json

from query.search import title_text
from spark.contracts.series import key_of

type Index = Mapping[str, Sequence[int]]  # positions of movies in the catalogue


class Title(Struct, frozen=True, gc=False):
    """What a search needs of a movie's line in the catalogue."""

    movie_id: int
    title: str | None
    year: int | None
    ratings: int
    series: str | None = None  # runs of earlier versions have none


@dataclass(frozen=True)
class Catalogue:
    """The titles of one run.

    Attributes:
        titles: the most rated first; the indexes below hold positions in this list.
        lines: the catalogue's line of each title.
        by_name: the movies of each name, normalised and without spaces.
        by_word: the movies of each word in a title, as it is written and normalised.
        by_year: the movies of each year.
        by_series: the movies of each series, by the words of its name.
        by_initials: the names and series that an abbreviation can stand for, with their movies.
        words: the words, sorted.
        names_by_length: the names by their length.
        words_by_length: the words by their length.
    """

    titles: Sequence[Title]
    lines: Sequence[bytes]
    by_name: Index
    by_word: Index
    by_year: Mapping[int, Sequence[int]]
    by_series: Index
    by_initials: Mapping[str, Sequence[int]]
    words: Sequence[str]
    names_by_length: Mapping[int, Sequence[str]]
    words_by_length: Mapping[int, Sequence[str]]

    def movie(self, position: int) -> dict[str, Any]:
        """The movie at a position."""
        return json.decode(self.lines[position])


def load(blob: bytes) -> Catalogue:
    """Load a titles catalogue.

    Args:
        blob: the part of `titles/`: gzipped JSON Lines.
    """
    lines = [line for line in gzip.decompress(blob).splitlines() if line]
    read = json.Decoder(Title).decode
    unordered = [read(line) for line in lines]
    order = sorted(
        range(len(lines)), key=lambda at: (-unordered[at].ratings, unordered[at].movie_id)
    )
    titles = [unordered[at] for at in order]
    by_name: dict[str, tuple[int, ...]] = {}
    by_word, by_year = defaultdict(list), defaultdict(list)
    by_series, by_initials = defaultdict(list), defaultdict(list)
    # All titles are normalised at once: that takes a fraction of the time.
    text = "\n".join([(each.title or "").replace("\n", " ") for each in titles])
    plain = title_text.without_year(title_text.plain(text))
    spaced = title_text.separated(plain).split("\n")
    series: dict[str, tuple[str, set[str]]] = {}
    for position, (title, name) in enumerate(zip(titles, plain.split("\n"), strict=True)):
        words = spaced[position].split()
        canonical = title_text.canonical(words)
        keys, written = {"".join(canonical)}, {*words, *canonical}
        if "(" in name:
            for each in title_text.names_of(name):
                own = title_text.words(each)
                canonical_own = title_text.canonical(own)
                keys.add("".join(canonical_own))
                written |= {*own, *canonical_own}
        if "-" in name:
            written |= {*title_text.compounds(name)}
        abbreviated = words
        if ":" in name or "(" in name:
            abbreviated = title_text.words(re.split("[:(]", name)[0])
        initials = _initials(abbreviated)
        if title.series:
            if title.series not in series:
                series[title.series] = (
                    series_key(title.series),
                    _initials(title_text.words(title_text.plain(title.series))),
                )
            key, more = series[title.series]
            by_series[key].append(position)
            initials = initials | more
        for each in initials:
            by_initials[each].append(position)
        for word in written:
            by_word[word].append(position)
        for key in keys:
            by_name[key] = (*by_name.get(key, ()), position)
        if title.year is not None:
            by_year[title.year].append(position)
    by_name.pop("", None)
    return Catalogue(
        titles,
        [lines[at] for at in order],
        by_name,
        by_word,
        by_year,
        by_series,
        by_initials,
        sorted(by_word),
        names_by_length(by_name),
        names_by_length(by_word),
    )


def _initials(words: Sequence[str]) -> set[str]:
    """What a name may be abbreviated to: `tlotr` and `lotr`, `t2`."""
    if len(words) < 2:
        return set()
    if words[-1] in title_text.ARTICLES:
        words = [words[-1], *words[:-1]]
    if not title_text.NUMBER_WORDS.isdisjoint(words):
        words = title_text.canonical(words)
    letters = "".join([word[0] for word in words])
    return {letters, letters[1:]} if words[0] in title_text.ARTICLES else {letters}


def series_key(name: str) -> str:
    """The words of a series' name, without `Saga` and the like."""
    return title_text.normalise(key_of(name))


def names_by_length(names: Iterable[str]) -> dict[int, list[str]]:
    """Names by their length."""
    by_length = defaultdict(list)
    for name in names:
        by_length[len(name)].append(name)
    return by_length
