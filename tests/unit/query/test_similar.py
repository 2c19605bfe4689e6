"""A page of neighbours: measures, filters, links and reasons, without AWS."""

import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, to_builtins

import index_table
from live_pointer import LivePointer
from query import similar
from query.http import validation
from query.http.problems import ProblemError
from query.requests import SimilarQuery
from tests.builders.lines import as_text

LIVE = LivePointer(
    run_id="20261123T120500000Z-5f2a9c01",
    measure="damped",
    measures=["damped", "cosine", "hybrid"],
    min_co_raters=10,
    min_score="0.95",
    titles="titles",
    previous=None,
    retired=None,
    promoted_at="2026-11-23T12:15:00.000Z",
)
# id, year, genres; below: position, score, co-raters, cosine
OTHERS = [(2, 1999, ["Animation", "Comedy"]), (3, 1937, ["Crime"]), (4, None, ["Comedy"]),
          (5, 2008, [])]  # fmt: skip
LINE = {
    "movie_id": 1,
    "title": "Toy Story (1995)",
    "year": 1995,
    "genres": ["Animation"],
    "ratings": 300,
    "others": [
        {"movie_id": id, "title": f"Movie {id}", "year": year, "genres": genres}
        for id, year, genres in OTHERS
    ],
    "neighbours": {
        "damped": [[0, 0.9, 200, 0.96], [1, 0.5, 12, 0.97], [2, 0.5, 11, 0.98]],
        "cosine": [[2, 0.98, 11, 0.98], [1, 0.97, 12, 0.97], [0, 0.96, 200, 0.96]],
        "hybrid": [[0, 0.8, 200, 0.96], [3, 0.1, 2, None], [1, 0.05, 40, None]],
    },
}


def ask(**query: Any) -> dict[str, Any]:
    """The response as JSON."""
    return to_builtins(similar.similar_titles(LIVE, LINE, SimilarQuery(movie_id=1, **query)))


def ids(response: dict[str, Any]) -> list[int]:
    return [row["movie_id"] for row in response["similar"]]


def test_without_a_measure_the_default_is_used_and_cosine_is_always_the_cosine() -> None:
    assert (ask()["measure"], ids(ask())) == ("damped", [2, 3, 4])
    cosine = ask(measure="cosine")
    assert (cosine["measure"], ids(cosine)) == ("cosine", [4, 3, 2])
    assert cosine["measures"] == ["damped", "cosine", "hybrid"]
    assert all(row["score"] == row["cosine"] for row in cosine["similar"])


def test_an_unknown_measure_gets_the_list_of_known_ones() -> None:
    with pytest.raises(ProblemError) as caught:
        ask(measure="best")
    (error,) = caught.value.errors
    assert (error.parameter, error.value) == ("measure", "best")
    assert error.allowed == "one of damped, cosine, hybrid"


def test_rows_name_the_source_of_their_score() -> None:
    based = {row["movie_id"]: row["based_on"] for row in ask(measure="hybrid")["similar"]}
    assert based == {2: "ratings", 5: "content", 3: "ratings"}


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ({"min_score": 0.5}, [2, 3, 4]),
        ({"min_score": 0.51}, [2]),
        ({"min_co_raters": 12}, [2, 3]),
        ({"genre": ("comedy",)}, [2, 4]),
        ({"genre": ("CRIME", "Animation")}, [2, 3]),
        ({"all_genres": ("comedy",)}, [2, 4]),
        ({"all_genres": ("comedy", "ANIMATION")}, [2]),
        ({"all_genres": ("comedy", "Crime")}, []),
        ({"same_genre": True}, [2]),
        ({"same_genre": False}, [2, 3, 4]),
        ({"exclude": (2, 99)}, [3, 4]),
        ({"exclude": (2,), "genre": ("comedy",)}, [4]),
        ({"year_from": 1937, "year_to": 1998}, [3]),
        ({"year_from": 1938}, [2]),
        ({"year_to": 1999, "genre": ("Comedy",), "min_co_raters": 1}, [2]),
    ],
)
def test_filters_keep_rows_that_pass_all_of_them(filters: dict[str, Any], kept: list[int]) -> None:
    response = ask(**filters)
    assert ids(response) == kept
    assert (response["matched"], response["total"]) == (len(kept), 3)
    assert [row["rank"] for row in response["similar"]] == list(range(1, len(kept) + 1))


GENRES = st.lists(st.sampled_from(["Animation", "comedy", "Crime", "War"]), max_size=3, unique=True)
FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "genre": GENRES.map(tuple),
        "all_genres": GENRES.map(tuple),
        "same_genre": st.booleans(),
        "exclude": st.lists(st.integers(1, 9), max_size=4).map(tuple),
        "min_score": st.sampled_from([0.2, 0.5, 0.8]),
        "min_co_raters": st.integers(0, 9),
        "year_from": st.sampled_from([1937, 1995]),
        "year_to": st.sampled_from([1995, 2008]),
    },
)
ABOUT = st.lists(st.tuples(GENRES, st.sampled_from([None, 1937, 1995, 2008])), max_size=8)


def line_about(mine: list[str], about: list[tuple[list[str], int | None]]) -> dict[str, Any]:
    """A movie with these genres, and neighbours of these genres and years."""
    others = [
        {"movie_id": id, "title": "", "year": year, "genres": genres, "ratings": 90 - id}
        for id, (genres, year) in enumerate(about, start=2)
    ]
    rows = [[place, 0.9 - place / 10, place, None] for place in range(len(others))]
    return LINE | {"genres": mine, "others": others, "neighbours": {"damped": rows}}


@settings(max_examples=500)
@given(GENRES, ABOUT, FILTERS, st.sampled_from([0.0, 0.5]))
def test_filters_add_nothing_keep_the_order_and_commute(
    mine: list[str],
    about: list[tuple[list[str], int | None]],
    wanted: dict[str, Any],
    popularity: float,
) -> None:
    line = line_about(mine, about)

    def kept(**query: Any) -> list[int]:
        asked = SimilarQuery(movie_id=1, popularity=popularity, limit=50, **query)
        return [row.movie_id for row in similar.similar_titles(LIVE, line, asked).similar]

    everything, filtered = kept(), kept(**wanted)
    passing = [set(kept(**{name: value})) for name, value in wanted.items()]
    assert filtered == [id for id in everything if all(id in each for each in passing)]
    genres = {id: {each.casefold() for each in of} for id, (of, _) in enumerate(about, start=2)}
    folded = {name: {each.casefold() for each in wanted.get(name, ())}
              for name in ("genre", "all_genres")}  # fmt: skip
    for id in filtered:
        assert not folded["genre"] or genres[id] & folded["genre"]
        assert folded["all_genres"] <= genres[id]
        assert not wanted.get("same_genre") or genres[id] & {each.casefold() for each in mine}
        assert id not in wanted.get("exclude", ())


@given(
    about=ABOUT,
    wanted=FILTERS,
    page=st.fixed_dictionaries(
        {"limit": st.integers(1, 9), "offset": st.integers(0, 9)},
        optional={"popularity": st.floats(0, 1), "diversity": st.floats(0, 1)},
    ),
)
def test_an_item_is_answered_like_the_line_in_it(
    about: list[tuple[list[str], int | None]], wanted: dict[str, Any], page: dict[str, Any]
) -> None:
    line = line_about(["Crime"], about) | {"series": "S", "tags": ["noir"], "imdb_id": "tt0000001"}
    for other in line["others"][::2]:
        other |= {"series": "S", "tags": ["noir"], "tmdb_id": other["movie_id"]}
    read = index_table.from_item(index_table.to_item("run", as_text(line)))
    asked = SimilarQuery(movie_id=1, **wanted, **page)
    assert similar.similar_titles(LIVE, read, asked) == similar.similar_titles(LIVE, line, asked)


def test_a_row_names_its_series_whether_the_movie_is_of_it_or_not() -> None:
    line = line_about(["Crime"], [(["Crime"], 1995)] * 3) | {"series": "S"}
    line["others"][0]["series"], line["others"][1]["series"] = "S", "T"
    rows = similar.similar_titles(LIVE, line, SimilarQuery(movie_id=1)).similar
    assert [(row.series, row.why.series) for row in rows] == [("S", "S"), ("T", None), (None, None)]


def test_a_page_reads_only_its_own_titles_unless_a_filter_must_see_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = line_about([], [(["Crime"], 1995)] * 50)
    read = index_table.from_item(index_table.to_item("run", as_text(line)))
    decoded: list[bytes] = []

    def decode(text: Any) -> Any:
        decoded.append(bytes(text))
        return json.loads(bytes(text))

    monkeypatch.setattr(index_table, "_decode", decode)
    for query, count in [({"limit": 5}, 5), ({"limit": 5, "offset": 48}, 2),
                         ({"limit": 5, "genre": ("Crime",)}, 50)]:  # fmt: skip
        decoded.clear()
        found = similar.similar_titles(LIVE, read, SimilarQuery(movie_id=1, **query)).similar
        assert len(found) == min(5, count)
        assert sum(text.startswith(b"{") for text in decoded) == count


RATINGS = {2: 100, 3: 400, 4: 200, 5: 50}


def ranked(**query: Any) -> list[int]:
    """The neighbours of a movie whose neighbours say how many ratings they have."""
    others = [other | {"ratings": RATINGS[other["movie_id"]]} for other in LINE["others"]]
    line = LINE | {"others": others}
    return ids(to_builtins(similar.similar_titles(LIVE, line, SimilarQuery(movie_id=1, **query))))


def test_a_query_can_put_rarer_titles_first_or_titles_that_differ() -> None:
    assert ranked() == ranked(popularity=0.0, diversity=0.0) == [2, 3, 4]
    assert ranked(popularity=1.0) == [2, 4, 3]
    assert ranked(popularity=1.0, measure="hybrid") == [5, 2, 3]
    assert ranked(popularity=1.0, genre=("Crime", "Animation")) == [2, 3]
    # Both 2 and 4 are comedies.
    assert ranked(popularity=1.0, diversity=1.0) == [2, 3, 4]
    assert ranked(popularity=1.0, diversity=0.1) == [2, 4, 3]


def test_pages_of_a_reranked_list_follow_each_other() -> None:
    pages = [ranked(popularity=1.0, diversity=1.0, limit=1, offset=place) for place in range(3)]
    assert pages == [[2], [3], [4]]


def test_links_keep_the_order_of_the_request() -> None:
    links = ask(limit=1, popularity=0.25, diversity=0.5)["links"]
    assert all("popularity=0.25&diversity=0.5" in link for link in links.values())
    assert "popularity" not in ask(limit=1)["links"]["next"]


def test_links_keep_the_filters_of_the_request() -> None:
    query = {
        "genre": ["a", "b"],
        "all_genres": ["c"],
        "same_genre": ["true"],
        "exclude": ["8", "9"],
    }
    asked = validation.parse_parameters(SimilarQuery, {"movie_id": ["1"], **query})
    links = similar.similar_titles(LIVE, LINE, asked).links
    parameters = parse_qs(links.self.removeprefix("?"))
    assert parameters == {"limit": ["10"], "offset": ["0"], **query}
    again = validation.parse_parameters(SimilarQuery, {"movie_id": ["1"], **parameters})
    assert again == asked
    assert "same_genre" not in ask()["links"]["self"]


def test_rows_say_what_they_share_with_the_movie() -> None:
    first, second, _ = ask()["similar"]
    assert first["why"]["genres"] == ["Animation"]
    assert first["why"]["sentence"] == (
        "Both are animation movies of the 1990s; 200 people rated both."
    )
    assert second["why"]["sentence"] == "12 people rated both."
    assert first["ratings"] is None, "a line of an earlier version does not have it"


def test_an_empty_range_of_years_is_a_bad_request() -> None:
    with pytest.raises(ProblemError, match="year_from: later than year_to"):
        ask(year_from=2000, year_to=1999)


def test_a_title_with_few_ratings_gets_neighbours_by_content_and_says_so() -> None:
    cold = LINE | {"ratings": 1, "neighbours": {"hybrid": [[3, 0.7, 0, None]]}}
    response = similar.similar_titles(LIVE, cold, SimilarQuery(movie_id=1))
    assert (response.measure, response.total) == ("hybrid", 1)
    assert [row.based_on for row in response.similar] == ["content"]
    named = similar.similar_titles(LIVE, cold, SimilarQuery(movie_id=1, measure="damped"))
    assert (named.measure, named.similar) == ("damped", []), "a named measure is used"


def test_an_empty_page_says_why() -> None:
    assert ask(genre=("Western",))["reason"] == "none of its 3 neighbours passes the filters"
    assert ask(offset=3)["reason"] == "offset 3 is beyond the 3 that match"
    few = LINE | {"ratings": 1, "neighbours": {}}
    reason = similar.similar_titles(LIVE, few, SimilarQuery(movie_id=1)).reason
    assert reason == "1 user rated it; 10 are needed"
    isolated = LINE | {"neighbours": {}}
    cosine = similar.similar_titles(LIVE, isolated, SimilarQuery(movie_id=1, measure="cosine"))
    assert cosine.reason == "no other movie shares 10 of its 300 raters and scores 0.95 or more"


def follow(response: dict[str, Any], link: str) -> dict[str, Any]:
    """Follow a link as a browser would; each parameter here has one value."""
    url = urljoin("https://api.example/v1/movies/1/similar?x=1", response["links"][link])
    assert urlsplit(url).path == "/v1/movies/1/similar"
    values = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    numbers = {name: int(values[name]) for name in ("limit", "offset")}
    genre = {"genre": (values["genre"],)} if "genre" in values else {}
    return ask(**numbers, **genre, measure=values.get("measure", UNSET))


@pytest.mark.parametrize("query", [{}, {"measure": "cosine"}, {"genre": ("comedy",)}])
@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_the_links_lead_through_every_row_once_and_back(query: dict, limit: int) -> None:
    pages = [ask(limit=limit, **query)]
    while "next" in pages[-1]["links"]:
        pages.append(follow(pages[-1], "next"))
    everything = ask(limit=50, **query)
    assert [row for page in pages for row in page["similar"]] == everything["similar"]
    assert follow(pages[0], "last") == pages[-1]
    assert follow(pages[-1], "first") == pages[0]
    assert [follow(page, "prev") for page in pages[1:]] == pages[:-1]
    assert follow(pages[-1], "self") == pages[-1]
    assert "prev" not in pages[0]["links"]


def test_beyond_the_end_a_link_leads_back_to_the_last_page() -> None:
    assert follow(ask(limit=2, offset=40), "prev") == ask(limit=2, offset=2)


def test_a_movie_without_neighbours_by_a_measure_says_so() -> None:
    live = replace(LIVE, measures=["damped", "ease"])
    response = similar.similar_titles(live, LINE, SimilarQuery(movie_id=1, measure="ease"))
    assert (response.total, response.reason) == (0, "no other movie is similar by ease")
