"""The local cloud: the emulator with the deployed template, and a fake EMR.

Start it with `with Cloud.start(...) as cloud:`. When the block ends, or this program dies for any
reason, its processes and files are removed.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import tempfile
import time
import urllib.error
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from local.access import ACCOUNT, REGION, Access, clean_environment, open_url
from local.emr.cluster import Behaviour
from local.emr.server import FakeEmr
from local.emr.step import Nodes, local_nodes
from local.supervised import SupervisedProcess
from tools.job_archive import upload
from tools.paths import ROOT
from tools.setup.wheels import wheels

STACK = "similar-titles"
START_SECONDS = 60
DAY = 24 * 60 * 60  # seconds
ACCESS_LOG = "access.jsonl"  # in the cloud's folder: every IAM decision
LIMITS = "limits.json"  # in the cloud's folder: DynamoDB's and Lambda's limits
BUILDS = ROOT / ".local" / "builds"
_TOOLS = ROOT / ".venv-sam" / "bin"
_SAM = str(_TOOLS / "sam")


class CloudError(Exception):
    """The local cloud did not start or does not answer; the message says why."""


@dataclass(frozen=True)
class Cloud:
    """A running local cloud with the template deployed.

    Attributes:
        access: endpoints and credentials.
        outputs: the stack's outputs.
        emr: the fake EMR.
        folder: all its files; removed at the end.
    """

    access: Access
    outputs: Mapping[str, str]
    emr: FakeEmr
    folder: Path

    @property
    def api_url(self) -> str:
        """The URL of the deployed API."""
        api, _, _ = self.outputs["ApiUrl"].removeprefix("https://").partition(".")
        return f"{self.access.endpoint}/_aws/execute-api/{api}/v1"

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of a shell that uses the cloud."""
        return {
            **self.access.environment,
            "DATASETS_BUCKET": self.outputs["DatasetsBucket"],
            "RESULTS_BUCKET": self.outputs["ResultsBucket"],
            "RUNS_TABLE": self.outputs["RunsTable"],
            "INDEX_TABLE": self.outputs["IndexTable"],
            "API_URL": self.api_url,
        }

    def client(self, service: str) -> Any:
        """Return a boto3 client with the permissions of the account's root user."""
        return self.access.client(service)

    def get(self, path: str) -> tuple[int, Any]:
        """Send a GET request to the deployed API.

        Args:
            path: path and query, relative to the API's URL.

        Returns:
            HTTP status and body.

        Raises:
            CloudError: there is no response, or it is not JSON.
        """
        try:
            try:
                response = open_url(f"{self.api_url}/{path.lstrip('/')}", timeout=60)
            except urllib.error.HTTPError as error:
                response = error  # has a status and a body, too
            with response:
                return response.status, json.load(response)
        except (OSError, ValueError) as error:
            raise CloudError(f"the API does not answer {path}: {error}") from error

    def limit(self, **limits: int) -> None:
        """Limit DynamoDB and the functions as AWS does; without arguments remove the limits.

        Args:
            limits: `keys` per BatchGetItem, `write_units` of DynamoDB per second, `lambda_memory` 1
                for functions that get no more than their MemorySize and its share of a CPU.
        """
        unfinished = self.folder / f"{LIMITS}.new"
        unfinished.write_text(json.dumps(limits))
        unfinished.rename(self.folder / LIMITS)

    def access_decisions(self, sessions: str, allowed: bool = True) -> set[tuple[str, str]]:
        """Return the actions that IAM has allowed or denied so far, each with the resource's ARN.

        Args:
            sessions: pattern of ROLE/SESSION; the session of EMR's nodes is their cluster's id.
            allowed: return the allowed actions, or the denied ones.
        """
        path = self.folder / ACCESS_LOG
        lines = path.read_text().splitlines() if path.exists() else []
        found = [json.loads(line) for line in lines]
        return {
            (action, arn)
            for session, action, arn, let in found
            if let == allowed and fnmatchcase(session, sessions)
        }

    @classmethod
    @contextmanager
    def start(
        cls,
        behaviour: Behaviour | None = None,
        nodes: Nodes = local_nodes,
        parameters: Sequence[str] = (),
    ) -> Iterator["Cloud"]:
        """Start the emulator and the fake EMR, deploy the template, and stop all at the end.

        Args:
            behaviour: the fake EMR's behaviour; without faults by default.
            nodes: starts the nodes of EMR's clusters.
            parameters: of the template, as `Name=value`, that differ from its defaults.

        Raises:
            CloudError: the emulator did not start or the template did not deploy.
        """
        folder = Path(tempfile.mkdtemp(prefix="similar-titles-"))
        port, emr_port = free_ports(2)
        access = Access(
            f"http://127.0.0.1:{port}", f"http://127.0.0.1:{emr_port}", secrets.token_hex(20)
        )
        with (
            _emulator(access, port, folder),
            FakeEmr(access, folder / "emr", behaviour, nodes) as fake_emr,
        ):
            cloud = cls(access, _deploy(access, folder, parameters), fake_emr, folder)
            upload(cloud.client("s3"), cloud.outputs["ResultsBucket"])
            yield cloud


def free_ports(count: int) -> list[int]:
    """Return unused ports of the loopback interface."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@contextmanager
def _emulator(access: Access, port: int, folder: Path) -> Iterator[None]:
    """Run the emulator until the block ends, then remove its folder."""
    temporary = folder / "tmp"
    temporary.mkdir()
    environment = clean_environment() | access.environment
    del environment["AWS_ENDPOINT_URL"]  # the emulator sets it for the functions
    environment |= {
        "AUTH": "true",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": REGION,
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "PERSIST_STATE": "0",
        "S3_PERSIST": "0",
        "S3_DATA_DIR": str(folder / "s3"),
        "STATE_DIR": str(folder / "state"),
        "TMPDIR": str(temporary),
        "LOG_LEVEL": "INFO",
        "ACCESS_LOG": str(folder / ACCESS_LOG),
        "LIMITS": str(folder / LIMITS),
        "PYTHONPATH": str(ROOT),
    }
    log = folder / "emulator.log"
    with log.open("wb") as out:
        process = SupervisedProcess(
            [str(ROOT / ".venv/bin/python"), "-P", "-m", "local.emulator"],
            env=environment,
            cwd=folder,
            stdout=out,
            remove=folder,
        )
    try:
        _wait_for(f"{access.endpoint}/_ministack/health", process, log)
        yield
    finally:
        process.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url: str, process: SupervisedProcess, log: Path) -> None:
    """Wait until the emulator answers."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with open_url(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    output = log.read_text(errors="replace") if log.exists() else ""
    raise CloudError(f"the emulator did not start:\n{output[-4000:]}")


def _deploy(access: Access, folder: Path, parameters: Sequence[str]) -> dict[str, str]:
    """Deploy the template with SAM CLI and return the stack's outputs."""
    (folder / "build").symlink_to(_build(access, folder))
    return deploy(access, folder, STACK, parameters)


def _build(access: Access, folder: Path) -> Path:
    """Build the template with SAM CLI, unless that was done, and return the build's folder.

    All functions have the same code. `deploy.yaml` is the built template with one archive of it;
    SAM would make the same archive for each function.
    """
    build = BUILDS / _digest()
    if build.is_dir():
        return build
    BUILDS.mkdir(parents=True, exist_ok=True)
    for old in BUILDS.iterdir():
        if time.time() - old.stat().st_mtime > DAY:
            shutil.rmtree(old, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(dir=BUILDS))  # sam also writes beside the build
    new = scratch / "new"
    command = [_SAM, "build", "--template-file", str(ROOT / "template.yaml")]
    _run([*command, "--build-dir", str(new)], _sam_environment(access, folder), folder)
    shutil.make_archive(str(new / "functions"), "zip", new / "QueryFunction")
    built = (new / "template.yaml").read_text()
    packed = re.sub(r"(?m)(?<=CodeUri: )\w+Function$", "functions.zip", built)
    (new / "deploy.yaml").write_text(packed)
    try:
        new.rename(build)
    except OSError:
        if not build.is_dir():  # otherwise another cloud was faster
            raise
    shutil.rmtree(scratch)
    return build


def _digest() -> str:
    """Return a digest of everything that a build is made of."""
    files = (ROOT / "functions").rglob("*", recurse_symlinks=True)
    code = sorted(path for path in files if path.is_file() and "__pycache__" not in path.parts)
    digest = hashlib.sha256()
    for path in (ROOT / "template.yaml", ROOT / "requirements" / "sam.txt", *code):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{content} {path.relative_to(ROOT)}\n".encode())
    return digest.hexdigest()[:16]


def deploy(
    access: Access, folder: Path, name: str, parameters: Sequence[str] = ()
) -> dict[str, str]:
    """Deploy a cloud's build as a stack and return the stack's outputs.

    Args:
        access: to the cloud.
        folder: the cloud's folder.
        name: the stack's name.
        parameters: of the template, as `Name=value`, that differ from its defaults.

    Raises:
        CloudError: the deployment failed.
    """
    command = [_SAM, "deploy", "--template-file", str(folder / "build" / "deploy.yaml")]
    command += ["--config-file", str(ROOT / "samconfig.toml"), "--stack-name", name]
    command += ["--no-confirm-changeset", "--parameter-overrides", "SettleSeconds=1", *parameters]
    _run(command, _sam_environment(access, folder), folder)
    stack = access.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}


def _sam_environment(access: Access, folder: Path) -> dict[str, str]:
    """Return the environment in which SAM CLI finds its tools, the cloud and the wheels."""
    environment = clean_environment() | access.environment
    environment |= {
        "PATH": f"{_TOOLS}{os.pathsep}{environment.get('PATH', os.defpath)}",
        "SAM_CLI_POLL_DELAY": "0.2",  # seconds; the default of 5 suits AWS
        "SAM_CLI_TELEMETRY": "0",
        "TMPDIR": str(folder / "tmp"),
    }
    if wheels().is_dir():  # otherwise pip uses the package index
        environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": wheels().as_uri()}
    return environment


def _run(command: list[str], environment: Mapping[str, str], folder: Path) -> None:
    """Run a tool and show its output only if it fails.

    The working directory is the cloud's folder, because sam writes to `.aws-sam` in it, and two
    clouds that start at the same time must not share that.
    """
    name = " ".join([Path(command[0]).name, command[1]])
    log = folder / f"{name.replace(' ', '-')}.log"
    with log.open("wb") as out:
        status = SupervisedProcess(command, env=environment, cwd=folder, stdout=out).run()
    if status != 0:
        raise CloudError(f"`{name}` failed ({status}):\n{log.read_text(errors='replace')[-8000:]}")
