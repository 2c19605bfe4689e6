"""Measures the memory and the CPU seconds of each function on a load, and writes FUNCTIONS.md.

Each function handles its events in a process of its own, against moto in another process: what is
measured is its own work, and no waiting for AWS. From that follows what it costs by memory size.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from tools.function_environment import set_environment
from tools.sample_events import dropped, event, manifest_written, messages
from tools.template import template

ROOT = Path(__file__).resolve().parent.parent

REPORT = ROOT / "benchmarks" / "FUNCTIONS.md"
VCPU_MB = 1769  # of memory, for which Lambda gives one vCPU
SHAPES = ("10m", "32m")
# Handles events one after the other; says what its process had resident and how long it computed.
CHILD = """
import importlib, json, os, resource, sys
from types import SimpleNamespace

def used():
    now = resource.getrusage(resource.RUSAGE_SELF)
    return now.ru_utime + now.ru_stime

name, answers = sys.argv[1], os.fdopen(int(sys.argv[2]), "w")
context = SimpleNamespace(function_name=name, memory_limit_in_mb=1024, aws_request_id="benchmark",
                          invoked_function_arn="arn:aws:lambda:eu-central-1:123456789012:function:f",
                          get_remaining_time_in_millis=lambda: 100_000)
module = importlib.import_module(f"{name}.handler")
told = [used()]
for line in sys.stdin:
    before = used()
    answer = module.lambda_handler(json.loads(line), context)
    assert not (answer or {}).get("batchItemFailures"), "it failed"
    assert (answer or {}).get("statusCode", 200) == 200, answer
    told.append(used() - before)
# Not ru_maxrss, in which the process that started this one still counts.
(peak,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(json.dumps({"cpu": told, "peak": int(peak) * 1024}), file=answers, flush=True)
"""


@dataclass(frozen=True)
class Use:
    """What a function needs for some events.

    Attributes:
        peak: bytes resident in its process, at most.
        start: CPU seconds until it can take an event.
        events: CPU seconds of each.
    """

    peak: int
    start: float
    events: Sequence[float]


def handle(function: str, events: Sequence[Mapping[str, Any]], endpoint: str) -> Use:
    """Have a function handle events in a process of its own.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    read, write = os.pipe()
    environment = os.environ | {
        "AWS_ENDPOINT_URL": endpoint,
        "PYTHONPATH": str(ROOT / "functions"),
        "AWS_LAMBDA_LOG_LEVEL": "ERROR",
        "POWERTOOLS_LOG_LEVEL": "CRITICAL",
        "POWERTOOLS_METRICS_DISABLED": "true",
    }
    lines = "".join(json.dumps(each) + "\n" for each in events)
    with os.fdopen(read) as told:
        subprocess.run(
            [sys.executable, "-c", CHILD, function, str(write)],
            input=lines,
            text=True,
            check=True,
            env=environment,
            pass_fds=[write],
            stdout=subprocess.DEVNULL,
        )
        os.close(write)
        measured = json.loads(told.read())
    start, *rest = measured["cpu"]
    return Use(measured["peak"], start, rest)


@contextmanager
def account() -> Iterator[str]:
    """An empty account on loopback; gives its address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    os.environ["AWS_ENDPOINT_URL"] = endpoint
    try:
        yield endpoint
    finally:
        del os.environ["AWS_ENDPOINT_URL"]
        server.stop()


def load(shape: str, neighbours: int, endpoint: str) -> dict[str, list[Use]]:
    """What each function needs on a load of a shape, event by event of the pipeline."""
    import boto3

    from benchmarks.jobs import DATA, dataset, job
    from tools.aws_account import Account

    folder, _ = dataset(shape)
    job(folder, 1, more=("--neighbours", str(neighbours)))
    requests.post(f"{endpoint}/moto-api/reset", timeout=60).raise_for_status()
    cloud = Account()
    cloud.create()
    boto3.client("sns").create_topic(Name="Topic")
    for path in sorted(folder.glob("*.dat")):
        cloud.s3.upload_file(str(path), "datasets", f"{shape}/{path.name}")
    uses = {"launcher": [handle("launcher", [dropped(f"{shape}/ratings.dat")], endpoint)]}
    (run,) = cloud.all_runs()
    running = event("monitor-step-running")
    name = f"similar-titles-{run['run_id']}"
    running["detail"] |= {"name": name, "clusterId": run["cluster_id"]}
    uses["monitor"] = [handle("monitor", [running], endpoint)]
    result = DATA / "result"
    for path in sorted(result.rglob("*")):
        if path.is_file() and "similarities" not in path.parts:
            key = f"runs/{run['run_id']}/{path.relative_to(result)}"
            cloud.s3.upload_file(str(path), "results", key)
    manifest = manifest_written(run["run_id"])
    uses["indexer"] = [handle("indexer", [manifest], endpoint)]
    parts = [messages(each) for each in cloud.messages("IndexQueue")]
    uses["indexer"].append(handle("indexer", parts, endpoint))
    (run,) = cloud.all_runs()
    if run["state"] != "LIVE":
        raise RuntimeError(f"the run is {run['state']}")
    lines = result.glob("neighbours/*.gz")
    uses["query"] = [handle("query", questions(sorted(lines)[0]), endpoint)]
    uses["sweeper"] = [handle("sweeper", [event("sweeper-schedule")] * 3, endpoint)]
    uses["notifier"] = [handle("notifier", [event("notifier-run-live")] * 3, endpoint)]
    uses["control"] = [handle("control", [event("control-rebuild")], endpoint)]
    return uses


def questions(part: Path) -> list[dict[str, Any]]:
    """Requests to the API about the movies of a part: the usual ones, and the largest there is."""
    import gzip

    with gzip.open(part) as lines:
        movies = [json.loads(line) for line in lines][:90]
    similar, search, tastes = (
        event(f"query-{name}") for name in ("similar", "search", "recommendations")
    )
    path = f"movies/{movies[0]['movie_id']}/similar"
    similar |= {"path": f"/{path}", "pathParameters": {"proxy": path}}
    title = movies[0]["title"]
    search |= {
        "queryStringParameters": {"title": title},
        "multiValueQueryStringParameters": {"title": [title]},
    }
    ids = [movie["movie_id"] for movie in movies]
    tastes["body"] = json.dumps({"liked": ids[:50], "disliked": ids[50:]})
    tastes["isBase64Encoded"] = False
    return [similar, similar, search, search, tastes, event("query-runs")]


def report(uses: Mapping[str, Mapping[str, list[Use]]]) -> str:
    """The page."""
    given = template()
    defaults = given["Globals"]["Function"]
    lines = [
        "# The functions",
        "",
        f"Written by `benchmarks/function_sizes.py` on {datetime.now(UTC):%Y-%m-%d}: each function "
        "handles its events of one run in a process of its own, against moto in another one. CPU "
        "seconds are its own, without any waiting for AWS. Lambda gives "
        f"one vCPU for {VCPU_MB} MB and a share of it for less: the same work costs the "
        "same at every size below, and waiting costs by the size: the smallest that holds is the "
        "cheapest. `seconds` are those of the longest event at the size in template.yaml.",
        "",
        "| function | load | peak MB | given MB | CPU s to start | CPU s of the longest event "
        "| seconds | time-out |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for function in next(iter(uses.values())):
        properties = given["Resources"][f"{function.capitalize()}Function"]["Properties"]
        memory = properties.get("MemorySize", defaults["MemorySize"])
        timeout = properties.get("Timeout", defaults["Timeout"])
        for shape, measured in uses.items():
            of = measured[function]
            peak, start = max(use.peak for use in of) / 2**20, max(use.start for use in of)
            longest = max(max(use.events) for use in of)
            seconds = longest / min(1, memory / VCPU_MB)
            lines.append(
                f"| {function} | {shape} | {peak:.0f} | {memory} | {start:.2f} | {longest:.2f} "
                f"| {seconds:.1f} | {timeout} |"
            )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure, and write FUNCTIONS.md; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.function_sizes",
        description=__doc__,
        epilog="example:\n  python -m benchmarks.function_sizes --shapes 10m",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--neighbours", type=int, default=50, metavar="N", help="of each movie")
    parser.add_argument("--shapes", nargs="+", default=SHAPES, help="of benchmarks/shapes.py")
    options = parser.parse_args()
    set_environment()
    with account() as endpoint:
        uses = {each: load(each, options.neighbours, endpoint) for each in options.shapes}
    REPORT.write_text(report(uses))
    print(f"written: {REPORT.relative_to(ROOT)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
