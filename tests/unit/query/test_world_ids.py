"""Movies by their ids at IMDb and TMDB: in every answer, in paths and bodies, of one run."""

import gzip
import json
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest

from query import handler as query
from query import world_ids
from tests.builders.aws import Cloud, movie_line
from tests.builders.indexed import finish_run
from tests.builders.requests import ask, get, post
from tests.drills.conftest import between
from tests.unit.query.test_handler import cold  # noqa: F401

IDS: dict[int, dict[str, Any]] = {
    1: {"imdb_id": "tt0114709", "tmdb_id": 862},
    2: {"imdb_id": "tt0113497"},
    3: {"tmdb_id": 15602},
    4: {},
}


def line(movie_id: int, *others: int, **ids: Any) -> dict[str, Any]:
    """A line of `neighbours/` whose movies have ids elsewhere."""
    made = movie_line(movie_id, *others) | (ids or IDS[movie_id])
    return made | {"others": [other | IDS[other["movie_id"]] for other in made["others"]]}


LINES = [line(1, 2, 3, 4), line(2, 1), line(3, 1, 4), line(4, 3)]


def ids_in(row: dict[str, Any]) -> tuple[str | None, int | None]:
    """A movie's ids in an answer, where they always are."""
    return row["imdb_id"], row["tmdb_id"]


@pytest.fixture
def calls() -> Any:
    """The operations of AWS that requests call."""
    made: list[str] = []

    def hand(operation: str, _parameters: dict, carry_out: Callable[[], Any]) -> Any:
        made.append(operation)
        return carry_out()

    with between(hand):
        yield made


def test_every_movie_in_an_answer_has_its_ids_or_null(cloud: Cloud) -> None:
    finish_run(cloud, parts=[LINES])
    known = {id: (ids.get("imdb_id"), ids.get("tmdb_id")) for id, ids in IDS.items()}
    similar = get("/movies/1/similar")[1]
    by_title = get("/similar", title="movie")[1]
    many = post("/similar", {"movie_ids": [1, 4]})[1]["movies"]
    recommended = post("/recommendations", {"liked": [1, 2]})[1]["recommendations"]
    movies = [
        similar["movie"], *similar["similar"], by_title["movie"], *by_title["did_you_mean"],
        *by_title["similar"], *(each["movie"] for each in many), *many[1]["similar"], *recommended,
        *recommended[0]["because"], *get("/movies", title="movie")[1]["movies"],
        *(get(f"/movies/{id}")[1] for id in IDS),
    ]  # fmt: skip
    assert {each["movie_id"] for each in movies} == {1, 2, 3, 4}
    for each in movies:
        assert ids_in(each) == known[each["movie_id"]]


def test_a_run_of_an_earlier_version_has_no_such_ids_and_is_read(cloud: Cloud) -> None:
    run_id = finish_run(cloud, parts=[[movie_line(1, 2), movie_line(2, 1)]])
    assert ids_in(get("/movies/1")[1]) == (None, None)
    assert ids_in(get("/movies/1/similar")[1]["similar"][0]) == (None, None)
    status, body = get("/movies/tmdb:862")
    assert (status, body["detail"]) == (
        HTTPStatus.NOT_FOUND, f"no movie tmdb:862 in run {run_id}",
    )  # fmt: skip
    assert len(get("/movies/1/similar", exclude="tmdb:862")[1]["similar"]) == 1


@pytest.mark.parametrize(
    ("id", "movie_id"),
    [("imdb:tt0114709", 1), ("imdb:tt114709", 1), ("tmdb:862", 1), ("tmdb:15602", 3),
     ("imdb:tt0113497", 2), ("imdb%3Att0113497", 2), ("tmdb%3a862", 1)],
)  # fmt: skip
def test_a_path_names_a_movie_by_its_id_elsewhere(cloud: Cloud, id: str, movie_id: int) -> None:
    finish_run(cloud, parts=[LINES])
    for rest in ("", "/similar"):
        assert get(f"/movies/{id}{rest}") == get(f"/movies/{movie_id}{rest}")


@pytest.mark.parametrize("id", ["imdb:tt9999999", "tmdb:1", "tmdb:114709"])
def test_an_id_elsewhere_that_no_movie_has_is_not_found(cloud: Cloud, id: str) -> None:
    run_id = finish_run(cloud, parts=[LINES])
    for rest in ("", "/similar"):
        status, body = get(f"/movies/{id}{rest}")
        assert (status, body["detail"]) == (HTTPStatus.NOT_FOUND, f"no movie {id} in run {run_id}")


@pytest.mark.parametrize(
    "id", ["imdb:114709", "imdb:", "tmdb:tt862", "tmdb:-1", "tvdb:1", "tt0114709", "x", "1.5",
           "tmdb:8 62", "TMDB:862"]
)  # fmt: skip
def test_any_other_text_is_no_id_and_the_response_says_what_is_one(cloud: Cloud, id: str) -> None:
    finish_run(cloud, parts=[LINES])
    status, body = get(f"/movies/{id}")
    assert status == HTTPStatus.BAD_REQUEST
    (error,) = body["errors"]
    assert error["allowed"] == (
        "an integer from 0 to 2147483647 or a text like imdb:tt0114709 or tmdb:862"
    )
    assert error["detail"] == "Expected another form"
    status, body = post("/similar", {"movie_ids": [1, id]})
    assert status == HTTPStatus.BAD_REQUEST
    assert body["errors"][0]["detail"] == "Expected another form - at $[1]"


def test_bodies_name_movies_by_their_ids_elsewhere(cloud: Cloud) -> None:
    run_id = finish_run(cloud, parts=[LINES])
    ids = ["tmdb:862", 4, "imdb:tt0114709", "tmdb:5", 1]
    _, body = post("/similar", {"movie_ids": ids})
    assert [each["movie_id"] for each in body["movies"]] == ids, "as requested, in this order"
    first, fourth, again, unknown, own = body["movies"]
    assert first["movie"]["movie_id"] == again["movie"]["movie_id"] == 1
    assert first["similar"] == again["similar"] == own["similar"] != fourth["similar"]
    assert (unknown["movie"], unknown["reason"]) == (None, f"no movie tmdb:5 in run {run_id}")


def test_likes_and_dislikes_may_be_ids_elsewhere(cloud: Cloud) -> None:
    finish_run(cloud, parts=[LINES])
    own = post("/recommendations", {"liked": [1], "disliked": [2]})[1]
    other = post("/recommendations", {"liked": ["tmdb:862"], "disliked": ["imdb:tt0113497"]})[1]
    assert other == own
    twice = post("/recommendations", {"liked": ["tmdb:862", 1, "imdb:tt0114709"], "disliked": [2]})
    assert twice[1] == own, "one movie counts once"
    _, body = post("/recommendations", {"liked": [1, "tmdb:6", 99, "imdb:tt5"], "disliked": [98]})
    assert body["unknown"] == [98, 99, "imdb:tt5", "tmdb:6"]
    assert post("/recommendations", {"liked": ["tmdb:6"]})[0] == HTTPStatus.NOT_FOUND


def test_a_movie_cannot_be_liked_by_one_id_and_disliked_by_another(cloud: Cloud) -> None:
    finish_run(cloud, parts=[LINES])
    status, body = post("/recommendations", {"liked": [1, 3], "disliked": ["tmdb:862"]})
    assert status == HTTPStatus.BAD_REQUEST
    assert body["errors"] == [
        {"parameter": "disliked", "detail": "also liked", "allowed": "ids that are not in liked",
         "value": "1"}
    ]  # fmt: skip


def test_movies_are_excluded_by_any_of_their_ids(cloud: Cloud) -> None:
    finish_run(cloud, parts=[LINES])
    for exclude in (["2", "3"], ["imdb:tt0113497", "tmdb:15602"], ["imdb:tt113497", "3", "tmdb:1"]):
        assert [row["movie_id"] for row in get("/movies/1/similar", exclude=exclude)[1]["similar"]
                ] == [4]  # fmt: skip
    _, body = post("/recommendations", {"liked": [1], "exclude": ["tmdb:15602", 4]})
    assert [row["movie_id"] for row in body["recommendations"]] == [2]
    link = get("/movies/1/similar", exclude="tmdb:15602", limit="1")[1]["links"]["next"]
    assert link == "?limit=1&offset=1&exclude=tmdb%3A15602"


def test_a_warm_request_makes_one_call_by_whatever_ids(cloud: Cloud, calls: list[str]) -> None:
    finish_run(cloud, parts=[LINES])
    get("/movies/1")
    calls.clear()
    get("/movies/1/similar")
    assert calls == ["BatchGetItem"], "the data set's own ids need no titles"
    get("/movies/tmdb:862")
    assert sorted(calls[1:]) == ["BatchGetItem", "GetItem", "GetObject"], "titles are read once"
    calls.clear()
    for ids in (["tmdb:862"], ["imdb:tt0114709", "tmdb:862", 1, 2], ["tmdb:5"]):
        assert post("/similar", {"movie_ids": ids})[0] == HTTPStatus.OK
    post("/recommendations", {"liked": ["tmdb:862"], "exclude": ["tmdb:1"]})
    assert get("/movies/imdb:tt0113497/similar")[0] == HTTPStatus.OK
    assert calls == ["BatchGetItem"] * 5


def test_an_id_elsewhere_means_the_movie_that_has_it_in_the_run_that_answers(cloud: Cloud) -> None:
    first = finish_run(cloud, 0, parts=[[line(1, 2, tmdb_id=862), line(2, 1)]])
    assert get("/movies/tmdb:862")[1].items() >= {"movie_id": 1, "run_id": first}.items()
    second = finish_run(cloud, 1, parts=[[line(1, 2), line(2, 1, tmdb_id=862) | {"ratings": 99}]])
    assert get("/movies/tmdb:862")[1].items() >= {"movie_id": 2, "run_id": second}.items()


def test_a_run_that_goes_live_while_ids_are_looked_up_is_seen_whole(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish_run(cloud, 0, parts=[[line(1, 2, tmdb_id=862), line(2, 1)]])
    later = [[line(2, 1, tmdb_id=862), line(1, 2)]]
    read = world_ids.load

    def load(blob: bytes) -> world_ids.WorldIds:
        monkeypatch.setattr(world_ids, "load", read)
        run_ids.append(finish_run(cloud, 1, parts=later))
        return read(blob)

    run_ids: list[str] = []
    monkeypatch.setattr(world_ids, "load", load)
    body = json.loads(ask("GET", "/movies/tmdb:862/similar")["body"])
    assert [body["run_id"]] == run_ids
    known = query.reader._world_ids
    assert known is not None
    assert [known[0]] == run_ids


def test_of_two_movies_with_one_id_the_more_rated_counts() -> None:
    movies = [(1, 10), (2, 30), (3, 30), (4, 20)]
    blob = gzip.compress(
        b"".join(
            json.dumps({"movie_id": id, "ratings": ratings, "tmdb_id": 7}).encode() + b"\n"
            for id, ratings in movies
        )
    )
    assert world_ids.load(blob).movie_id("tmdb:7") == 2


def test_a_hundred_thousand_titles_are_loaded_within_a_second() -> None:
    blob = gzip.compress(
        b"".join(
            json.dumps(
                {"movie_id": id, "title": f"Movie {id} (1995)", "year": 1995, "genres": ["Drama"],
                 "imdb_id": f"tt{id * 7:07d}", "tmdb_id": id * 3, "ratings": id}
            ).encode() + b"\n"
            for id in range(1, 100_001)
        )
    )  # fmt: skip
    began = time.process_time()
    known = world_ids.load(blob)
    assert time.process_time() - began < 1
    assert known.movie_id("imdb:tt0000700") == known.movie_id("tmdb:300") == 100
