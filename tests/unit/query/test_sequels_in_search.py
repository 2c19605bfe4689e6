"""Title search on real titles: own titles, numbers, series, and queries made by rules."""

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from query.search import title_catalogue, title_search, title_text
from query.search.title_catalogue import Catalogue
from query.search.title_search import Hit
from spark.contracts.movielens import FORMATS, Format
from spark.ingest.movies import Movie, catalogue, described, read_movies
from tests.conftest import movielens

RELEASES = {"ml-latest-small": "csv", "ml-1m": "dat", "ml-100k": "100k"}
YEAR = re.compile(r"\s*\(\s*(\d{4})[^()]*\)+\s*$")
ROMAN = ["", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X"]
SPELLED = ["-", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def loaded(movies: list[Movie], ratings: dict[int, int]) -> Catalogue:
    """The catalogue of a run over these movies, series included."""
    ids = np.array(sorted(ratings), np.int32)
    made = catalogue(
        described(movies), ids, np.array([ratings[id] for id in ids.tolist()], np.int64)
    )
    lines = [
        f'{{{about},"ratings":{count}}}'
        for about, count in zip(made.about, made.ratings.tolist(), strict=True)
    ]
    return title_catalogue.load(gzip.compress("\n".join(lines).encode()))


def made_up(*titles: str) -> Catalogue:
    movies = [
        Movie(id, title, int(found[1]) if (found := YEAR.search(title)) else None, [])
        for id, title in enumerate(titles, start=1)
    ]
    return loaded(movies, {movie.movie_id: 1000 - movie.movie_id for movie in movies})


@cache
def release(name: str) -> Catalogue:
    """A real release, rated as it was."""
    folder = movielens(name)
    format: Format = next(each for each in FORMATS if each.name == RELEASES[name])
    movies, _, _ = read_movies(str(folder / format.movies), format.movies_layout)
    ratings: Counter[int] = Counter()
    with (folder / format.ratings).open(encoding="latin-1") as lines:
        for line in lines:
            movie_id = line.split(format.ratings_separator)[1]
            if movie_id.isdecimal():
                ratings[int(movie_id)] += 1
    return loaded(movies, ratings)


def hits(catalogue: Catalogue, query: str) -> list[Hit]:
    return title_search.search(catalogue, query, 3)


def first(catalogue: Catalogue, query: str) -> str | None:
    return next((hit.movie["title"] for hit in hits(catalogue, query)), None)


@pytest.mark.parametrize("name", RELEASES)
def test_every_title_of_a_release_finds_its_movie_first(name: str) -> None:
    titles = release(name)
    wrong = []
    for own in (each.title for each in titles.titles if each.title):
        for written in (own, own.upper(), own.lower()):
            if first(titles, written) != own:
                wrong.append((written, first(titles, written)))
        bare = YEAR.sub("", own)
        found = first(titles, bare)
        if YEAR.sub("", found or "").casefold() != bare.casefold():
            wrong.append((bare, found))
    assert not wrong


def misspelt(text: str, chance: Random) -> str:
    """A letter is lost, doubled, or changes places with the next, in the longest word."""
    word = max(re.findall(r"[^\W\d]+", text), key=len)
    at = chance.randrange(1, len(word) - 1)
    wrong = chance.choice([
        word[:at] + word[at + 1 :],
        word[:at] + word[at] + word[at:],
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
    ])  # fmt: skip
    return text.replace(word, wrong)


def with_article_first(bare: str) -> str:
    return re.sub(r"^(.+), (The|A|An)$", r"\2 \1", bare)


def rules(titles: Catalogue, chance: Random) -> Iterator[tuple[str, str]]:
    """100 queries, each with the title that a person wants: ten each of ten kinds."""
    names = [each.title for each in titles.titles if each.title and YEAR.search(each.title)]
    known = names[:2000]  # the most rated
    plain = [each for each in known if re.fullmatch(r"[A-Za-z', ]{8,} \(\d{4}\)", each)]
    numbered = [
        (each, found)
        for each in known
        if (found := re.fullmatch(r"([A-Za-z' -]+?),? (?:Part )?([2-9]|II|III|IV) \(\d{4}\)", each))
    ]

    def number(text: str) -> int:
        return int(text) if text.isdecimal() else ROMAN.index(text)

    for title in chance.sample(plain, 10):  # as people say it, in lower case
        yield with_article_first(YEAR.sub("", title)).lower(), title
    for title in chance.sample(plain, 10):  # with the year, without brackets
        yield f"{YEAR.sub('', title).lower()} {title[-5:-1]}", title
    for title in chance.sample(plain, 20):  # a typing error
        yield misspelt(with_article_first(YEAR.sub("", title)).lower(), chance), title
    for title in chance.sample(plain, 10):  # a year off by one
        yield f"{YEAR.sub('', title)} {int(title[-5:-1]) + chance.choice([-1, 1])}", title
    spellings: list[Callable[[int], str]] = [
        str, lambda n: ROMAN[n].lower(), lambda n: SPELLED[n],
        lambda n: f"part {n}", lambda n: f"chapter {SPELLED[n]}",
    ]  # fmt: skip
    for spelt in spellings:
        for title, found in chance.sample(numbered, 8):
            yield f"{found[1].lower()} {spelt(number(found[2]))}", title
    for title, found in chance.sample(numbered, 10):  # a typing error before a number
        yield f"{misspelt(found[1] + ' Film', chance)[:-5].lower()} {number(found[2])}", title


@pytest.mark.parametrize("name", ["ml-latest-small", "ml-1m"])
def test_95_of_100_queries_made_by_rules_find_the_right_title_first(name: str) -> None:
    titles = release(name)
    asked = list(rules(titles, Random(25)))
    assert len(asked) == 100
    wrong = [
        (query, wanted, first(titles, query))
        for query, wanted in asked
        if title_text.forms(wanted).isdisjoint(title_text.forms(first(titles, query) or ""))
    ]
    assert len(wrong) <= 5, wrong


RINGS = ["Lord of the Rings, The (1978)"] + [
    f"Lord of the Rings: The {name}, The ({year})"
    for name, year in (("Fellowship of the Ring", 2001), ("Two Towers", 2002),
                       ("Return of the King", 2003))
]  # fmt: skip


def test_a_number_without_a_title_is_a_place_in_the_series_and_says_so() -> None:
    films = made_up(*RINGS, "X-Men (2000)", "X2: X-Men United (2003)", "X-Men: First Class (2011)")
    (hit, *_) = hits(films, "lord of the rings 3")
    assert (hit.movie["title"], hit.note) == (
        RINGS[3], "number 3 of The Lord of the Rings by year"
    )  # fmt: skip
    assert first(films, "x-men 2") == "X2: X-Men United (2003)"
    assert hits(films, "lord of the rings 4") == []


def test_a_number_in_a_title_needs_no_note() -> None:
    films = made_up("Rocky (1976)", "Rocky II (1979)", "Rocky III (1982)")
    assert [(hit.movie["title"], hit.note) for hit in hits(films, "rocky part two")] == [
        ("Rocky II (1979)", None)
    ]


def test_a_place_is_counted_on_from_the_numbers_that_titles_say() -> None:
    films = made_up("Alien (1979)", "Alien 3 (1992)", "Alien: Resurrection (1997)")
    assert first(films, "alien 4") == "Alien: Resurrection (1997)"
    assert first(films, "alien 2") is None


def test_initials_find_the_only_series_or_movie_that_they_stand_for() -> None:
    films = made_up(*RINGS, "Dark Knight, The (2008)", "Taken 2 (2012)", "Ted 2 (2015)")
    assert [hit.movie["title"] for hit in hits(films, "lotr")] == RINGS[:3]
    assert first(films, "lotr 2") == RINGS[2]
    assert first(films, "tdk") == "Dark Knight, The (2008)"
    assert hits(films, "t2") == []


def test_whole_words_come_before_beginnings() -> None:
    films = made_up("Eternal Sunshine (2004)", "E.T. the Extra-Terrestrial (1982)")
    assert first(films, "E.T.") == "E.T. the Extra-Terrestrial (1982)"
    assert first(films, "ete") == "Eternal Sunshine (2004)"


def test_a_year_off_by_one_is_near_and_says_so() -> None:
    films = made_up("Heat (1995)", "White Heat (1949)")
    (hit,) = hits(films, "heat 1996")
    assert (hit.movie["title"], hit.quality) == ("Heat (1995)", title_search.NEAR_YEAR)
    assert "1996" in (hit.note or "")
    assert hits(films, "heat 1997") == []


def test_a_number_is_a_year_only_if_it_is_in_no_title() -> None:
    films = made_up("Shrek (2001)", "2001: A Space Odyssey (1968)")
    assert [hit.movie["title"][:4] for hit in hits(films, "2001")] == ["2001", "Shre"]
    assert first(films, "shrek 2001") == "Shrek (2001)"


@given(st.integers(1, 10), st.integers(1, 10), st.data())
def test_no_spelling_of_a_number_finds_another_number(
    own: int, other: int, data: st.DataObject
) -> None:
    forms = [str, lambda n: SPELLED[n], lambda n: ROMAN[n], lambda n: f"Part {ROMAN[n]}",
             lambda n: f"Vol. {n}"]  # fmt: skip
    title, query = (f"Meatballs {data.draw(st.sampled_from(forms))(n)}" for n in (own, other))
    found: Any = first(made_up(f"{title} (1980)"), query.lower())
    assert (found is not None) == (own == other)


@pytest.mark.parametrize("query", ["saw ii", "saw seven", "saw part vi", "saw 1"])
def test_a_number_is_not_the_beginning_of_another_number(query: str) -> None:
    films = made_up("Saw III (2006)", "Saw Seventeen (2030)", "Saw VIII (2011)", "Saw 10 (2023)")
    assert first(films, query) is None


@given(st.text(max_size=30))
def test_no_query_fails(query: str) -> None:
    assert len(hits(made_up(*RINGS), query)) <= 3


def test_a_search_decodes_only_the_movies_that_it_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    films = made_up(*(f"Common Word {n} (1980)" for n in range(1000)))
    decoded = []
    monkeypatch.setattr(
        title_catalogue.json, "decode", lambda line: decoded.append(line) or json.loads(line)
    )
    assert len(hits(films, "common word")) == len(decoded) == 3


def test_an_earlier_film_of_the_name_takes_no_place_in_the_series() -> None:
    films = made_up(
        "Hobbit, The (1977)", "Hobbit: An Unexpected Journey, The (2012)",
        "Hobbit: The Desolation of Smaug, The (2013)",
        "Hobbit: The Battle of the Five Armies, The (2014)",
    )  # fmt: skip
    assert first(films, "hobbit 2") == "Hobbit: The Desolation of Smaug, The (2013)"
    assert first(films, "hobbit 3") == "Hobbit: The Battle of the Five Armies, The (2014)"


def test_a_story_beside_the_series_takes_no_place_in_it() -> None:
    films = made_up(
        "Star Wars: Episode VII - The Force Awakens (2015)",
        "Rogue One: A Star Wars Story (2016)", "Star Wars: The Last Jedi (2017)",
    )  # fmt: skip
    assert first(films, "star wars 8") == "Star Wars: The Last Jedi (2017)"
