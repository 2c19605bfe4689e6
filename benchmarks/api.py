"""Measures the API: a cold start, a warm answer, search, load on loopback, and its package.

Against the local cloud, whose DynamoDB is another process on this machine and no AWS: read own
times and ratios. Writes API.md.
"""

import gzip
import importlib
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import msgspec

import index_table
from local.cloud import Cloud
from query.search import title_catalogue, title_search

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "API.md"
RUN = "20990101T000000000Z-00000000"
TIMES = 1_000  # requests per percentile
STARTS = 5  # cold ones
LEVELS = (1, 2, 4, 8, 16)  # callers at once
SECONDS = 4  # of each level
MEASURES = ["damped", "cosine", "full-cosine", "jaccard", "ease", "hybrid"]
CONTEXT = SimpleNamespace(
    function_name="query",
    memory_limit_in_mb=1024,
    invoked_function_arn="arn:aws:lambda:eu-central-1:123456789012:function:query",
    aws_request_id="benchmark",
)

type Table = list[tuple[object, ...]]


def main() -> None:
    """Measure everything and write API.md."""
    busy = os.getloadavg()[0]
    with Cloud.start() as cloud:
        built = cloud.folder / "build" / "QueryFunction"
        put_run(cloud)
        os.environ |= cloud.access.environment | {
            "AWS_DEFAULT_REGION": "eu-central-1",
            "RUNS_TABLE": cloud.outputs["RunsTable"],
            "INDEX_TABLE": cloud.outputs["IndexTable"],
            "RESULTS_BUCKET": cloud.outputs["ResultsBucket"],
            "POWERTOOLS_SERVICE_NAME": "similar-titles",
            "POWERTOOLS_METRICS_NAMESPACE": "similar-titles",
            "POWERTOOLS_LOG_LEVEL": "ERROR",
        }
        measure: list[Callable[[], str]] = [
            lambda: cold(built),
            lambda: warm(cloud),
            search,
            lambda: load(cloud),
            lambda: package(built),
        ]
        sections = []
        for section in measure:
            sections.append(section())
            print(sections[-1], flush=True)
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    libraries = ", ".join(f"{name} {version(name)}" for name in ("boto3", "msgspec", "rapidfuzz"))
    head = f"""# The API

Written by `make bench-api`, against the local cloud: its DynamoDB and API Gateway are processes of
the same machine. Read own times and ratios; what AWS takes comes on top.

{machine}, {libraries}; load of the machine: {busy:.1f} at the start, {os.getloadavg()[0]:.1f} at
the end.
"""
    RESULTS.write_text("\n".join([head, *sections]), encoding="utf-8")


def line(movie_id: int, others: Iterable[int]) -> bytes:
    """A line of `neighbours/`: fifty neighbours by each measure."""
    chance = random.Random(movie_id)  # noqa: S311
    tags = [f"tag {number}" for number in range(300)]
    about = [
        {
            "movie_id": id,
            "title": f"Movie {id}, The (1995)",
            "year": 1995,
            "genres": ["Drama", "War"],
            "series": f"Series {id % 20}",
            "tags": chance.sample(tags, 5),
            "ratings": chance.randint(10, 9999),
        }
        for id in (movie_id, *others)
    ]
    lists = {
        measure: [
            [place, chance.random(), chance.randint(10, 9999), chance.random()]
            for place in chance.sample(range(len(about) - 1), 50)
        ]
        for measure in MEASURES
    }
    return msgspec.json.encode(about[0] | {"others": about[1:], "neighbours": lists})


def put_run(cloud: Cloud) -> None:
    """Make a run live that has a hundred movies; one answer reads one of them."""
    access = cloud.access
    table = boto3.resource(
        "dynamodb",
        endpoint_url=access.endpoint,
        region_name="eu-central-1",
        aws_access_key_id=access.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=access.secret,
    ).Table(cloud.outputs["IndexTable"])
    index_table.write(table, RUN, (line(id, range(1000, 1150)) for id in range(1, 101)))
    key = f"runs/{RUN}/titles/part-00000.json.gz"
    cloud.client("s3").put_object(
        Bucket=cloud.outputs["ResultsBucket"], Key=key, Body=titles_of(10_681)
    )
    pointer: dict[str, Any] = {
        "run_id": RUN,
        "measure": MEASURES[0],
        "measures": MEASURES,
        "min_co_raters": 10,
        "min_score": "0.95",
        "titles": key,
        "previous": None,
        "retired": None,
        "promoted_at": "2099-01-01T00:00:00.000Z",
        "users": 200_000,
        "quality": None,
    }
    table.put_item(Item={**index_table.LIVE_KEY, **pointer})


def cold(built: Path) -> str:
    """What a cold start imports."""
    steps = {
        "Python alone": "pass",
        "boto3 and its DynamoDB client, which every function needs": (
            "import boto3; boto3.resource('dynamodb')"
        ),
        "the query function, all of it": "import query.handler",
    }
    rows: Table = []
    taken = {what: _starts(step, built) for what, step in steps.items()}
    floor = taken["boto3 and its DynamoDB client, which every function needs"][1]
    for what, (wall, cpu) in taken.items():
        rows.append((what, f"{wall:.0f} ms", f"{cpu:.0f} ms", f"{cpu / floor:.2f}"))
    return _section(
        "Cold import",
        f"The built function in a new process, the best of {STARTS}; 400 ms are allowed.",
        ("what", "wall", "CPU", "CPU / boto3's"),
        rows,
    )


def _starts(step: str, built: Path) -> tuple[float, float]:
    """Milliseconds of wall and CPU time of an import, the best of several."""
    program = (
        "import time; w, c = time.perf_counter(), time.process_time(); "
        f"{step}; print(time.perf_counter() - w, time.process_time() - c)"
    )
    taken = []
    for _ in range(STARTS):
        said = subprocess.run(
            [sys.executable, "-c", program], cwd=built, capture_output=True, text=True, check=True
        ).stdout
        taken.append(tuple(1000 * float(each) for each in said.split()))
    return min(wall for wall, _ in taken), min(cpu for _, cpu in taken)


def warm(cloud: Cloud) -> str:
    """What a warm answer takes beside its read of DynamoDB."""
    query = importlib.import_module("query.handler")
    calls: list[float] = []
    read = query.dynamodb.batch_get_item

    def timed(**request: Any) -> Any:
        began = time.perf_counter()
        answer = read(**request)
        calls.append(time.perf_counter() - began)
        return answer

    query.reader.dynamodb = SimpleNamespace(batch_get_item=timed, Table=query.dynamodb.Table)
    keys = [dict(index_table.LIVE_KEY), index_table.movie_key(RUN, 1)]

    def bare(event: dict[str, Any], _: object) -> dict[str, Any]:
        """No routes, no checks, no filters: reads, and hands on what it has read."""
        id = int(event["path"].split("/")[2])
        keys[1] = index_table.movie_key(RUN, id)
        request = {cloud.outputs["IndexTable"]: {"Keys": keys, "ConsistentRead": True}}
        found = timed(RequestItems=request)["Responses"].popitem()[1]
        packed = next(item for item in found if "movie" in item)["movie"]
        movie = msgspec.json.decode(zlib.decompress(bytes(packed)))
        return {"statusCode": 200, "body": json.dumps(movie), "headers": {}}

    one = [f"/movies/{id}/similar" for id in range(1, 101)]
    fifty = {"limit": ["50"], "genre": ["war"], "min_co_raters": ["100"], "measure": ["ease"]}
    reordered = {"popularity": ["0.3"], "diversity": ["0.3"]}
    ids = list(range(1, 101))
    some = {"movie_ids": ids, "limit": 20, "genre": ["war"], "exclude": [7]}
    requests: dict[str, tuple[Callable[..., Any], list[dict[str, Any]], int]] = {
        "a bare handler that reads the same": (bare, [_event(path, {}) for path in one], 1),
        "ten neighbours": (query.lambda_handler, [_event(path, {}) for path in one], 1),
        "fifty, filtered": (query.lambda_handler, [_event(path, fifty) for path in one], 1),
        "ten, reordered": (query.lambda_handler, [_event(path, reordered) for path in one], 1),
        "POST /similar: ten of each of a hundred movies": (
            query.lambda_handler, [_posted({"movie_ids": ids})], 2,
        ),
        "twenty of each, filtered": (query.lambda_handler, [_posted(some)], 2),
    }  # fmt: skip
    rows: Table = []
    with _quiet():
        for handler, events, _ in requests.values():  # warm
            handler(events[0], CONTEXT)
        for what, (handler, events, needed) in requests.items():
            own, reads = [], []
            for event in islice(cycle(events), TIMES // needed):
                calls.clear()
                began = time.perf_counter()
                answer = handler(event, CONTEXT)
                took = time.perf_counter() - began
                if answer["statusCode"] != 200 or len(calls) != needed:
                    raise RuntimeError(f"{len(calls)} reads, {answer}")
                reads.append(sum(calls))
                own.append(took - sum(calls))
            rows.append((what, *_percentiles(own), *_percentiles(reads),
                         f"{statistics.median(own) / statistics.median(reads):.2f}"))  # fmt: skip
    return _section(
        "A warm answer",
        f"{TIMES:,} requests each, in the function's process. Own time is what passes outside the"
        " call of DynamoDB, of which there is exactly one; 3 ms (p50) and 10 ms (p99) are allowed."
        " A hundred different movies need two calls, because one reads 99 beside the live pointer;"
        f" {TIMES // 2:,} requests each, and 30 ms (p99) are allowed.",
        ("what", "own p50", "own p99", "DynamoDB p50", "p99", "own / DynamoDB"),
        rows,
    )


def _event(path: str, query: dict[str, list[str]]) -> dict[str, Any]:
    event = json.loads((ROOT / "events" / "query-similar.json").read_text())
    parameters = {"proxy": path.removeprefix("/")}
    return event | {
        "path": path,
        "pathParameters": parameters,
        "multiValueQueryStringParameters": query,
    }


def _posted(body: dict[str, Any]) -> dict[str, Any]:
    event = json.loads((ROOT / "events" / "query-many.json").read_text())
    return event | {"body": json.dumps(body)}


@contextmanager
def _quiet() -> Iterator[None]:
    """What the function logs for CloudWatch goes nowhere."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        yield


def names(count: int) -> list[str]:
    """Made-up titles; words come as often as words do, some very often, most once or twice."""
    chance = random.Random(count)  # noqa: S311
    parts = ["ka", "lo", "mer", "tin", "dra", "vel", "so", "ris", "pen", "thu", "go", "wal", "be"]
    words = [
        "".join(chance.choices(parts, k=chance.randint(1, 4))).title() for _ in range(count // 2)
    ]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    drawn = iter(chance.choices(words, weights, k=6 * count))
    return [
        " ".join(next(drawn) for _ in range(chance.randint(1, 5)))
        + chance.choice(["", ", The", ""])
        + f" ({chance.randint(1930, 2020)})"
        for _ in range(count)
    ]


def titles_of(count: int) -> bytes:
    """A catalogue of titles of the given size."""
    made = (
        {"movie_id": id, "title": title, "year": int(title[-5:-1]), "genres": [], "ratings": id}
        for id, title in enumerate(names(count), start=1)
    )
    return gzip.compress(b"\n".join(map(msgspec.json.encode, made)))


def search() -> str:
    """What a search takes, by size of the catalogue and kind of query."""
    rows: Table = []
    for count, allowed in ((10_681, 10), (100_000, 50)):
        blob = titles_of(count)
        began = time.perf_counter()
        loaded = title_catalogue.load(blob)
        took = time.perf_counter() - began
        asked = [title[:-7] for title in names(count)[: count : count // 200]]
        for kind, change in KINDS.items():
            taken = []
            for title in asked:
                text = change(title)
                began = time.perf_counter()
                title_search.search(loaded, text, 10)
                taken.append(time.perf_counter() - began)
            rows.append(
                (f"{count:,}", kind, *_percentiles(taken), f"{allowed} ms", f"{took:.2f} s")
            )
    return _section(
        "Search",
        "200 queries of each kind over made-up titles. The catalogue is loaded once per run.",
        ("titles", "query", "p50", "p99", "allowed", "loading"),
        rows,
    )


def _misspelt(title: str) -> str:
    """Two letters in the middle of the longest word change places."""
    word = max(title.split(), key=len)
    middle = len(word) // 2
    swapped = word[: middle - 1] + word[middle] + word[middle - 1] + word[middle + 1 :]
    return title.replace(word, swapped)


KINDS: dict[str, Callable[[str], str]] = {
    "whole titles": lambda title: title,
    "a first letter": lambda title: title[:1],
    "a beginning": lambda title: title[:5],
    "with a typing error": _misspelt,
    "nothing of the kind": lambda title: f"{title[::-1]}q {title[::-1]}z",
}


def load(cloud: Cloud) -> str:
    """What many callers at once get over HTTP."""
    client = cloud.client("apigateway")
    api = cloud.outputs["ApiUrl"].removeprefix("https://").partition(".")[0]
    patches = [
        {"op": "replace", "path": f"/*/*/throttling/{name}", "value": "100000"}
        for name in ("rateLimit", "burstLimit")
    ]
    client.update_stage(restApiId=api, stageName="v1", patchOperations=patches)
    paths = [
        "/movies/1/similar",
        "/movies/2/similar?limit=50&genre=war",
        "/movies?title=kalo",
        "/movies/3",
    ]
    rows: Table = []
    for callers in LEVELS:
        end = time.monotonic() + SECONDS

        def ask(number: int, end: float = end) -> list[tuple[int, float]]:
            answers: list[tuple[int, float]] = []
            while time.monotonic() < end:
                path = paths[(number + len(answers)) % len(paths)]
                began = time.perf_counter()
                answers.append((_status(cloud.api_url + path), time.perf_counter() - began))
            return answers

        with ThreadPoolExecutor(callers) as pool:
            answers = [each for some in pool.map(ask, range(callers)) for each in some]
        errors = sum(status != 200 for status, _ in answers)
        took = _percentiles([seconds for _, seconds in answers])
        rows.append((callers, f"{len(answers) / SECONDS:.0f}", *took, errors))
    return _section(
        "Load on loopback",
        f"{SECONDS} s at each level, through the emulator's API Gateway, the stage's limit of 100"
        " requests a second lifted. Emulator, functions and callers share the cores.",
        ("callers", "answers a second", "p50", "p99", "errors"),
        rows,
    )


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310
            answer.read()
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def package(built: Path) -> str:
    """How large the package is that all functions share."""
    files = [
        path for path in built.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    packed = built.parent / "package.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, path.relative_to(built))
    sizes: Counter[str] = Counter()
    for path in files:
        top = path.relative_to(built).parts
        name = top[0] if len(top) > 1 else "the functions themselves"
        sizes[name] += path.stat().st_size
    rows: Table = [("all, zipped", _mebibytes(packed.stat().st_size))]
    rows += [("all, unpacked", _mebibytes(sum(sizes.values())))]
    rows += [(name, _mebibytes(size)) for name, size in sizes.most_common(6)]
    return _section("Package", "boto3 comes with Lambda.", ("what", "MiB"), rows)


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.2f}"


def _percentiles(seconds: Sequence[float]) -> tuple[str, str]:
    cuts = statistics.quantiles(seconds, n=100)
    return f"{1000 * cuts[49]:.2f} ms", f"{1000 * cuts[98]:.2f} ms"


def _section(title: str, text: str, head: Sequence[str], rows: Table) -> str:
    lines = [head, ["---"] * len(head), *rows]
    table = "\n".join(f"| {' | '.join(map(str, each))} |" for each in lines)
    return f"## {title}\n\n{text}\n\n{table}\n"


if __name__ == "__main__":
    main()
