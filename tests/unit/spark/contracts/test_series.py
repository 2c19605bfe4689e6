"""Series from titles: who belongs together, who only looks as if, and under which name."""

import time
from itertools import chain
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark.contracts.series import series_of

SERIES = {
    "The Godfather": ["Godfather, The (1972)", "Godfather: Part II, The (1974)"],
    "Star Wars": [
        "Star Wars: Episode IV - A New Hope (1977)",
        "Star Wars: Episode V - The Empire Strikes Back (1980)",
        "Rogue One: A Star Wars Story (2016)",
        "The Star Wars Holiday Special (1978)",
    ],
    "Toy Story": ["Toy Story (1995)", "Toy Story 2 (1999)"],
    "The Lord of the Rings": [
        "Lord of the Rings, The (1978)",
        "Lord of the Rings: The Fellowship of the Ring, The (2001)",
        "Lord of the Rings: The Two Towers, The (2002)",
    ],
    "Harry Potter": [
        "Harry Potter and the Chamber of Secrets (2002)",
        "Harry Potter and the Prisoner of Azkaban (2004)",
        "Harry Potter and the Deathly Hallows: Part 1 (2010)",
        "Harry Potter and the Deathly Hallows: Part 2 (2011)",
    ],
    "Rocky": ["Rocky (1976)", "Rocky II (1979)", "Rocky V (1990)"],
    "Alien": ["Alien (1979)", "Alien³ (a.k.a. Alien 3) (1992)", "Alien: Resurrection (1997)"],
    "Back to the Future": ["Back to the Future (1985)", "Back to the Future Part III (1990)"],
    "Indiana Jones": [
        "Raiders of the Lost Ark (Indiana Jones and the Raiders of the Lost Ark) (1981)",
        "Indiana Jones and the Temple of Doom (1984)",
        "Indiana Jones and the Last Crusade (1989)",
    ],
    "Mission: Impossible": [
        "Mission: Impossible (1996)",
        "Mission: Impossible II (2000)",
        "Mission: Impossible - Ghost Protocol (2011)",
    ],
    "X-Men": ["X-Men (2000)", "X2: X-Men United (2003)", "X-Men: The Last Stand (2006)"],
    "Ocean's": ["Ocean's Eleven (2001)", "Ocean's Twelve (2004)"],
    "Batman": ["Batman (1989)", "Batman Returns (1992)", "Batman: Year One (2011)"],
    "The Pink Panther": ["Pink Panther, The (1963)", "Return of the Pink Panther, The (1975)"],
    "The Twilight Saga": [
        "Twilight (2008)",
        "Twilight Saga: New Moon, The (2009)",
        "Twilight Saga: Eclipse, The (2010)",
    ],
    "Shrek": ["Shrek (2001)", "Shrek the Third (2007)"],
    "Kill Bill": ["Kill Bill: Vol. 1 (2003)", "Kill Bill: Vol. 2 (2004)"],
    "The Fast and the Furious": [
        "Fast and the Furious, The (2001)",
        "2 Fast 2 Furious (Fast and the Furious 2, The) (2003)",
    ],
    "Brother": ["Brother (Brat) (1997)", "Brother 2 (Brat 2) (2000)"],
    "Les Visiteurs": ["Visiteurs, Les (1993)", "Visiteurs 2, Les (1998)"],
}  # fmt: skip
ALONE = [
    ["Apollo 11 (1996)", "Apollo 13 (1995)"],
    ["Malcolm (1986)", "Malcolm X (1992)"],
    ["Super (2010)", "Super 8 (2011)"],
    ["Hamlet (1990)", "Hamlet (1996)", "Hamlet (2000)"],
    ["Ali: Fear Eats the Soul (Angst essen Seele auf) (1974)", "Ali (2001)"],
    ["Rogue (2007)", "Rogue One (2016)"],
    ["Lost World, The (1925)", "Lost Weekend, The (1945)", "Lost in Space (1998)"],
    ["Death Race 2000 (1975)", "Death Race (2008)"],
    ["Mission, The (1986)", "Missing (1982)"],
    ["Snow White and the Seven Dwarfs (1937)", "Snow White and the Huntsman (2012)"],
    ["Jack and the Beanstalk (1952)", "Jack and the Cuckoo-Clock Heart (2013)"],
    ["Area One 2 (1990)", "Area One (2005)", "Area One Is Lost (2007)"],
    ["Hunger: A Life (1950)", "Hunger: The Taste (1998)"],
    ["Night Train: The End (1950)", "Night Train: The End (1998)"],
    ["Henry (1985)", "Henry V (1989)"],
    ["Oceans (2009)", "Ocean's Eleven (2001)"],
    ["Fahrenheit 451 (1966)", "Fahrenheit 9/11 (2004)"],
    ["Room, The (2003)", "Room 237 (2012)", "Room (2015)"],
]


@pytest.mark.parametrize("name", SERIES)
def test_a_series_has_its_titles_and_the_name_that_people_write(name: str) -> None:
    assert series_of(SERIES[name]) == [name] * len(SERIES[name])


@pytest.mark.parametrize("titles", ALONE, ids=lambda titles: titles[0])
def test_titles_that_share_a_word_are_not_a_series(titles: list[str]) -> None:
    assert series_of(titles) == [None] * len(titles)


def test_all_series_of_one_catalogue_stay_apart() -> None:
    titles = list(chain(*SERIES.values(), *ALONE))
    found = dict(zip(titles, series_of(titles), strict=True))
    assert {title: name for title, name in found.items() if name} == {
        title: name for name, own in SERIES.items() for title in own
    }


def test_of_equal_titles_the_last_one_before_the_sequel_is_the_first_of_the_series() -> None:
    titles = [
        "Mummy, The (1932)",
        "Mummy, The (1999)",
        "Mummy Returns, The (2001)",
        "Mummy, The (2017)",
    ]
    assert series_of(titles) == [None, "The Mummy", "The Mummy", None]


def test_a_title_that_names_a_series_in_its_subtitle_is_later_than_the_series() -> None:
    titles = ["Back to the Future (1985)", "Back to the Future Part II (1989)"]
    assert series_of([*titles, "Ivan: Back to the Future (1973)"])[2] is None
    assert series_of([*titles, "Ivan: Back to the Future (1993)"])[2] == "Back to the Future"


def test_a_catalogue_without_titles_has_no_series() -> None:
    assert series_of([]) == []
    assert series_of([None, "", "(1999)", "Rocky II", None]) == [None] * 5


WORDS = st.sampled_from(
    ["Blade", "Star", "Wars", "The", "II", "2", "Part", "V", "and", "Return of"]
)
JOINTS = st.sampled_from([" ", ": ", " - ", " (", ") ", ", "])
TITLES = st.one_of(
    st.none(),
    st.text(max_size=30),
    st.sampled_from(list(chain(*SERIES.values(), *ALONE))),
    st.lists(st.tuples(WORDS, JOINTS), min_size=1, max_size=5).map(
        lambda parts: "".join(chain(*parts))
    ),
    st.tuples(WORDS, WORDS, st.integers(1900, 2020)).map(lambda of: f"{of[0]} {of[1]} ({of[2]})"),
)  # fmt: skip


@given(st.lists(TITLES, max_size=25), st.randoms())
def test_the_order_of_titles_does_not_matter(titles: list[str | None], random: Random) -> None:
    order = list(range(len(titles)))
    random.shuffle(order)
    found = series_of(titles)
    assert series_of([titles[place] for place in order]) == [found[place] for place in order]


@given(st.lists(TITLES, max_size=25))
def test_a_series_has_at_least_two_titles(titles: list[str | None]) -> None:
    found = [name for name in series_of(titles) if name is not None]
    assert all(found.count(name) > 1 for name in found)


@pytest.mark.parametrize("series", [1, 1_000], ids=["one series", "many series"])
def test_the_time_is_in_proportion_to_the_number_of_titles(series: int) -> None:
    def seconds(count: int) -> float:
        titles = [f"Night {n % series} Story: Tale {n} ({1900 + n % 99})" for n in range(count)]
        began = time.process_time()
        assert all(series_of(titles))
        return time.process_time() - began

    assert seconds(16_000) < 9 * min(seconds(4_000) for _ in range(2))
