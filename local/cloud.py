"""The local cloud: the emulator, the deployed template, and EMR played beside it.

`with Cloud.start(...) as cloud:` is all of it; when the block ends, or this program dies in
whatever way, nothing of it is left.
"""

import json
import os
import secrets
import shutil
import socket
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from local.access import ACCOUNT, REGION, Access, clean_environment
from local.emr.cluster import Behaviour
from local.emr.server import FakeEmr
from local.emr.step import Nodes, local_nodes
from local.supervised import SupervisedProcess
from tools.job_archive import upload
from tools.paths import ROOT
from tools.wheels import wheels

STACK = "similar-titles"
START_SECONDS = 60
ACCESS_LOG = "access.jsonl"  # in the cloud's folder: every judgement on who may do what
LIMITS = "limits.json"  # there, too: what DynamoDB does at once
_TOOLS = ROOT / ".venv-sam" / "bin"
_SAM = str(_TOOLS / "sam")


class CloudError(Exception):
    """The local cloud could not be started; the message says why."""


@dataclass(frozen=True)
class Cloud:
    """A running local cloud with the template deployed.

    Attributes:
        access: endpoints and credentials.
        outputs: the stack's outputs.
        emr: the fake EMR.
        folder: everything of it on disk; removed at the end.
    """

    access: Access
    outputs: Mapping[str, str]
    emr: FakeEmr
    folder: Path

    @property
    def api_url(self) -> str:
        """Where the deployed API answers."""
        api, _, _ = self.outputs["ApiUrl"].removeprefix("https://").partition(".")
        return f"{self.access.endpoint}/_aws/execute-api/{api}/v1"

    @property
    def environment(self) -> dict[str, str]:
        """Everything that a shell needs to use the cloud."""
        return {
            **self.access.environment,
            "DATASETS_BUCKET": self.outputs["DatasetsBucket"],
            "RESULTS_BUCKET": self.outputs["ResultsBucket"],
            "RUNS_TABLE": self.outputs["RunsTable"],
            "INDEX_TABLE": self.outputs["IndexTable"],
            "API_URL": self.api_url,
        }

    def client(self, service: str) -> Any:
        """A boto3 client with the rights of the account's root user."""
        return self.access.client(service)

    def get(self, path: str) -> tuple[int, Any]:
        """Ask the deployed API.

        Args:
            path: below the API's URL, with its query.

        Returns:
            HTTP status and body.

        Raises:
            CloudError: there is no answer, or none that is JSON.
        """
        try:
            try:
                answer = _open(f"{self.api_url}/{path.lstrip('/')}", timeout=60)
            except urllib.error.HTTPError as error:
                answer = error  # which is an answer, too
            with answer:
                return answer.status, json.load(answer)
        except (OSError, ValueError) as error:
            raise CloudError(f"the API does not answer {path}: {error}") from error

    def limit(self, **limits: int) -> None:
        """Have DynamoDB give and take no more at once, as the real one; without any, all.

        Args:
            limits: `keys` that one BatchGetItem answers, `write_units` that it takes a second.
        """
        unfinished = self.folder / f"{LIMITS}.new"
        unfinished.write_text(json.dumps(limits))
        unfinished.rename(self.folder / LIMITS)

    def access_decisions(self, sessions: str, allowed: bool = True) -> set[tuple[str, str]]:
        """What roles were allowed or denied by now: actions, each with the ARN of what it was on.

        Args:
            sessions: pattern of ROLE/SESSION; EMR's nodes go by their cluster's id.
            allowed: or what they were denied.
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
        cls, behaviour: Behaviour | None = None, nodes: Nodes = local_nodes
    ) -> Iterator["Cloud"]:
        """Start the emulator and the EMR player, deploy the template, and end it all afterwards.

        Args:
            behaviour: of EMR; well-behaved by default.
            nodes: of EMR's clusters.

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
            cloud = cls(access, _deploy(access, folder), fake_emr, folder)
            upload(cloud.client("s3"), cloud.outputs["ResultsBucket"])
            yield cloud


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@contextmanager
def _emulator(access: Access, port: int, folder: Path) -> Iterator[None]:
    """Run the emulator until the block ends; its folder goes with it."""
    temporary = folder / "tmp"
    temporary.mkdir()
    environment = clean_environment() | access.environment
    del environment["AWS_ENDPOINT_URL"]  # the emulator hands functions its own
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
    }
    log = folder / "emulator.log"
    with log.open("wb") as out:
        process = SupervisedProcess(
            [str(ROOT / ".venv/bin/python"), "-P", str(ROOT / "local/emulator.py")],
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
    """Return when the emulator answers."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with _open(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    said = log.read_text(errors="replace") if log.exists() else ""
    raise CloudError(f"the emulator did not start:\n{said[-4000:]}")


def _deploy(access: Access, folder: Path) -> dict[str, str]:
    """`sam build` and `sam deploy` the template; returns the stack's outputs."""
    build = [_SAM, "build", "--template-file", str(ROOT / "template.yaml")]
    _run([*build, "--build-dir", str(folder / "build")], _sam_environment(access, folder), folder)
    return deploy(access, folder, STACK)


def deploy(access: Access, folder: Path, name: str) -> dict[str, str]:
    """`sam deploy` what was built for a cloud as a stack; returns the stack's outputs.

    Raises:
        CloudError: it did not deploy.
    """
    command = [_SAM, "deploy", "--template-file", str(folder / "build" / "template.yaml")]
    command += ["--config-file", str(ROOT / "samconfig.toml"), "--stack-name", name]
    command += ["--no-confirm-changeset", "--parameter-overrides", "SettleSeconds=1"]
    _run(command, _sam_environment(access, folder), folder)
    stack = access.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}


def _sam_environment(access: Access, folder: Path) -> dict[str, str]:
    """What SAM CLI finds its tools, the cloud and the functions' dependencies by."""
    environment = clean_environment() | access.environment
    environment |= {
        "PATH": f"{_TOOLS}{os.pathsep}{environment.get('PATH', os.defpath)}",
        "SAM_CLI_TELEMETRY": "0",
        "TMPDIR": str(folder / "tmp"),
    }
    if wheels().is_dir():  # else pip asks the package index
        environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": wheels().as_uri()}
    return environment


def _run(command: list[str], environment: Mapping[str, str], folder: Path) -> None:
    """Run a tool; what it says is shown only when it fails.

    It runs in the cloud's folder: sam keeps things in `.aws-sam` of where it runs, which two clouds
    that start at the same time must not share.
    """
    name = " ".join([Path(command[0]).name, command[1]])
    log = folder / f"{name.replace(' ', '-')}.log"
    with log.open("wb") as out:
        status = SupervisedProcess(command, env=environment, cwd=folder, stdout=out).run()
    if status != 0:
        raise CloudError(f"`{name}` failed ({status}):\n{log.read_text(errors='replace')[-8000:]}")


def _open(url: str, timeout: float) -> Any:
    """Open a URL of this machine, whatever proxy the environment names."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=timeout)
