"""The API: what it answers, and that it never mixes runs or steps back."""

import json
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import pytest

import live
import query
import runs
from tests.conftest import event
from tests.unit.conftest import CONTEXT, Cloud, movie_line
from tests.unit.test_indexer import finish_run

PARTS = [[movie_line(1, 2, 3), movie_line(2, 1), movie_line(3, ratings=7)]]


@pytest.fixture(autouse=True)
def cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test starts with a query function that remembers nothing."""
    monkeypatch.setattr(query.reader, "_last", None)
    monkeypatch.setattr(query.reader, "_titles", None)


def get(path: str, **parameters: str) -> tuple[int, dict[str, Any]]:
    """Ask the API; returns status and body."""
    request = event("query-similar")
    request["path"] = path
    request["queryStringParameters"] = parameters
    request["multiValueQueryStringParameters"] = {k: [v] for k, v in parameters.items()}
    answer = query.lambda_handler(request, CONTEXT)
    json.dumps(answer)  # Lambda does this
    if answer["statusCode"] >= HTTPStatus.BAD_REQUEST:
        assert answer["headers"]["Content-Type"] == "application/problem+json"
    return answer["statusCode"], json.loads(answer["body"])


def test_similar_titles_come_with_their_evidence_and_name_the_run(cloud: Cloud) -> None:
    run_id = finish_run(cloud, parts=PARTS)
    status, body = get("/movies/1/similar")
    assert status == HTTPStatus.OK
    assert body["run_id"] == run_id
    assert body["measure"] == "cosine"
    assert body["movie"]["title"] == "Movie 1 (1995)"
    assert body["total"] == 2
    assert body["similar"][1] == {
        "rank": 2,
        "movie_id": 3,
        "title": "Movie 3 (1995)",
        "year": 1995,
        "genres": ["Drama"],
        "score": 0.98,
        "co_raters": 12,
        "cosine": 0.98,
        "based_on": "ratings",
    }


def test_limit_cuts_the_list_and_not_the_total(cloud: Cloud) -> None:
    finish_run(cloud, parts=PARTS)
    _, body = get("/movies/1/similar", limit="1")
    assert (len(body["similar"]), body["total"], body["limit"]) == (1, 2, 1)


def test_a_movie_without_neighbours_says_why(cloud: Cloud) -> None:
    finish_run(cloud, parts=PARTS)
    status, body = get("/movies/3/similar")
    assert status == HTTPStatus.OK
    assert body["similar"] == []
    assert body["reason"] == "7 users rated it; 10 are needed"


def test_every_id_in_an_answer_can_itself_be_asked_for(cloud: Cloud) -> None:
    finish_run(cloud, parts=PARTS)
    _, body = get("/movies/1/similar")
    for row in body["similar"]:
        assert get(f"/movies/{row['movie_id']}/similar")[0] == HTTPStatus.OK


@pytest.mark.parametrize(
    ("path", "parameters", "status", "detail"),
    [
        ("/movies/99", {}, 404, "there is no movie 99"),
        ("/movies/99/similar", {}, 404, "there is no movie 99"),
        ("/movies/abc", {}, 400, "movie_id: "),
        ("/movies/0", {}, 400, "movie_id: Expected int >= 1"),
        ("/movies/99999999999/similar", {}, 400, "Expected int <= 2147483647"),
        ("/movies/1/similar", {"limit": "51"}, 400, "limit: Expected int <= 50"),
        ("/movies/1/similar", {"limit": "0"}, 400, "limit: "),
        ("/movies", {}, 400, "title: it is required"),
        ("/runs/nonsense", {}, 404, "there is no run nonsense"),
        ("/nowhere", {}, 404, "there is nothing at /nowhere"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(
    cloud: Cloud, path: str, parameters: dict[str, str], status: int, detail: str
) -> None:
    finish_run(cloud, parts=PARTS)
    got, body = get(path, **parameters)
    assert (got, body["status"]) == (status, status)
    assert detail in body["detail"]
    assert body["instance"] == path


def test_the_page_for_people_is_there_whatever_its_address_asks_for(cloud: Cloud) -> None:  # noqa: ARG001
    request = event("query-similar") | {"path": "/"}
    request["queryStringParameters"] = {"movie": "1", "genre": "Drama"}
    request["multiValueQueryStringParameters"] = {"movie": ["1"], "genre": ["Crime", "Drama"]}
    answer = query.lambda_handler(request, CONTEXT)
    assert answer["statusCode"] == HTTPStatus.OK
    assert answer["headers"]["Content-Type"] == "text/html; charset=utf-8"
    assert "Content-Security-Policy" in answer["headers"]
    assert answer["body"].startswith("<!doctype html>")


def test_before_the_first_run_the_api_says_that_nothing_is_live(cloud: Cloud) -> None:  # noqa: ARG001
    for path in ("/movies/1", "/movies/1/similar"):
        status, body = get(path)
        assert status == HTTPStatus.SERVICE_UNAVAILABLE
        assert "no run is live yet" in body["detail"]
    assert get("/movies", title="heat")[0] == HTTPStatus.SERVICE_UNAVAILABLE
    status, body = get("/health")
    assert (status, body["status"], body["live_run_id"]) == (HTTPStatus.OK, "ok", None)
    assert get("/runs") == (HTTPStatus.OK, {"live_run_id": None, "runs": []})


def test_movies_are_found_by_title(cloud: Cloud) -> None:
    finish_run(cloud, parts=PARTS)
    _, body = get("/movies", title="movie 2")
    assert [movie["movie_id"] for movie in body["movies"]] == [2]


def test_runs_are_listed_newest_first_with_counts(cloud: Cloud) -> None:
    first, second = finish_run(cloud, 0), finish_run(cloud, 1)
    _, body = get("/runs")
    assert body["live_run_id"] == second
    assert [run["run_id"] for run in body["runs"]] == [second, first]
    assert [run["state"] for run in body["runs"]] == ["LIVE", "SUPERSEDED"]
    _, run = get(f"/runs/{second}")
    assert run["counts"]["ratings"] == 40
    assert run["indexed"] == {"parts": 2, "of": 2}


def test_a_new_live_run_is_answered_from_at_once(cloud: Cloud) -> None:
    finish_run(cloud, 0, PARTS)
    get("/movies/1/similar")
    get("/movies", title="movie")
    second = finish_run(cloud, 1, [[movie_line(1), movie_line(4)]])
    _, body = get("/movies/1/similar")
    assert (body["run_id"], body["total"]) == (second, 0)
    _, found = get("/movies", title="movie")
    assert [movie["movie_id"] for movie in found["movies"]] == [1, 4]


def test_a_warm_request_reads_dynamodb_once(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    finish_run(cloud, parts=PARTS)
    get("/movies/1/similar")
    calls = []
    real = query.reader.dynamodb.batch_get_item
    monkeypatch.setattr(live, "read", lambda *_: calls.append("get_item"))
    monkeypatch.setattr(
        query.reader.dynamodb, "batch_get_item", lambda **k: calls.append("batch") or real(**k)
    )
    get("/movies/1/similar")
    assert calls == ["batch"]


@pytest.mark.parametrize(
    "name", [f"query-{kind}" for kind in ("similar", "movie", "search", "runs", "run", "health")]
)
def test_the_sample_events_are_answered(cloud: Cloud, name: str) -> None:
    line = movie_line(1, 2) | {"title": "Toy Story (1995)"}
    finish_run(cloud, parts=[[line, movie_line(2, 1)]])
    created = datetime(2026, 11, 23, 12, 5, tzinfo=UTC)
    runs.claim(cloud.runs, f"{'5f2a9c01':0<64}", "ml-10M100K", None, created, timedelta(0))
    assert query.lambda_handler(event(name), CONTEXT)["statusCode"] == HTTPStatus.OK
