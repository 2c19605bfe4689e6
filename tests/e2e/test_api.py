"""The deployed API over HTTP: true to its document, whole through a live switch, every id good."""

import gzip
import json
import random
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPMessage
from itertools import pairwise
from pathlib import Path
from typing import Any

import boto3
import pytest

import index_table
from local.cloud import Cloud
from s3_keys import run_prefix
from tests.builders.lines import as_text
from tests.builders.world import LIMIT_SECONDS, World
from tests.conftest import ROOT, Observed
from tools.template import template

pytestmark = pytest.mark.e2e

RUNS = ("20990101T000000000Z-aaaaaaaa", "20990102T000000000Z-bbbbbbbb")
MEASURES = ["damped", "cosine", "ease"]
HOSTILE = '<script>alert("1")</script> \x00\x1b[31m\u202e, The (1999)'
MOVIES = 40


def movie(movie_id: int, run: int) -> dict[str, Any]:
    """A movie whose title and year tell the run that it is of."""
    title = HOSTILE if movie_id == 7 else f"Movie {movie_id} of run {run} ({1990 + run})"
    genres = ["Drama", "Comedy"][movie_id % 2 :]
    return {"movie_id": movie_id, "title": title, "year": 1990 + run, "genres": genres}


def lines(run: int) -> list[dict[str, Any]]:
    """Lines of `neighbours/` of a run: every movie has thirty others, by three measures."""
    chance = random.Random(run)
    made = []
    for movie_id in range(1, MOVIES + 1):
        others = chance.sample([id for id in range(1, MOVIES + 1) if id != movie_id], 30)
        rows = [
            [place, 1 - place / 100, 20 + place, 0.99 - place / 100] for place in range(len(others))
        ]
        made.append(
            movie(movie_id, run)
            | {
                "ratings": 100 + movie_id,
                "others": [movie(id, run) for id in others],
                "neighbours": dict.fromkeys(MEASURES, rows),
            }
        )
    return made


@dataclass(frozen=True)
class Answer:
    """An answer over HTTP."""

    status: int
    headers: HTTPMessage
    content: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.content)


@dataclass(frozen=True)
class Api:
    """The deployed API with two runs in its index."""

    cloud: Cloud
    table: Any

    def ask(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
        """Ask over HTTP; headers by their names with underscores."""
        request = urllib.request.Request(  # noqa: S310
            self.cloud.api_url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        try:
            answer = urllib.request.urlopen(request, timeout=LIMIT_SECONDS)  # noqa: S310
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return Answer(answer.status, answer.headers, answer.read())

    def go_live(self, run: int) -> None:
        """Move the live pointer, as the indexer does, in one write."""
        pointer = {
            "run_id": RUNS[run],
            "measure": MEASURES[0],
            "measures": MEASURES,
            "min_co_raters": 10,
            "min_score": "0.95",
            "titles": f"{run_prefix(RUNS[run])}titles/part-00000.json.gz",
            "previous": RUNS[1 - run],
            "retired": None,
            "promoted_at": "2099-01-01T00:00:00.000Z",
            "quality": None,
        }
        self.table.put_item(Item={**index_table.LIVE_KEY, **pointer})


@pytest.fixture(scope="module")
def api(cloud: Cloud) -> Iterator[Api]:
    """The API; afterwards readers are answered from what was live before."""
    resource = boto3.resource(
        "dynamodb",
        endpoint_url=cloud.access.endpoint,
        region_name="eu-central-1",
        aws_access_key_id=cloud.access.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=cloud.access.secret,
    )
    table = resource.Table(cloud.outputs["IndexTable"])
    before = table.get_item(Key=dict(index_table.LIVE_KEY)).get("Item")
    for run, run_id in enumerate(RUNS):
        index_table.write(table, run_id, map(as_text, lines(run)))
        titles = "\n".join(
            json.dumps({name: line[name] for name in line if name not in ("others", "neighbours")})
            for line in lines(run)
        )
        cloud.client("s3").put_object(
            Bucket=cloud.outputs["ResultsBucket"],
            Key=f"{run_prefix(run_id)}titles/part-00000.json.gz",
            Body=gzip.compress(titles.encode()),
        )
    made = Api(cloud, table)
    made.go_live(0)
    yield made
    for run, run_id in enumerate(RUNS):
        index_table.remove(table, run_id, map(as_text, lines(run)))
    table.delete_item(Key=dict(index_table.LIVE_KEY))
    if before:
        table.put_item(Item=before)


@pytest.mark.drill(
    "Access",
    injected="schemathesis' requests, of what the document allows and of what it does not",
    promised="answers as the document has them, never an error of the server",
)
def test_the_api_does_what_its_document_says_and_nothing_breaks_it(
    api: Api, tmp_path: Path, observed: Observed
) -> None:
    command = [Path(sys.executable).with_name("schemathesis")]
    command += ["--config-file", ROOT / "tests/e2e/schemathesis.toml", "run"]
    command += [f"{api.cloud.api_url}/openapi.json", "--url", api.cloud.api_url]
    command += ["--phases", "coverage,fuzzing", "--max-examples", "5", "--no-color"]
    # The stage allows 100 requests a second.
    command += ["--generation-deterministic", "--rate-limit", "90/s"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout[-8000:] + answer.stderr
    generated = re.search(r"(\d+) generated", answer.stdout)
    assert generated, answer.stdout[-2000:]
    observed(int(generated[1]), "every answer as its document says")


def test_every_id_of_every_answer_can_itself_be_asked_for(api: Api) -> None:
    found = {
        id
        for path in (
            "/movies?title=movie&limit=5",
            "/movies/7/similar?limit=5",
            "/similar?title=movie+1&limit=5&measure=ease",
        )
        for id in map(int, re.findall(r'"movie_id":(\d+)', api.ask(path).content.decode()))
    }
    posted = api.ask("/recommendations", "POST", {"liked": [7], "limit": 5},
                     Content_Type="application/json")  # fmt: skip
    found |= set(map(int, re.findall(r'"movie_id":(\d+)', posted.content.decode())))
    assert len(found) > 10
    for id in found:
        assert api.ask(f"/movies/{id}/similar?limit=1").body["movie"]["movie_id"] == id


@pytest.mark.drill(
    "Bad input",
    injected="a title with markup, control characters, an escape sequence and a turn of direction",
    promised="the API gives it unchanged, as JSON that no browser takes for a page",
)
def test_a_hostile_title_stays_data(api: Api, observed: Observed) -> None:
    answer = api.ask("/movies/7")
    assert answer.body["title"] == HOSTILE
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert api.ask("/movies?title=script+alert").body["movies"][0]["title"] == HOSTILE
    observed(2, "unchanged, application/json, nosniff")


def test_a_browsers_and_a_clients_headers_are_heard(api: Api) -> None:
    path = "/movies/1/similar?limit=30"
    plain = api.ask(path)
    packed = api.ask(path, Accept="*/*", Accept_Encoding="gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.content) < len(plain.content) / 3
    assert gzip.decompress(packed.content) == plain.content
    known = api.ask(path, If_None_Match=plain.headers["ETag"])
    assert (known.status, known.content) == (304, b"")
    head = api.ask(path, "HEAD")
    assert (head.status, head.content) == (200, b"")
    assert head.headers["ETag"] == plain.headers["ETag"]
    refused = api.ask(path, "DELETE")
    assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert refused.headers["Content-Type"] == "application/problem+json"


def run_of(answer: Answer) -> int:
    """The run that an answer is of, which has to be one run in all that it says."""
    body = answer.body
    run = RUNS.index(body["run_id"])
    named = [body.get("movie", body), *body.get("similar", []), *body.get("movies", []),
             *body.get("recommendations", []), *body.get("did_you_mean", [])]  # fmt: skip
    years = {each["year"] for each in named if "year" in each}
    assert years <= {1990 + run}, f"run {body['run_id']} with movies of {years}"
    return run


@pytest.mark.drill(
    "Readers",
    injected="five pollers over HTTP while ten runs go live, one after the other",
    promised="no error, no answer of two runs, nobody steps back",
)
def test_while_runs_go_live_each_answer_is_from_one_run_and_none_is_an_error(
    api: Api, observed: Observed
) -> None:
    stop, wrong, seen = threading.Event(), [], []

    def poll(path: str, body: Any = None) -> None:
        etags: dict[int, set[str]] = {0: set(), 1: set()}
        known = ""
        while not stop.wait(1 / 20):  # the stage allows all of them 100 requests a second
            try:
                if body is None:
                    answer = api.ask(path, If_None_Match=known)
                else:
                    answer = api.ask(path, "POST", body, Content_Type="application/json")
                if answer.status == 304:
                    assert answer.headers["ETag"] == known
                    continue
                assert answer.status == 200, answer.content
                run = run_of(answer)
                seen.append((path, run))
                if body is None:
                    known = answer.headers["ETag"]
                    etags[run].add(known)
                    assert etags[0].isdisjoint(etags[1]), "the ETag has to change with the run"
            except Exception as error:
                wrong.append((path, repr(error)))
                return

    asked: list[tuple[str, Any]] = [
        ("/movies/1/similar?limit=30", None),
        ("/movies/1", None),
        ("/movies?title=movie", None),
        ("/similar?title=movie+5", None),
        ("/recommendations", {"liked": [1, 2, 3]}),
    ]
    threads = [threading.Thread(target=poll, args=each) for each in asked]
    for thread in threads:
        thread.start()
    world = World(api.cloud)
    try:
        for run in (1, 0) * 5:
            before = len(seen)
            api.go_live(run)
            world.wait_until(
                lambda run=run, before=before: (
                    bool(wrong)
                    or {path for path, of in seen[before:] if of == run}
                    == {path for path, _ in asked}
                ),
                "every route answers from the run that went live",
            )
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong
    for path, _ in asked:
        runs = [run for of, run in seen if of == path]
        changes = sum(one != other for one, other in pairwise(runs))
        assert changes <= 10, "a step back, and forward again"
    observed(len(seen), f"{len(seen)} answers, each of one run, none an error")


@pytest.fixture
def gateway(api: Api) -> Iterator[Any]:
    """API Gateway with the template's own words, which the emulator does not read by itself."""
    client = api.cloud.client("apigateway")
    rest_api = api.cloud.outputs["ApiUrl"].removeprefix("https://").partition(".")[0]
    resources = template()["Resources"]
    said = resources["Api"]["Properties"]["GatewayResponses"]
    for kind, response in said.items():
        headers = response["ResponseParameters"]["Headers"]
        given = {
            "responseParameters": {
                f"gatewayresponse.header.{name}": value for name, value in headers.items()
            },
            "responseTemplates": response["ResponseTemplates"],
        }
        if "StatusCode" in response:
            given["statusCode"] = str(response["StatusCode"])
        client.put_gateway_response(restApiId=rest_api, responseType=kind, **given)
    client.create_deployment(restApiId=rest_api, stageName="v1")

    def throttle(rate: float, burst: int) -> None:
        values = {"rateLimit": rate, "burstLimit": burst}
        patches = [
            {"op": "replace", "path": f"/*/*/throttling/{name}", "value": str(value)}
            for name, value in values.items()
        ]
        client.update_stage(restApiId=rest_api, stageName="v1", patchOperations=patches)

    yield throttle
    throttle(100, 200)


@pytest.mark.drill(
    "Access",
    injected="requests beyond the stage's quota, and one for a method that there is not",
    promised="429 with Retry-After and 403, as problem+json",
)
def test_a_refusal_of_api_gateway_is_a_problem_document_too(
    api: Api, gateway: Any, observed: Observed
) -> None:
    gateway(0.001, 1)
    answers = [api.ask("/health") for _ in range(3)]
    refused = answers[-1]
    assert refused.status == 429
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.headers["Retry-After"] == "1"
    assert refused.body["status"] == 429
    assert refused.body["title"] == "Too Many Requests"
    gateway(100, 200)
    nobody = api.ask("/", "POST")
    assert nobody.status == 403
    assert nobody.headers["Content-Type"] == "application/problem+json"
    assert nobody.body["title"] == "Missing Authentication Token"
    observed(4, "429 and 403 as problem+json")
