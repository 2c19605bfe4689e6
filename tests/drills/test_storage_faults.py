"""Storage faults: S3 denies, fails, truncates or loses responses, and writers die half way."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pytest
from moto.server import ThreadedMotoServer

from spark import storage
from spark.contracts.manifest import SIMILARITIES
from spark.engine import pair_sums
from spark.engine.cells import PAIRS
from spark.output import results
from spark.parquet import write_parquet
from tests.conftest import ROOT, Observed

LARGE = os.urandom(12 * 2**20)  # above what one PUT takes: it is uploaded in parts

type Fault = int | str  # status and, if any, code; see FaultyS3
type Rule = Callable[[str, str, dict[str, str]], Fault | None]


@dataclass
class FaultyS3:
    """An S3 on loopback that fails on demand.

    Attributes:
        bucket: one that it has.
        endpoint: its address.
        truth: a client of the S3 behind it, which does not fail.
        rule: given method, path with query, and headers, says what goes wrong with a request: a
            code such as `500 InternalError`; `cut`, the connection is closed instead of an
            answer; `half`, and of its answer half is sent; `lost 500 InternalError`, it is carried
            out and another answer is given; None, nothing.
        failed: the requests that went wrong, with what.
    """

    bucket: str
    endpoint: str
    truth: Any
    rule: Rule = field(default=lambda *_: None)
    failed: list[str] = field(default_factory=list)

    @property
    def place(self) -> str:
        """The URI of a run's prefix."""
        return f"s3://{self.bucket}/runs/1"

    def listed(self) -> list[str]:
        """The objects below the run's prefix, without pyarrow's folder markers."""
        found = self.truth.list_objects_v2(Bucket=self.bucket, Prefix="runs/1/")
        keys = (each["Key"].removeprefix("runs/1/") for each in found.get("Contents", ()))
        return [key for key in keys if key and not key.endswith("/")]

    def content(self, name: str) -> bytes:
        """The content of an object below the run's prefix."""
        got = self.truth.get_object(Bucket=self.bucket, Key=f"runs/1/{name}")
        return got["Body"].read()


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Run a server on loopback; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class Quiet(BaseHTTPRequestHandler):
    """A quiet server; clients that hang up are not errors."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Do not log."""

    def handle(self) -> None:
        """See above."""
        with suppress(OSError):
            super().handle()

    def body(self) -> bytes:
        """Read the body of a request."""
        if "Transfer-Encoding" not in self.headers:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def answer(self, status: int, body: bytes = b"") -> None:
        """Send a response."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def faulty_s3() -> Iterator[FaultyS3]:
    """A proxy that injects faults in front of moto's S3."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    moto.start()
    host, port = moto.get_host_and_port()
    truth = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="eu-central-1")
    s3 = FaultyS3(f"results-{uuid.uuid4().hex}", "", truth)
    where: Any = {"LocationConstraint": "eu-central-1"}
    truth.create_bucket(Bucket=s3.bucket, CreateBucketConfiguration=where)

    class Proxy(Quiet):
        def handle_any(self) -> None:
            """Forward a request, or let it fail."""
            body = self.body()
            headers = {name.lower(): value for name, value in self.headers.items()}
            fault = s3.rule(self.command, self.path, headers)
            if fault is not None:
                s3.failed.append(f"{self.command} {self.path}: {fault}")
            behind, _, code = str(fault or "").partition(" ")
            if fault is None or behind in ("lost", "half"):
                upstream = http.client.HTTPConnection(host, port)
                for of_the_hop in ("expect", "transfer-encoding", "connection"):
                    headers.pop(of_the_hop, None)
                upstream.request(self.command, self.path, body, headers)
                response = upstream.getresponse()
                content = response.read()
                upstream.close()
            if behind == "cut":
                self.close_connection = True
            elif fault is None or behind == "half":
                self.send_response(response.status)
                for name, value in response.getheaders():
                    if name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content if fault is None else content[: len(content) // 2])
                self.close_connection = fault is not None
            else:
                status, _, code = (code if behind == "lost" else str(fault)).partition(" ")
                told = f"<Error><Code>{code}</Code><Message>by the drill</Message></Error>"
                self.answer(int(status), b"" if self.command == "HEAD" else told.encode())

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815

    with serving(Proxy) as s3.endpoint:
        yield s3
    moto.stop()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyS3]:
    """An S3 that fails on demand, used by the job's storage."""
    with faulty_s3() as made:
        monkeypatch.setenv("AWS_ENDPOINT_URL", made.endpoint)
        monkeypatch.setenv("AWS_REGION", "eu-central-1")
        monkeypatch.setattr(storage, "S3_ATTEMPTS", 2)  # the SDK's own pauses cannot be hurried
        storage._s3.cache_clear()
        yield made
    storage._s3.cache_clear()


@dataclass
class Clock:
    """Replaces `time` in storage: pauses are recorded and pass at once."""

    now: float = 0.0
    waits: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        """Seconds since the drill began."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Advance the clock."""
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """See `Clock`."""
    made = Clock()
    monkeypatch.setattr(storage, "time", made)
    return made


def first(times: int, fault: Fault, *kinds: str) -> Rule:
    """Let the first requests of some kinds fail, or of all kinds.

    Args:
        times: how many of each kind.
        fault: what goes wrong.
        kinds: words in the method and path.
    """
    left = dict.fromkeys(kinds or ("",), times)

    def rule(method: str, path: str, _: dict[str, str]) -> Fault | None:
        for kind, more in left.items():
            if more and all(word in f"{method} {path}" for word in kind.split()):
                left[kind] -= 1
                return fault
        return None

    return rule


@pytest.mark.drill(
    "Storage",
    injected="the first requests of every kind fail: S3 denies access, returns errors, "
    "throttles, cuts the connection or the response, or reports expired credentials",
    promised="whole reads and writes are retried until the fault has passed; every byte is correct",
)
@pytest.mark.parametrize(
    "fault",
    ["403 AccessDenied", "400 ExpiredToken", "500 InternalError", "503 SlowDown", "cut", "half"],
)
def test_transient_faults_of_s3_are_survived(
    s3: FaultyS3, clock: Clock, observed: Observed, fault: str
) -> None:
    write, read = f"{s3.place}/part-00000.json.gz", f"{s3.place}/large"
    s3.truth.put_object(Bucket=s3.bucket, Key="runs/1/large", Body=LARGE)
    s3.rule = first(3, fault, "GET list-type", "HEAD", "GET large", "PUT", "POST", "DELETE")
    assert storage.list_files(s3.place) == {"large": len(LARGE)}
    storage.write(write, b"content")
    storage.write(read, LARGE[::-1])
    assert s3.content("part-00000.json.gz") == b"content"
    assert storage.read(read) == s3.content("large") == LARGE[::-1]
    storage.delete(s3.place)
    assert storage.list_files(s3.place) == {}
    assert len(s3.failed) >= 3 * 5, "it was not injected"
    assert len(clock.waits) == len(set(clock.waits)), "pauses are spread"
    observed(len(s3.failed), "all was read, written and deleted as without faults")


@pytest.mark.drill(
    "Storage",
    injected="the nodes' credentials are unavailable when the job starts, or expire during the "
    "job: requests are unsigned or rejected",
    promised="reads and writes continue as soon as credentials are available again",
)
@pytest.mark.parametrize("lost", ["at the start", "expired"])
def test_a_temporary_loss_of_credentials_is_survived(
    s3: FaultyS3, observed: Observed, lost: str
) -> None:
    keys = ["OLD"] if lost == "expired" else []  # those that there are; S3 takes the last one
    accepted = ["OLD"]

    class Nodes(Quiet):
        """The instance metadata service, version 2."""

        def do_PUT(self) -> None:
            """A session's token."""
            self.body()
            self.answer(200, b"token")

        def do_GET(self) -> None:
            """The name of the role, and its credentials."""
            _, found, role = self.path.partition("/iam/security-credentials")
            if not found or not keys:
                self.answer(404 if keys else 500)
            elif role.strip("/"):
                until = datetime.now(UTC) + timedelta(hours=6)
                told = {"Code": "Success", "AccessKeyId": keys[-1], "SecretAccessKey": "secret"}
                told |= {"Token": "token", "Expiration": f"{until:%Y-%m-%dT%H:%M:%SZ}"}
                self.answer(200, json.dumps(told).encode())
            else:
                self.answer(200, b"EmrNodeRole")

    def rule(method: str, _: str, headers: dict[str, str]) -> Fault | None:
        if lost == "expired" and method == "GET" and accepted == ["OLD"]:
            accepted.append("NEW")
        if f"Credential={accepted[-1]}/" in headers.get("authorization", ""):
            return None
        if len(s3.failed) == 3:
            keys.append(accepted[-1])
        return "400 ExpiredToken" if lost == "expired" else "403 AccessDenied"

    s3.rule = rule
    program = (
        "import sys; from spark import storage; uri = sys.argv[1]; storage.write(uri, b'content'); "
        "assert storage.read(uri) == b'content'; storage.write(uri, b'more')"
    )
    with serving(Nodes) as metadata:
        told = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata, "HOME": "/proc"}
        without = {key: v for key, v in os.environ.items() if not key.startswith("AWS_ACCESS")}
        done = subprocess.run(
            [sys.executable, "-c", program, f"{s3.place}/file"], env=without | told,
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=100,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert s3.content("file") == b"more"
    assert len(s3.failed) > 3, "it was not injected"
    assert done.stderr.count("retrying in") >= 3, "the retries are logged"
    observed(len(s3.failed), "the program read and wrote on, with the new credentials")


@pytest.mark.drill(
    "Storage",
    injected="S3 completes a multipart upload but returns 500; the retry returns NoSuchUpload",
    promised="the file exists and is complete",
)
def test_a_completed_upload_whose_response_is_lost_is_written_again(
    s3: FaultyS3, clock: Clock, observed: Observed
) -> None:
    known: set[str] = set()

    def rule(method: str, path: str, _: dict[str, str]) -> Fault | None:
        if method != "POST" or "uploadId=" not in path:
            return None
        fault = (
            "lost 500 InternalError" if not known else "404 NoSuchUpload" if path in known else None
        )
        known.add(path)
        return fault

    s3.rule = rule
    storage.write(f"{s3.place}/part", LARGE)
    assert s3.content("part") == LARGE
    assert len(s3.failed) == 2
    assert len(known) == 1 + len(clock.waits) == 2
    observed(1, "it was written again, in one piece")


@pytest.mark.drill(
    "Storage",
    injected="S3 denies access permanently; or a bucket, folder or file does not exist",
    promised="denied access fails after a minute; a wrong name fails at once",
)
def test_permanent_faults_are_reported_soon_and_nothing_is_retried_for_ever(
    s3: FaultyS3, clock: Clock, observed: Observed
) -> None:
    assert storage.list_files(f"{s3.place}/never") == {}
    with pytest.raises(FileNotFoundError):
        storage.read(f"{s3.place}/never")
    with pytest.raises(OSError, match="NO_SUCH_BUCKET"):
        storage.write("s3://never/file", b"content")
    assert storage.list_files("s3://never/folder") == {}
    storage.delete(f"{s3.place}/never")
    assert clock.waits == []

    s3.rule = lambda *_: "403 AccessDenied"
    with pytest.raises(OSError, match="ACCESS_DENIED"):
        storage.write(f"{s3.place}/file", b"content")
    assert 40 < clock.now <= storage.PATIENCE
    assert s3.listed() == []
    observed(len(s3.failed), f"it failed after {clock.now:.0f} s; wrong names failed at once")


def cell(*numbers: int) -> pa.RecordBatch:
    """Rows of similarities/."""
    return pa.RecordBatch.from_pylist([dict.fromkeys(PAIRS.names, n) for n in numbers], PAIRS)


def similarities(s3: FaultyS3) -> list[int]:
    """The first movies of all pairs that a reader of the folder finds."""
    system, path = storage._open(f"{s3.place}/{SIMILARITIES}")
    found: list[int] = pa.dataset.dataset(path, filesystem=system).to_table()["movie1"].to_pylist()
    return found


def failing(size: int) -> Iterator[pa.RecordBatch]:
    """Yield more rows than before, then raise an error."""
    rows = np.random.default_rng(size).integers(1, 2**31 - 1, size)
    yield pa.RecordBatch.from_arrays(
        [pa.array(rows).cast(each.type) for each in PAIRS], schema=PAIRS
    )
    raise ValueError("torn")


@pytest.mark.drill(
    "Storage",
    injected="a worker fails while writing, early or after some parts were uploaded, with and "
    "without permission to delete; or the upload of a part fails permanently",
    promised="the complete file of an earlier attempt remains; no reader sees the incomplete "
    "one; the end of the job or its next attempt removes it",
)
@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_writer_that_fails_never_completes_its_file(
    s3: FaultyS3, observed: Observed, size: int
) -> None:
    uri = f"{s3.place}/{SIMILARITIES}/cell-0000-0001.parquet"
    write_parquet(iter([cell(1, 2)]), PAIRS, uri)
    with pytest.raises(ValueError, match="torn"):
        write_parquet(failing(size), PAIRS, uri)
    assert s3.listed() == [f"{SIMILARITIES}/cell-0000-0001.parquet"]

    s3.rule = first(10**6, "403 AccessDenied", "DELETE")
    with pytest.raises(ValueError, match="torn"):
        write_parquet(failing(size), PAIRS, uri)
    s3.rule = first(10**6, "403 AccessDenied", "PUT partNumber=2")
    for write in (lambda: write_parquet(failing(10**6), PAIRS, uri),
                  lambda: storage.write(uri, LARGE)):  # fmt: skip
        with pytest.raises((OSError, ValueError)):
            write()
    s3.rule = lambda *_: None
    unfinished = [key for key in s3.listed() if key.startswith(f"{SIMILARITIES}/.cell-0000-0001.")]
    assert len(unfinished) == 1, "what could not be deleted, and nothing of uploads that failed"
    assert similarities(s3) == [1, 2]
    assert list(storage.list_files(f"{s3.place}/{SIMILARITIES}")) == ["cell-0000-0001.parquet"]

    results.tidy(s3.place)
    assert s3.listed() == [f"{SIMILARITIES}/cell-0000-0001.parquet"]
    s3.truth.put_object(Bucket=s3.bucket, Key=f"runs/1/{unfinished[0]}", Body=b"PAR1")
    results.prepare(s3.place)
    assert s3.listed() == []
    observed(len(s3.failed) + 2, "the earlier file was read; what was cut went with the job's end")


@pytest.mark.drill(
    "Storage",
    injected="a worker is killed (SIGKILL) during a multipart upload",
    promised="the complete file of an earlier attempt remains, and nothing else is visible",
)
def test_a_killed_writer_leaves_no_file(s3: FaultyS3, observed: Observed) -> None:
    uri = f"{s3.place}/{SIMILARITIES}/cell"
    storage.write(uri, b"whole")
    program = (
        "import sys, os, time; from spark import storage\n"
        "with storage.replacing(sys.argv[1]) as stream:\n"
        "    stream.write(bytes(25 * 2**20)); time.sleep(100)"
    )
    uploading = threading.Event()

    def rule(_: str, path: str, __: dict[str, str]) -> None:
        if "partNumber=2" in path:
            uploading.set()

    s3.rule = rule
    command = [sys.executable, "-c", program, uri]
    with subprocess.Popen(command, cwd=ROOT) as worker:
        assert uploading.wait(60)
        worker.send_signal(signal.SIGKILL)
        assert worker.wait(60) == -signal.SIGKILL
    assert s3.listed() == [f"{SIMILARITIES}/cell"]
    assert s3.content(f"{SIMILARITIES}/cell") == b"whole"
    observed(1, "the earlier file was there; the parts wait for the bucket's lifecycle rule")


@pytest.mark.drill(
    "Storage",
    injected="a cell's file of sums is truncated, also between two bands of rows",
    promised="reading it fails; missing sums are never read as zeros",
)
def test_a_truncated_file_of_sums_is_refused(s3: FaultyS3, observed: Observed) -> None:
    uri, rows = f"{s3.place}/{results.SCRATCH}/sums/cell", 2 * pair_sums.BAND_ROWS
    pair_sums.write_sums(np.ones((rows, 4, 3), np.int32), (rows, 3), False, uri)
    whole = storage.read(f"{uri}.xy")
    sizes = len(whole) // 2, len(whole) // 3, 0
    for size in sizes:
        storage.write(f"{uri}.xy", whole[:size])
        with pytest.raises(pair_sums.SumsError, match="ends in row"):
            list(pair_sums.read_sums(uri, "xy", (rows, 3), False))
    observed(len(sizes), "each was refused with the row in which it ends")
