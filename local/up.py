"""`make local`: a local cloud that stays up until it is interrupted.

Beside `.local/env`, for shells, it writes `.local/env.json`, for the containers of `sam local`.
"""

import contextlib
import errno
import fcntl
import json
import os
import shlex
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from local.cloud import STACK, Cloud, CloudError
from local.drops import POLL_SECONDS, STALL_LIMIT_SECONDS, Run, RunError, all_runs, drop
from tools.data_sets import folder_of
from tools.paths import ROOT
from tools.progress import StageProgress

FOLDER = ROOT / ".local"
# Names the address at which containers find this machine, where it is not Docker Desktop's, which
# leads to this machine's loopback by itself. An address: with a name S3's buckets would become
# names, too, that nobody resolves.
HOST_FOR_CONTAINERS = "HOST_FOR_CONTAINERS"
DOCKER_DESKTOP = "192.168.65.254"
_IP_FREEBIND = 15  # Linux's; Python does not name it

type Variables = Mapping[str, Mapping[str, str]]


def up(dataset: str | None = None) -> None:
    """Start a cloud, say how to use it, and tell of its runs until interrupted.

    Args:
        dataset: one to drop at once, as `data_sets.folder_of` takes it.

    Raises:
        NoDataSetError, CloudError, RunError: it did not work; the message says why.
    """
    folder = folder_of(dataset) if dataset else None
    with StageProgress() as progress:
        progress.stage("local cloud", "building and deploying template.yaml")
        with (
            Cloud.start() as cloud,
            for_containers(cloud) as functions,
            environment_file(cloud.environment, functions) as path,
        ):
            progress.done()
            print(usage(path, cloud), flush=True)
            if folder:
                s3, bucket = cloud.client("s3"), cloud.outputs["DatasetsBucket"]
                drop(s3, bucket, folder, folder.name)
            _print_state_changes(cloud)


def usage(path: Path, cloud: Cloud) -> str:
    """What to type next."""
    shown = path.relative_to(ROOT)
    others = "" if path.name == "env" else f" (another one is up: this one is in {shown})"
    return f"""
The local cloud is up{others}. In another shell:

  source {shown}
  aws s3 cp --recursive ml-latest-small "s3://$DATASETS_BUCKET/ml-latest-small/"
  curl "$API_URL/runs"
  curl "$API_URL/movies/1/similar?limit=5"
  sam local invoke QueryFunction -e events/query-health.json    # see events/README.md

Page: {cloud.api_url}/
API: {cloud.api_url}
Ctrl-C ends it and leaves nothing behind.
"""


@contextmanager
def environment_file(
    environment: Mapping[str, str], functions: Variables, folder: Path = FOLDER
) -> Iterator[Path]:
    """A file of shell lines that export an environment, there while the block lasts.

    Its name is `env`, or `env-2`, `env-3`... where other clouds of this clone are up. Beside it,
    `env.json` and so on has the functions' variables as `sam local --env-vars` takes them.
    """
    folder.mkdir(exist_ok=True)
    number = 1
    while True:
        path = folder / ("env" if number == 1 else f"env-{number}")
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # A file that nobody has locked is left over from a cloud that was killed.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            os.close(file)
            number += 1
    try:
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in environment.items()]
        os.ftruncate(file, 0)
        os.write(file, "".join(lines).encode())
        _json_beside(path).write_text(json.dumps(functions, indent=2) + "\n")
        yield path
    finally:
        _json_beside(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        os.close(file)


def _json_beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


@contextmanager
def for_containers(cloud: Cloud) -> Iterator[Variables]:
    """Let containers reach a cloud while the block lasts.

    Yields:
        Every function's variables: the deployed ones, and the cloud's endpoints as a container
        sees them.
    """
    host = os.environ.get(HOST_FOR_CONTAINERS, DOCKER_DESKTOP)
    local = {name: url for name, url in cloud.access.environment.items() if "_URL" in name}
    endpoints = {name: url.replace("127.0.0.1", host) for name, url in local.items()}
    stack = cloud.client("cloudformation").describe_stack_resources(StackName=STACK)
    functions = {
        each["LogicalResourceId"]: _variables(cloud, each["PhysicalResourceId"]) | endpoints
        for each in stack["StackResources"]
        if each["ResourceType"] == "AWS::Lambda::Function"
    }
    with contextlib.ExitStack() as relays:
        if HOST_FOR_CONTAINERS in os.environ:
            for url in local.values():
                relays.enter_context(_relay(host, urlsplit(url).port or 0))
        yield functions


def _variables(cloud: Cloud, function: str) -> dict[str, str]:
    found = cloud.client("lambda").get_function_configuration(FunctionName=function)
    return found["Environment"]["Variables"]


@contextmanager
def _relay(host: str, port: int) -> Iterator[None]:
    """Lead a port of an address to the same port of loopback, where containers cannot come."""
    try:
        server = _Relay((host, port), _Connection)
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:  # else it is of an engine that sees to it itself
            raise
        yield
        return
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


class _Relay(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def server_bind(self) -> None:
        """Take the address even where it is not there yet: podman's comes with a container."""
        if sys.platform == "linux":
            self.socket.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        super().server_bind()


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        """Copy both ways until both ends have said all."""
        _, port = cast("tuple[str, int]", self.server.server_address)
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as inside:
            back = threading.Thread(target=_copy, args=(inside, self.request), daemon=True)
            back.start()
            _copy(self.request, inside)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def _print_state_changes(cloud: Cloud) -> None:
    """Print a line for each state that a run comes to, for ever.

    Raises:
        CloudError, RunError: the API has not answered for too long.
    """
    told: dict[str, str] = {}
    answered = time.monotonic()
    while True:
        runs: list[Run] = []
        try:
            runs = all_runs(cloud)
            answered = time.monotonic()
        except (CloudError, RunError):  # one slow answer ends no cloud that others work with
            if time.monotonic() - answered > STALL_LIMIT_SECONDS:
                raise
        for run in reversed(runs):
            if told.get(run["run_id"]) != run["state"]:
                told[run["run_id"]] = run["state"]
                why = f": {run['reason']}" if run.get("reason") else ""
                clock = time.strftime("%H:%M:%S")
                print(f"{clock}  {run['folder']}  {run['state']}{why}", flush=True)
        time.sleep(POLL_SECONDS)
