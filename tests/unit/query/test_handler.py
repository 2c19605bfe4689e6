"""The API: its responses, and that it never mixes runs or returns to an older one."""

import base64
import gc
import gzip
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import pytest

import live_pointer
from query import handler as query
from query import similar
from runs import claims
from tests.builders.aws import CONTEXT, Cloud, movie_line
from tests.builders.indexed import finish_run
from tests.builders.requests import ask, event_of, get, post
from tests.conftest import ROOT
from tools.sample_events import event

LAMBDA_BYTES = 6_291_556  # of a response
PARTS = [[movie_line(1, 2, 3), movie_line(2, 1), movie_line(3, ratings=7)]]


@pytest.fixture(autouse=True)
def cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test starts with an empty cache, like a cold start."""
    monkeypatch.setattr(query.reader, "_last", None)
    monkeypatch.setattr(query.reader, "_titles", None)
    monkeypatch.setattr(query.reader, "_world_ids", None)


@pytest.mark.usefixtures("cloud")  # sets the environment
def test_a_cold_start_does_not_import_the_processing_of_batches() -> None:
    program = "import query.handler, sys; print(*sys.modules)"
    started = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "functions", capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    loaded = started.stdout.split()
    assert "query.handler" in loaded
    assert "aws_lambda_powertools.utilities.batch" not in loaded


def test_what_lives_as_long_as_the_function_is_not_searched_for_garbage(cloud: Cloud) -> None:
    program = "import query.handler, gc; print(gc.get_freeze_count(), len(gc.get_objects()))"
    started = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "functions", capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    frozen, left = map(int, started.stdout.split())
    assert frozen > 50 * left
    finish_run(cloud, parts=PARTS)
    for path, parameters in (("/movies", {"title": "movie"}), ("/movies/tmdb:1", {})):
        gc.unfreeze()
        get(path, **parameters)
        assert gc.get_freeze_count() > 0
        gc.unfreeze()
        get(path, **parameters)
        assert gc.get_freeze_count() == 0, "titles are read once"


def test_a_movie_with_the_id_zero_is_a_movie(cloud: Cloud) -> None:
    finish_run(cloud, parts=[[movie_line(0, 1), movie_line(1, 0)]])
    assert get("/movies/0")[1]["movie_id"] == 0
    assert [each["movie_id"] for each in get("/movies/0/similar")[1]["similar"]] == [1]
    assert [each["movie_id"] for each in get("/movies/1/similar")[1]["similar"]] == [0]
    status, body = post("/recommendations", {"liked": [0]})
    assert (status, [each["movie_id"] for each in body["recommendations"]]) == (HTTPStatus.OK, [1])
    assert get("/movies", title="movie 0")[1]["movies"][0]["movie_id"] == 0


def test_similar_titles_show_their_evidence_and_their_run(cloud: Cloud) -> None:
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
        "ratings": 30,
        "imdb_id": None,
        "tmdb_id": None,
        "series": None,
        "score": 0.98,
        "strength": None,
        "co_raters": 12,
        "cosine": 0.98,
        "based_on": "ratings",
        "why": {
            "sentence": "Both are drama movies of the 1990s; 12 people rated both, 0.4 times as"
            " many as chance.",
            "series": None,
            "genres": ["Drama"],
            "decade": 1990,
            "tags": [],
            "co_raters": 12,
            "lift": 0.4,  # 12 · 20 / (20 · 30)
        },
    }


def test_limit_shortens_the_list_but_not_the_total(cloud: Cloud) -> None:
    finish_run(cloud, parts=PARTS)
    _, body = get("/movies/1/similar", limit="1")
    assert (len(body["similar"]), body["total"], body["limit"]) == (1, 2, 1)


def test_a_movie_without_neighbours_says_why(cloud: Cloud) -> None:
    finish_run(cloud, parts=PARTS)
    status, body = get("/movies/3/similar")
    assert status == HTTPStatus.OK
    assert body["similar"] == []
    assert body["reason"] == "7 users rated it; 10 are needed"


def test_the_query_filters_and_may_name_several_genres(cloud: Cloud) -> None:
    finish_run(cloud, parts=PARTS)
    _, body = get("/movies/1/similar", genre=["Western", "drama"], min_score="0.985", limit="1")
    assert [row["movie_id"] for row in body["similar"]] == [2]
    assert (body["total"], body["matched"]) == (2, 1)
    assert body["links"]["self"] == "?limit=1&offset=0&min_score=0.985&genre=Western&genre=drama"


def test_filters_on_titles_work_in_every_route_that_lists_titles(cloud: Cloud) -> None:
    line = movie_line(1, 2, 3, 4)
    for other, genres in zip(line["others"], (["Drama", "War"], ["War"], ["Drama"]), strict=True):
        other["genres"] = genres
    finish_run(cloud, parts=[[line]])
    for filters, kept in [
        ({"genre": ["war"]}, [2, 3]),
        ({"all_genres": ["war", "drama"]}, [2]),
        ({"same_genre": True}, [2, 4]),
        ({"exclude": [2, 4]}, [3]),
    ]:
        query = {
            name: "true" if value is True else [str(each) for each in value]
            for name, value in filters.items()
        }
        by_id = get("/movies/1/similar", **query)[1]
        by_title = get("/similar", title="movie 1", **query)[1]
        recommended = post("/recommendations", {"liked": [1], **filters})[1]
        for rows in (by_id["similar"], by_title["similar"], recommended["recommendations"]):
            assert [row["movie_id"] for row in rows] == kept
        assert by_id["matched"] == by_title["matched"] == recommended["matched"] == len(kept)
        assert (by_id["total"], by_title["total"]) == (3, 3)
    whole, filtered = (
        ask("GET", "/movies/1/similar", **query)["headers"] for query in ({}, {"exclude": "4"})
    )
    assert (whole["X-Total-Count"], filtered["X-Total-Count"]) == ("3", "2")
    assert whole["ETag"] != filtered["ETag"]


def test_a_run_with_several_measures_answers_by_each(cloud: Cloud) -> None:
    line = movie_line(1, 2, 3)
    line["neighbours"]["jaccard"] = [[1, 0.5, 12, 0.98]]
    finish_run(cloud, parts=[[line, *PARTS[0][1:]]], measures={"cosine": {}, "jaccard": {}})
    _, body = get("/movies/1/similar", measure="jaccard")
    assert (body["measure"], body["measures"]) == ("jaccard", ["cosine", "jaccard"])
    assert [(row["movie_id"], row["score"], row["cosine"]) for row in body["similar"]] == [
        (3, 0.5, 0.98)
    ]
    assert get("/movies/1/similar")[1]["measure"] == "cosine"
    status, body = get("/movies/1/similar", measure="ease")
    assert status == HTTPStatus.BAD_REQUEST
    assert body["errors"][0]["allowed"] == "one of cosine, jaccard"
    assert (
        post("/recommendations", {"liked": [1], "measure": "ease"})[1]["errors"] == body["errors"]
    )


def test_one_call_returns_titles_similar_to_a_title(cloud: Cloud) -> None:
    first, second = movie_line(1, 2), movie_line(2, 1, ratings=9)
    first["title"], second["title"] = "Heat (1995)", "Heat (1972)"
    second["year"] = 1972
    run_id = finish_run(cloud, parts=[[first, second]])
    status, body = get("/similar", title="heat", limit="1")
    assert (status, body["run_id"], body["movie"]["movie_id"]) == (HTTPStatus.OK, run_id, 1)
    assert [row["movie_id"] for row in body["similar"]] == [2]
    assert [movie["movie_id"] for movie in body["did_you_mean"]] == [2]
    assert body["links"]["self"] == "?limit=1&offset=0&title=heat"
    _, body = get("/similar", title="heat", year="1972")
    assert (body["movie"]["movie_id"], body["did_you_mean"]) == (2, [])
    status, body = get("/similar", title="nothing of the kind")
    assert status == HTTPStatus.NOT_FOUND
    assert "with a title like nothing of the kind" in body["detail"]


def test_recommendations_name_the_liked_movies_that_led_to_them(cloud: Cloud) -> None:
    run_id = finish_run(cloud, parts=[[movie_line(1, 3, 4), movie_line(2, 4, 1), movie_line(3)]])
    status, body = post("/recommendations", {"liked": [1, 2, 77]})
    assert (status, body["run_id"], body["unknown"]) == (HTTPStatus.OK, run_id, [77])
    first, second = body["recommendations"]
    assert (first["movie_id"], first["score"]) == (4, 0.98 + 0.99)
    assert [(each["movie_id"], each["score"]) for each in first["because"]] == [
        (2, 0.99), (1, 0.98)
    ]  # fmt: skip
    assert (second["movie_id"], second["rank"]) == (3, 2)


def test_several_movies_get_one_answer_each_in_the_order_of_the_request(cloud: Cloud) -> None:
    run_id = finish_run(cloud, parts=PARTS)
    status, body = post("/similar", {"movie_ids": [3, 77, 1, 2, 1], "limit": 1})
    assert (status, body["run_id"], body["limit"]) == (HTTPStatus.OK, run_id, 1)
    few, unknown, first, second, again = body["movies"]
    assert [each["movie_id"] for each in body["movies"]] == [3, 77, 1, 2, 1]
    assert again == first
    for each in (few, first, second):
        alone = get(f"/movies/{each['movie_id']}/similar", limit="1")[1]
        assert {name: alone[name] for name in each if name != "movie_id"} == {
            name: value for name, value in each.items() if name != "movie_id"
        }
    assert few["reason"] == "7 users rated it; 10 are needed"
    assert (unknown["movie"], unknown["similar"]) == (None, [])
    assert unknown["reason"] == f"no movie 77 in run {run_id}"
    assert post("/similar", {"movie_ids": [77]})[0] == HTTPStatus.OK


def test_filters_and_pages_apply_to_each_of_several_movies(cloud: Cloud) -> None:
    finish_run(cloud, parts=[[movie_line(1, 2, 3, 4), movie_line(2, 1, 4, 3)]])
    request = {"movie_ids": [1, 2], "exclude": [4], "limit": 1, "offset": 1, "same_genre": True}
    _, body = post("/similar", request)
    assert [[row["movie_id"] for row in each["similar"]] for each in body["movies"]] == [[3], [3]]
    assert [(each["matched"], each["total"]) for each in body["movies"]] == [(2, 3), (2, 3)]
    status, body = post("/similar", {"movie_ids": [1], "measure": "ease"})
    assert (status, body["errors"][0]["parameter"]) == (HTTPStatus.BAD_REQUEST, "measure")


def test_a_response_for_several_movies_always_fits_into_lambdas_six_megabytes(
    cloud: Cloud,
) -> None:
    ids = list(range(1, 101))
    line = movie_line(1, *range(101, 151)) | {"tags": ["t" * 100 for _ in range(5)]}
    for other in line["others"]:
        other |= {"title": 'Ł"' * 250, "genres": ["Documentary"] * 10, "tags": line["tags"]}
    finish_run(cloud, parts=[[line | {"movie_id": id} for id in ids]])
    for count, limit in ((100, 20), (40, 50)):
        response = ask("POST", "/similar",
                       body=json.dumps({"movie_ids": ids[:count], "limit": limit}))  # fmt: skip
        assert response["statusCode"] == HTTPStatus.OK
        rows = sum(len(each["similar"]) for each in json.loads(response["body"])["movies"])
        assert rows == similar.MAX_ROWS
        sent = json.dumps(response, ensure_ascii=False).encode()
        assert len(sent) < LAMBDA_BYTES
    for count, limit, most in ((100, 21, 20), (41, 50, 48)):
        status, body = post("/similar", {"movie_ids": ids[:count], "limit": limit})
        assert status == HTTPStatus.BAD_REQUEST
        (error,) = body["errors"]
        assert (error["parameter"], error["value"]) == ("limit", str(limit))
        assert error["allowed"] == f"an integer from 1 to {most}"


@pytest.mark.parametrize("ids", [[], list(range(101)), ["1"], [-1]])
def test_several_movies_are_1_to_100_valid_ids(ids: list[Any]) -> None:
    status, body = post("/similar", {"movie_ids": ids})
    assert (status, body["errors"][0]["parameter"]) == (HTTPStatus.BAD_REQUEST, "movie_ids")


def test_every_id_in_a_response_has_a_response_of_its_own(cloud: Cloud) -> None:
    finish_run(cloud, parts=PARTS)
    _, body = get("/movies/1/similar")
    for row in body["similar"]:
        assert get(f"/movies/{row['movie_id']}/similar")[0] == HTTPStatus.OK


@pytest.mark.parametrize(
    ("path", "parameters", "status", "detail"),
    [
        ("/movies/99", {}, 404, "no movie 99 in run"),
        ("/movies/99/similar", {}, 404, "no movie 99 in run"),
        ("/runs/nonsense", {}, 404, "no run nonsense"),
        ("/nowhere", {}, 404, "no route /nowhere"),
        ("/movies/1/similar/x", {}, 404, "no route /movies/1/similar/x"),
    ],
)
def test_a_missing_thing_is_a_404_that_names_it(
    cloud: Cloud, path: str, parameters: dict[str, str], status: int, detail: str
) -> None:
    finish_run(cloud, parts=PARTS)
    got, body = get(path, **parameters)
    assert got == status
    assert detail in body["detail"]


@pytest.mark.parametrize(
    ("path", "parameters", "parameter", "value", "allowed"),
    [
        ("/movies/abc", {}, "movie_id", "abc", "an integer from 0 to 2147483647"),
        ("/movies/-1", {}, "movie_id", "-1", "an integer from 0 to 2147483647"),
        ("/movies/99999999999/similar", {}, "movie_id", "99999999999", "an integer from 0 to"),
        ("/movies/%2e%2e/similar", {}, "movie_id", "..", "an integer from 0 to"),
        ("/movies/1/similar", {"limit": "51"}, "limit", "51", "an integer from 1 to 50"),
        ("/movies/1/similar", {"limit": "0"}, "limit", "0", "an integer from 1 to 50"),
        ("/movies/1/similar", {"limit": ""}, "limit", "", "an integer from 1 to 50"),
        ("/movies/1/similar", {"limit": ["1", "2"]}, "limit", "1, 2", "one value"),
        ("/movies/1/similar", {"offset": "-1"}, "offset", "-1", "an integer from 0 to 10000"),
        ("/movies/1/similar", {"min_score": "nan"}, "min_score", "nan", "a number from -1000000"),
        ("/movies/1/similar", {"min_score": "high"}, "min_score", "high", "a number from"),
        ("/movies/1/similar", {"year_from": "null"}, "year_from", "null", "an integer from 0"),
        ("/movies/1/similar", {"genre": ["Drama", ""]}, "genre", "Drama, ", "up to 20, each a"),
        ("/movies/1/similar", {"exclude": ["1", "x"]}, "exclude", "1, x", "up to 100, each an"),
        ("/movies/1/similar", {"exclude": ["1"] * 101}, "exclude", ("1, " * 34)[:100], "up to 100"),
        ("/movies/1/similar", {"same_genre": "maybe"}, "same_genre", "maybe", "true or false"),
        ("/similar", {"title": "x", "all_genres": ""}, "all_genres", "", "up to 20, each a text"),
        ("/movies/1/similar", {"popularity": "1.1"}, "popularity", "1.1", "a number from 0 to 1"),
        ("/movies/1/similar", {"diversity": "nan"}, "diversity", "nan", "a number from 0 to 1"),
        ("/similar", {"title": "x", "diversity": "-1"}, "diversity", "-1", "a number from 0 to 1"),
        ("/movies/1/similar", {"limt": "5"}, "limt", "5", "limit, offset, measure, min_score"),
        ("/movies", {}, "title", None, "a text of 1 to 200 characters"),
        ("/movies", {"title": "x" * 201}, "title", "x" * 100, "a text of 1 to 200 characters"),
        ("/runs", {"limit": "x"}, "limit", "x", "an integer from 1 to 50"),
        ("/health", {"x": "1"}, "x", "1", "none"),
    ],
)
def test_a_bad_request_gets_the_parameter_its_value_and_the_allowed_values(
    path: str, parameters: dict, parameter: str, value: str | None, allowed: str
) -> None:
    status, body = get(path, **parameters)
    assert status == HTTPStatus.BAD_REQUEST
    (error,) = body["errors"]
    assert (error["parameter"], error.get("value")) == (parameter, value)
    assert error["allowed"].startswith(allowed)
    assert body["detail"].startswith(f"{parameter}: ")


def test_all_errors_of_a_request_are_reported_at_once() -> None:
    _, body = get("/movies/-1/similar", limit="x", min_score="y", nonsense="z")
    invalid = {error["parameter"] for error in body["errors"]}
    assert invalid == {"movie_id", "limit", "min_score", "nonsense"}


@pytest.mark.parametrize(
    ("body", "parameter", "value"),
    [
        ("{", "body", None),
        ("\ud800", "body", None),
        ("[1]", "body", "1"),
        ("{}", "liked", None),
        ('{"liked": []}', "liked", ""),
        ('{"liked": [-1]}', "liked", "-1"),
        ('{"liked": ["1"]}', "liked", "1"),
        ('{"liked": [1], "limit": 51}', "limit", "51"),
        ('{"liked": [1], "popularity": 2}', "popularity", "2"),
        ('{"liked": [1], "diversity": "0.5"}', "diversity", "0.5"),
        ('{"liked": [1], "lmit": 5}', "lmit", "5"),
        ('{"liked": [1], "same_genre": "true"}', "same_genre", "true"),
        ('{"liked": [1], "exclude": 2}', "exclude", "2"),
        ('{"liked": [1], "genre": "War"}', "genre", "War"),
        ('{"liked": [1, 2], "disliked": [2, 3]}', "disliked", "2"),
        ('{"liked": [1], "weights": [0]}', "weights", "0"),
        ('{"liked": [1], "weights": [-1]}', "weights", "-1"),
        ('{"liked": [1], "weights": [101]}', "weights", "101"),
        ('{"liked": [1], "weights": {"1": 2}}', "weights", "{'1': 2}"),
        ('{"liked": [1, 2], "weights": [2]}', "weights", "2.0"),
        ('{"liked": [1], "weights": [2, 1]}', "weights", "2.0, 1.0"),
    ],
)
def test_a_bad_body_gets_the_field_that_is_wrong(
    body: str, parameter: str, value: str | None
) -> None:
    response = ask("POST", "/recommendations", {"content-type": "application/json"}, body)
    assert response["statusCode"] == HTTPStatus.BAD_REQUEST
    (error,) = json.loads(response["body"])["errors"]
    assert (error["parameter"], error.get("value")) == (parameter, value)


def test_a_body_that_is_too_large_or_not_json_is_refused() -> None:
    large = ask("POST", "/recommendations", body=" " * 65_537)
    assert large["statusCode"] == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    form = ask("POST", "/recommendations", {"Content-Type": "text/plain"}, "liked=1")
    assert form["statusCode"] == HTTPStatus.UNSUPPORTED_MEDIA_TYPE


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/movies/1/similar", "GET, HEAD, OPTIONS"),
        ("DELETE", "/runs", "GET, HEAD, OPTIONS"),
        ("GET", "/recommendations", "OPTIONS, POST"),
        ("PUT", "/similar", "GET, HEAD, OPTIONS, POST"),
        ("PATCH", "/recommendations", "OPTIONS, POST"),
    ],
)
def test_a_method_that_is_not_allowed_gets_those_that_are(
    method: str, path: str, allow: str
) -> None:
    response = ask(method, path)
    assert response["statusCode"] == HTTPStatus.METHOD_NOT_ALLOWED
    assert response["headers"]["Allow"] == allow


def test_pages_of_other_sites_may_call_the_api(cloud: Cloud) -> None:
    finish_run(cloud, parts=PARTS)
    before = ask("OPTIONS", "/recommendations", {"Origin": "https://example.org"})
    assert before["statusCode"] == HTTPStatus.NO_CONTENT
    assert "POST" in before["headers"]["Access-Control-Allow-Methods"]
    assert "Content-Type" in before["headers"]["Access-Control-Allow-Headers"]
    for path in ("/movies/1", "/movies/-1", "/nowhere"):
        assert ask("GET", path)["headers"]["Access-Control-Allow-Origin"] == "*"


def test_head_is_get_without_the_body(cloud: Cloud) -> None:
    finish_run(cloud, parts=PARTS)
    got, head = ask("GET", "/movies/1/similar"), ask("HEAD", "/movies/1/similar")
    assert (head["statusCode"], head["body"]) == (HTTPStatus.OK, "")
    assert head["headers"] == got["headers"]


def test_an_unchanged_response_is_not_sent_again(cloud: Cloud) -> None:
    finish_run(cloud, 0, PARTS)
    paths = ["/movies/1/similar", "/movies/1", "/movies", "/similar"]
    parameters = {
        path: {"title": "movie 1"} if path in ("/movies", "/similar") else {} for path in paths
    }
    etags = {path: ask("GET", path, **parameters[path])["headers"]["ETag"] for path in paths}
    for path in paths:
        again = ask("GET", path, {"If-None-Match": f'"x", {etags[path]}'}, **parameters[path])
        assert (again["statusCode"], again["body"]) == (HTTPStatus.NOT_MODIFIED, "")
        assert again["headers"]["ETag"] == etags[path]
    assert ask("GET", paths[0], limit="9")["headers"]["ETag"] != etags[paths[0]]
    finish_run(cloud, 1, PARTS)
    for path in paths:
        new = ask("GET", path, {"If-None-Match": etags[path]}, **parameters[path])
        assert new["statusCode"] == HTTPStatus.OK
        assert new["headers"]["ETag"] != etags[path]


def test_responses_say_how_long_clients_may_keep_them(cloud: Cloud) -> None:
    finish_run(cloud, parts=PARTS)
    kept = {path: ask("GET", path)["headers"]["Cache-Control"]
            for path in ("/movies/1/similar", "/runs", "/health", "/movies/-1")}  # fmt: skip
    assert kept == {
        "/movies/1/similar": "max-age=60",
        "/runs": "no-cache",
        "/health": "no-cache",
        "/movies/-1": "no-store",
    }


def test_the_headers_link_the_pages_of_a_list(cloud: Cloud) -> None:
    finish_run(cloud, parts=PARTS)
    headers = ask("GET", "/movies/1/similar", limit="1")["headers"]
    assert headers["X-Total-Count"] == "2"
    assert '<?limit=1&offset=1>; rel="next"' in headers["Link"]
    assert 'rel="prev"' not in headers["Link"]


def test_a_large_response_is_compressed_for_clients_that_accept_it(cloud: Cloud) -> None:
    finish_run(cloud, parts=[[movie_line(1, *range(2, 40)), movie_line(2)]])
    plain = ask("GET", "/movies/1/similar", limit="50")
    assert "Content-Encoding" not in plain["headers"]
    packed = ask("GET", "/movies/1/similar", {"accept-encoding": "br, gzip"}, limit="50")
    assert (packed["headers"]["Content-Encoding"], packed["isBase64Encoded"]) == ("gzip", True)
    assert packed["headers"]["Vary"] == "Accept-Encoding"
    assert gzip.decompress(base64.b64decode(packed["body"])).decode() == plain["body"]
    for refused in ({"accept-encoding": "gzip;q=0"}, {"accept-encoding": "br"}):
        assert ask("GET", "/movies/1/similar", refused, limit="50")["body"] == plain["body"]
    small = ask("GET", "/movies/2", {"accept-encoding": "gzip"})
    assert not small["isBase64Encoded"]


def test_a_body_may_come_as_base64(cloud: Cloud) -> None:
    finish_run(cloud, parts=PARTS)
    request = event_of("/recommendations") | {
        "httpMethod": "POST",
        "body": base64.b64encode(b'{"liked": [1]}').decode(),
        "isBase64Encoded": True,
    }
    request["multiValueQueryStringParameters"] = None
    assert query.lambda_handler(request, CONTEXT)["statusCode"] == HTTPStatus.OK


def test_an_internal_error_reveals_nothing_about_the_code(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    finish_run(cloud, parts=PARTS)
    monkeypatch.setattr(query.similar, "similar_titles", lambda *_: 1 // 0)
    status, body = get("/movies/1/similar")
    assert status == HTTPStatus.INTERNAL_SERVER_ERROR
    assert "division" not in json.dumps(body)
    assert "ZeroDivisionError" in caplog.text


def test_hostile_titles_stay_unchanged_in_json_that_no_browser_shows_as_a_page(
    cloud: Cloud,
) -> None:
    title = '<img src=x onerror="alert(1)">\x00\x1b[31m\u2028\u202e"\' (1995)'
    finish_run(cloud, parts=[[movie_line(1) | {"title": title}]])
    response = ask("GET", "/movies/1")
    assert json.loads(response["body"])["title"] == title
    assert response["headers"]["Content-Type"] == "application/json"
    assert response["headers"]["X-Content-Type-Options"] == "nosniff"
    assert get("/movies", title="img src x onerror")[1]["movies"][0]["title"] == title


def metrics_of(out: str) -> list[dict[str, Any]]:
    """The lines on stdout that CloudWatch turns into metrics."""
    return [json.loads(line) for line in out.splitlines() if '"_aws"' in line]


def test_latency_and_search_misses_are_metrics(
    cloud: Cloud, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    run_id = finish_run(cloud, parts=PARTS)
    capsys.readouterr()
    get("/movies", title="movie 1")
    (found,) = metrics_of(capsys.readouterr().out)
    assert found["QueryLatency"][0] > 0
    assert "SearchMisses" not in found
    get("/movies", title="nothing of the kind")
    (missed,) = metrics_of(capsys.readouterr().out)
    assert missed["SearchMisses"] == [1.0]
    record = vars(caplog.records[-1])
    assert (record["run_id"], record["title"]) == (run_id, "nothing of the kind")


def test_the_explorer_is_served_whatever_the_query_of_its_address(cloud: Cloud) -> None:  # noqa: ARG001
    request = event_of("/")
    request["queryStringParameters"] = {"movie": "1", "genre": "Drama"}
    request["multiValueQueryStringParameters"] = {"movie": ["1"], "genre": ["Crime", "Drama"]}
    response = query.lambda_handler(request, CONTEXT)
    assert response["statusCode"] == HTTPStatus.OK
    assert response["headers"]["Content-Type"] == "text/html; charset=utf-8"
    assert "Content-Security-Policy" in response["headers"]
    assert response["body"].startswith("<!doctype html>")


def test_before_the_first_run_the_api_says_that_no_run_is_live(cloud: Cloud) -> None:  # noqa: ARG001
    for path in ("/movies/1", "/movies/1/similar"):
        status, body = get(path)
        assert status == HTTPStatus.SERVICE_UNAVAILABLE
        assert "no run is live yet" in body["detail"]
    assert get("/movies", title="heat")[0] == HTTPStatus.SERVICE_UNAVAILABLE
    status, body = get("/health")
    assert (status, body["status"], body["live_run_id"]) == (HTTPStatus.OK, "ok", None)
    assert get("/runs") == (HTTPStatus.OK, {"live_run_id": None, "runs": [], "waiting": []})


def test_a_search_finds_movies_by_title(cloud: Cloud) -> None:
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


def test_responses_come_from_a_new_live_run_at_once(cloud: Cloud) -> None:
    finish_run(cloud, 0, PARTS)
    get("/movies/1/similar")
    get("/movies", title="movie")
    second = finish_run(cloud, 1, [[movie_line(1, 2, 3, 4), movie_line(2, 1), movie_line(4)]])
    _, body = get("/movies/1/similar")
    assert (body["run_id"], body["total"]) == (second, 3)
    _, found = get("/movies", title="movie")
    assert [movie["movie_id"] for movie in found["movies"]] == [1, 2, 4]


def test_a_warm_request_reads_dynamodb_once(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    finish_run(cloud, parts=PARTS)
    get("/movies/1/similar")
    calls = []
    real = query.reader.dynamodb.batch_get_item
    monkeypatch.setattr(live_pointer, "read", lambda *_: calls.append("get_item"))
    monkeypatch.setattr(
        query.reader.dynamodb, "batch_get_item", lambda **k: calls.append("batch") or real(**k)
    )
    get("/movies/1/similar")
    assert calls == ["batch"]


@pytest.mark.parametrize(
    "name", [f"query-{kind}" for kind in ("similar", "movie", "search", "runs", "run", "health")]
)
def test_the_sample_events_get_a_response(cloud: Cloud, name: str) -> None:
    line = movie_line(1, 2) | {"title": "Toy Story (1995)"}
    finish_run(cloud, parts=[[line, movie_line(2, 1)]])
    created = datetime(2026, 11, 23, 12, 5, tzinfo=UTC)
    claims.claim(cloud.runs, f"{'5f2a9c01':0<64}", "ml-10M100K", None, created, timedelta(0))
    assert query.lambda_handler(event(name), CONTEXT)["statusCode"] == HTTPStatus.OK
