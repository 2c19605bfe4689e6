"""`make local`: a local cloud that stays up until Ctrl-C.

It writes `.local/env` for shells and `.local/env.json` for the containers of `sam local`.
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
from local.drops import POLL_SECONDS, STALL_LIMIT_SECONDS, RunError, all_runs, drop
from query.run_responses import Run
from tools.data_sets import folder_of
from tools.paths import ROOT
from tools.progress import StageProgress

FOLDER = ROOT / ".local"
# The address at which containers reach this machine, if it is not Docker Desktop's, which forwards
# to this machine's loopback. It must be an IP address: with a host name, S3 clients would put the
# bucket into the host name, which does not resolve.
HOST_FOR_CONTAINERS = "HOST_FOR_CONTAINERS"
DOCKER_DESKTOP = "192.168.65.254"
_IP_FREEBIND = 15  # of Linux; missing in Python's socket module

type Variables = Mapping[str, Mapping[str, str]]


def up(dataset: str | None = None) -> None:
    """Start a cloud, print how to use it, then print its runs' state changes until Ctrl-C.

    Args:
        dataset: a data set to drop at once, by a name or path that `data_sets.folder_of` accepts.

    Raises:
        NoDataSetError, CloudError, RunError: the cloud or its API failed; the message says why.
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
    """Return what to type next."""
    shown = path.relative_to(ROOT)
    others = "" if path.name == "env" else f" (another one is up, too; this one is in {shown})"
    return f"""
The local cloud is up{others}. In another shell:

  source {shown}
  aws s3 cp --recursive ml-latest-small "s3://$DATASETS_BUCKET/ml-latest-small/"
  curl "$API_URL/runs"
  curl "$API_URL/movies/1/similar?limit=5"
  sam local invoke QueryFunction -e events/query-health.json    # see events/README.md

Page: {cloud.api_url}/
API: {cloud.api_url}
Ctrl-C stops the cloud and removes all its files.
"""


@contextmanager
def environment_file(
    environment: Mapping[str, str], functions: Variables, folder: Path = FOLDER
) -> Iterator[Path]:
    """Write an environment to a shell file that exists until the block ends.

    The file is `env`, or `env-2`, `env-3` and so on if other clouds of this clone are up. Next to
    it, `env.json` has the functions' variables in the format of `sam local --env-vars`.

    Args:
        environment: the variables of a shell.
        functions: the variables of each function.
        folder: the folder of the files.

    Yields:
        The path of the shell file.
    """
    folder.mkdir(exist_ok=True)
    number = 1
    while True:
        path = folder / ("env" if number == 1 else f"env-{number}")
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # An unlocked file is left over from a cloud that was killed.
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
    """Make a cloud reachable from containers until the block ends.

    Yields:
        The variables of each function: the deployed ones, and the cloud's endpoints for a
        container.
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
    """Forward a port of an address to the same port of loopback, which containers cannot reach."""
    try:
        server = _Relay((host, port), _Connection)
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:  # the container engine forwards its own address
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
        """Bind even if the address does not exist yet: podman creates it with a container."""
        if sys.platform == "linux":
            self.socket.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        super().server_bind()


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        """Copy in both directions until both sides have closed."""
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
    """Print a line for each state change of a run, forever.

    Raises:
        CloudError, RunError: the API has not answered for too long.
    """
    printed: dict[str, str] = {}
    answered = time.monotonic()
    while True:
        runs: list[Run] = []
        try:
            runs = all_runs(cloud)
            answered = time.monotonic()
        except (CloudError, RunError):  # a slow answer must not stop a cloud in use
            if time.monotonic() - answered > STALL_LIMIT_SECONDS:
                raise
        for run in reversed(runs):
            if printed.get(run.run_id) != run.state:
                printed[run.run_id] = run.state
                reason = f": {run.reason}" if run.reason else ""
                clock = time.strftime("%H:%M:%S")
                print(f"{clock}  {run.folder}  {run.state}{reason}", flush=True)
        time.sleep(POLL_SECONDS)
