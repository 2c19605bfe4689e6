"""A second opinion on DynamoDB: dynalite, written against the live service, where moto is lax.

It stands behind moto: all of a test's requests to DynamoDB go to it, whichever client sends them.
It has no transactions. Their writes are sent one by one until one is refused: so names, expressions
and conditions are judged, but not that all of them are carried out or none; that only moto shows.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3
from moto.core.botocore_stubber import BotocoreStubber

from local.cloud import free_ports
from local.supervised import SupervisedProcess
from tests.conftest import ROOT

LOCKED = ROOT / "requirements" / "dynalite"
NODE = 20  # the oldest that it runs on
# What npm says where the registry is not reached.
OFFLINE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH")
START_SECONDS = 20
ANSWER_SECONDS = 20
PREFIX = "DynamoDB_20120810."
SINGLE = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem"}

type Response = tuple[int, dict[str, str], bytes]


class UnavailableError(Exception):
    """Dynalite cannot be had on this machine; the message says why."""


@dataclass
class Dynalite:
    """A running dynalite.

    Attributes:
        url: where it answers.
    """

    url: str
    _http: urllib3.PoolManager = field(default_factory=urllib3.PoolManager)

    def send(self, operation: str, body: bytes, headers: dict[str, str]) -> Response:
        """Carry out a request of DynamoDB's; a transaction write by write."""
        if operation == "TransactWriteItems":
            return self._one_by_one(json.loads(body)["TransactItems"], headers)
        given = headers | {"X-Amz-Target": PREFIX + operation}
        answer = self._http.request(
            "POST", self.url, body=body, headers=given, retries=False, timeout=ANSWER_SECONDS
        )
        return answer.status, dict(answer.headers), answer.data

    def _one_by_one(self, writes: list[dict[str, Any]], headers: dict[str, str]) -> Response:
        reasons = [{"Code": "None"} for _ in writes]
        for reason, write in zip(reasons, writes, strict=True):
            ((kind, parameters),) = write.items()
            status, _, body = self.send(SINGLE[kind], json.dumps(parameters).encode(), headers)
            if status == 200:
                continue
            error = json.loads(body)
            name = error["__type"].rpartition("#")[2]
            if name != "ConditionalCheckFailedException":
                return status, {}, body
            reason["Code"] = name.removesuffix("Exception")
            cancelled = {
                "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
                "message": "Transaction cancelled",
                "CancellationReasons": reasons,
            }
            return 400, {}, json.dumps(cancelled).encode()
        return 200, {}, b"{}"

    @contextmanager
    def behind_moto(self) -> Iterator[None]:
        """Send it all DynamoDB requests while moto plays the rest of AWS."""
        play = BotocoreStubber.process_request

        def process_request(stubber: BotocoreStubber, request: Any) -> Any:
            if not urlsplit(request.url).netloc.startswith("dynamodb."):
                return play(stubber, request)
            headers = {
                name: value if isinstance(value, str) else value.decode()
                for name, value in request.headers.items()
                if name != "Content-Length"  # a part of a transaction has its own
            }
            operation = headers.pop("X-Amz-Target").removeprefix(PREFIX)
            return self.send(operation, request.body, headers)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BotocoreStubber, "process_request", process_request)
            yield


@pytest.fixture(params=["moto", "dynalite"])
def database(request: pytest.FixtureRequest) -> str:
    """What plays DynamoDB for a module that imports this: each of the two in turn."""
    return request.param


def missing() -> str | None:
    """What this machine lacks to run it, or None."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return f"dynalite needs node {NODE} or later, and npm"
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(said.strip().removeprefix("v").partition(".")[0]) < NODE:
        return f"dynalite needs node {NODE} or later; here is {said.strip()}"
    return None


def installed() -> Path:
    """Its folder, as package-lock.json locks it; fetched from the registry once.

    Raises:
        UnavailableError: it cannot be had here.
    """
    if what := missing():
        raise UnavailableError(what)
    lock = hashlib.sha256((LOCKED / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = ROOT / "build" / f"dynalite-{lock}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        fetched = Path(scratch) / "dynalite"
        shutil.copytree(LOCKED, fetched)
        # Without scripts: what is compiled in it comes compiled, and nothing else may run.
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=fetched, capture_output=True, text=True, check=False)
        if done.returncode and any(code in done.stderr for code in OFFLINE):
            raise UnavailableError("dynalite is fetched by npm, which cannot reach its registry")
        if done.returncode:
            raise RuntimeError(f"npm could not install dynalite:\n{done.stderr[-2000:]}")
        fetched.rename(folder)
    return folder


@contextmanager
def running() -> Iterator[Dynalite]:
    """Dynalite on loopback, with nothing in it, until the block ends or this program does.

    Raises:
        UnavailableError: it cannot be had here.
    """
    folder = installed()
    (port,) = free_ports(1)
    program = folder / "node_modules" / "dynalite" / "cli.js"
    command = ["node", str(program), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--createTableMs", "0", "--deleteTableMs", "0", "--updateTableMs", "0"]
    with tempfile.TemporaryFile() as log:
        process = SupervisedProcess(command, env=dict(os.environ), cwd=folder, stdout=log)
        try:
            _wait_for(port, process, log)
            yield Dynalite(f"http://127.0.0.1:{port}/")
        finally:
            process.stop()


def _wait_for(port: int, process: SupervisedProcess, log: Any) -> None:
    """Return when it answers."""
    deadline = time.monotonic() + START_SECONDS
    http = urllib3.PoolManager()
    while time.monotonic() < deadline and process.poll() is None:
        try:
            http.request("GET", f"http://127.0.0.1:{port}/", retries=False, timeout=1)
        except urllib3.exceptions.HTTPError:
            time.sleep(0.02)
        else:
            return
    log.seek(0)
    raise RuntimeError(f"dynalite did not start:\n{log.read().decode(errors='replace')[-2000:]}")
