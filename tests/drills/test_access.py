"""Malformed requests, unusual folder names, and pinned packages."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from notifications import run_message
from query import handler as query
from tests.builders.aws import CONTEXT, Cloud, movie_line
from tests.builders.indexed import finish_run
from tests.builders.requests import get
from tests.conftest import ROOT, Observed
from tests.drills.test_deliveries import deliver

# A package in a lock file: its name, one version, perhaps a marker, and hashes.
PINNED = re.compile(r"[A-Za-z0-9_.-]+(\[[a-z,]+\])?==[^\s]+( ;.*?)?\s+--hash=sha256:")
LONG = "9" * 4000
DEEP = "[" * 5000 + "]" * 5000
ODD = [
    "", " ", "0", "-1", "1.5", "1e3", "2147483648", LONG, "NaN", "null", "true", "\x00", "%00",
    "../1", "..%2f1", "%2e%2e", "1;drop table", "' or 1=1 --", "<script>alert(1)</script>",
    "{{7*7}}",
    "${jndi:ldap://x}", "\u202e1", "\u0661", "=1+1", "\r\nSet-Cookie: x=y", "a" * 10_000,
]  # fmt: skip
PATHS = [
    "", "/", "//", "/movies", "/movies/", "/movies//similar", "/movies/1/similar/",
    "/movies/1/../../runs", "/../runs", "/%2e%2e/runs", "/runs/..", "/openapi.json/..",
    "/movies/1/similar;x=1", "/MOVIES/1", "/docs/../../etc/passwd", "/.env", "/static/app.js",
    "/movies/1\x00/similar", "/" + "a" * 9000,
]  # fmt: skip
PARAMETERS = ("limit", "offset", "measure", "min_score", "min_co_raters", "genre", "year_from",
              "year_to", "title", "year", "unknown", "")  # fmt: skip
BODIES = [
    None, "", "null", "[]", "{}", '"x"', "1", "{", DEEP, '{"liked": ' + DEEP + "}", "\x00",
    "\ud800",
    '{"liked": [1], "liked": [2]}', '{"liked": [' + ",".join(["1"] * 5000) + "]}", "a" * 200_000,
    '{"liked": ["1"]}', '{"liked": [1e400]}', '{"liked": [-1]}', '{"liked": [true]}',
    '{"liked": ["imdb:tt1", "tmdb:1"]}', '{"liked": ["tmdb:0000000001\\n"]}',
    '{"liked": {"$gt": 0}}', '{"__proto__": {"x": 1}}', '{"liked": [' + LONG + "]}",
]  # fmt: skip
FOLDERS = [
    "ml 10M", "ml+10M", "ml%2010M", "100%", "%", "ünïcode/漢字", "a//b", "./a", "../a", "a/../../b",
    "~",
    "<img src=x onerror=alert(1)>", '=HYPERLINK("http://x")', "a\tb", "a\x7fb", "\u202e",
    "'; --",
    "runs/20261123T120500000Z-5f2a9c01", "x" * 900,
]  # fmt: skip


def asked(
    path: str,
    method: str = "GET",
    parameters: dict[str, list[str]] | None = None,
    headers: dict[str, str] | None = None,
    body: str | None = None,
) -> dict[str, Any]:
    """A request as API Gateway passes it on."""
    given = parameters or {}
    return {
        "path": path,
        "httpMethod": method,
        "queryStringParameters": {name: values[-1] for name, values in given.items()} or None,
        "multiValueQueryStringParameters": given or None,
        "headers": {"Accept": "*/*"} | (headers or {}),
        "body": body,
        "isBase64Encoded": False,
        "requestContext": {"requestId": "r", "stage": "v1", "path": f"/v1{path}"},
    }


def requests() -> list[dict[str, Any]]:
    """Malicious requests."""
    made = [asked(path) for path in PATHS]
    made += [asked(f"/movies/{odd}{rest}") for odd in ODD for rest in ("", "/similar")]
    made += [asked(f"/runs/{odd}") for odd in ODD]
    for name in PARAMETERS:
        made += [asked("/movies/1/similar", parameters={name: [odd]}) for odd in ODD]
        made += [asked("/similar", parameters={"title": ["movie"], name: [odd]}) for odd in ODD]
        made.append(asked("/movies/1/similar", parameters={name: ["1"] * 500}))
    made += [asked("/movies", parameters={"title": [odd]}) for odd in ODD]
    made += [asked(f"/movies/{kind}:{odd}") for odd in ODD for kind in ("imdb:tt", "tmdb")]
    kind = {"Content-Type": "application/json"}
    made += [asked("/recommendations", "POST", headers=kind, body=body) for body in BODIES]
    for body in BODIES:
        renamed = body and body.replace("liked", "movie_ids")
        made.append(asked("/similar", "POST", headers=kind, body=renamed))
    made += [asked(path, "POST", headers=kind, body=json.dumps({name: [odd, f"tmdb:{odd}"]}))
             for path, name in (("/similar", "movie_ids"), ("/recommendations", "liked"))
             for odd in ODD]  # fmt: skip
    made += [asked("/recommendations", "POST", headers={"Content-Type": odd}, body='{"liked": [1]}')
             for odd in ODD]  # fmt: skip
    made += [asked("/movies/1", headers={name: odd}) for odd in ODD
             for name in ("If-None-Match", "Accept-Encoding", "Accept", "Origin", "Host",
                          "X-HTTP-Method-Override", "X-Forwarded-Host")]  # fmt: skip
    made += [asked("/movies/1", method) for method in ("TRACE", "PUT", "", "get", "G\x00T")]
    return made


@pytest.mark.drill(
    "Access",
    injected="malformed requests: path traversal, control characters, injections, repeated "
    "parameters, huge numbers and texts, deep JSON, in paths, ids, parameters, headers, methods "
    "and bodies",
    promised="a normal response or a 4xx problem; never a server error, code, file content or "
    "injected header",
)
def test_no_request_breaks_the_api_or_learns_more_than_it_may(
    cloud: Cloud, observed: Observed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query.reader, "_last", None)
    monkeypatch.setattr(query.reader, "_titles", None)
    monkeypatch.setattr(query.reader, "_world_ids", None)
    finish_run(cloud, parts=[[movie_line(1, 2), movie_line(2, 1)]])
    refused = 0
    made = requests()
    for request in made:
        answer = query.lambda_handler(request, CONTEXT)
        status, headers, body = answer["statusCode"], answer["headers"], str(answer.get("body"))
        assert status < 500, (request, body)
        assert "Set-Cookie" not in headers
        assert not any("\n" in str(value) or "\r" in str(value) for value in headers.values())
        assert "Traceback" not in body
        assert "root:" not in body
        if status >= 400:
            refused += 1
            assert headers["Content-Type"] == "application/problem+json", request
            problem = json.loads(body)
            assert problem["status"] == status
            assert len(body) < 3000, "what was sent is not sent back whole"
    assert get("/movies/1/similar")[0] == 200, "and it goes on answering"
    observed(len(made), f"{refused} refused as problem+json, {len(made) - refused} answered")


@pytest.mark.drill(
    "Bad input",
    injected="folder names with spaces, plus and percent signs, other scripts, dots and "
    "slashes, markup, formulas, control characters, the prefix of a run, or nine hundred "
    "characters",
    promised="each folder gets one run that reads and writes only below its own prefix; the "
    "API returns the exact name, and subjects of messages have no control characters",
)
@pytest.mark.parametrize("folder", FOLDERS, ids=range(len(FOLDERS)))
def test_a_folder_may_be_called_anything(cloud: Cloud, observed: Observed, folder: str) -> None:
    assert deliver(cloud.drop(folder))
    (run,) = cloud.all_runs()
    assert (run["state"], run["folder"]) == ("STARTING", folder), run.get("reason")
    keys = [each["Key"] for each in cloud.s3.list_objects_v2(Bucket="results")["Contents"]]
    own = f"runs/{run['run_id']}/"
    assert all(key.startswith((own, "environments/")) for key in keys)
    assert {f"{own}input/ratings.dat", f"{own}input/movies.dat"} <= set(keys)
    (cluster,) = cloud.clusters()
    assert cluster["Name"] == f"similar-titles-{run['run_id']}", "nothing of the name"
    _, response = get(f"/runs/{run['run_id']}")
    assert response["folder"] == folder
    subject, _ = run_message(run | {"state": "FAILED"}, "similar-titles")
    assert subject.isprintable()
    assert len(subject) < 100
    observed(1, "one run below its own prefix")


@pytest.mark.drill(
    "Access",
    injected="every lock file is checked for unpinned packages",
    promised="each package has one version and the hashes of its files, so nothing else can be "
    "installed; `make lock` updates them",
)
@pytest.mark.parametrize("lock", sorted([*(ROOT / "requirements").glob("*.txt"),
                                         ROOT / "functions" / "requirements.txt"]),
                         ids=lambda path: path.name)  # fmt: skip
def test_every_package_is_pinned_with_hashes(observed: Observed, lock: Path) -> None:
    entries = lock.read_text().replace("\\\n", " ").splitlines()
    packages = [each for each in entries if each.strip() and not each.startswith("#")]
    assert packages
    for each in packages:
        assert re.match(r"[A-Za-z0-9_.-]+(\[[a-z,]+\])?==[^\s]+( ;.*?)?\s+--hash=sha256:", each), (
            each
        )
    assert "--index-url" not in lock.read_text()
    observed(len(packages), f"{lock.name}: all pinned")
