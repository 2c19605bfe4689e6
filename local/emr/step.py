"""One step of a cluster: its own spark-submit, run by the Spark of this machine.

The code that it names is brought to disk. The data are not: the job itself reads and writes them in
S3, as on the nodes of a cluster and with the rights of the nodes.
"""

import gzip
import os
import re
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from botocore.exceptions import ClientError

from local.access import Access, clean_environment
from local.emr.metadata import InstanceMetadata
from local.supervised import SupervisedProcess
from tools.java import java_home
from tools.paths import ROOT

PYTHON = ROOT / ".venv" / "bin" / "python"
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1"  # a job of seconds ends before C2 has compiled anything
DEPENDENCIES = "environment"  # the archive that is not unpacked: .venv has it, from the same lock

_S3 = "s3://"
_GIB = 2**30
# What only a cluster has: where it runs, how many machines, how large.
_CLUSTER_OPTIONS = frozenset(
    {"--deploy-mode", "--master", "--num-executors", "--executor-memory", "--executor-cores"}
    | {"--driver-memory", "--driver-cores"}
)
_CLUSTER_SETTING = re.compile(
    r"spark\.(driver|executor)\.(memory|memoryOverhead|cores|instances)="
    r"|spark\.(default\.parallelism|master|submit\.deployMode|local\.dir)="
    r"|spark\.pyspark\.(driver\.)?python="
    r"|.*\.PYSPARK_(DRIVER_)?PYTHON="
)
_DRIVER_VARIABLE = "spark.yarn.appMasterEnv."


class StepError(Exception):
    """A step that cannot be run as it is; the message is what EMR would report."""


class NodesError(Exception):
    """Nodes of a cluster that do not come up; the message is what EMR would report."""


@dataclass(frozen=True)
class Submission:
    """What a step submits, without what only a cluster has.

    Attributes:
        program: URI of the job.
        arguments: the job's own.
        options: of spark-submit.
        modules: URIs of --py-files.
        archives: URIs of --archives, by the folder of the working directory that each becomes.
        environment: the driver's variables.
    """

    program: str
    arguments: Sequence[str]
    options: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    archives: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


def parse_submission(arguments: Sequence[str]) -> Submission:
    """What a step with these Args submits.

    Raises:
        StepError: it is no spark-submit, or one without a program.
    """
    command, *rest = arguments or [""]
    if command != "spark-submit":
        raise StepError(f"the local cloud runs spark-submit only, not {command!r}")
    given: list[tuple[str, str]] = []
    while len(rest) >= 2 and rest[0].startswith("--"):
        option, value, *rest = rest
        given.append((option, value))
    if not rest:
        raise StepError("Missing application resource.")
    submission = Submission(rest[0], rest[1:])
    for option, value in given:
        if option in _CLUSTER_OPTIONS or (option == "--conf" and _CLUSTER_SETTING.match(value)):
            continue
        if option == "--py-files":
            submission.modules.extend(value.split(","))
        elif option == "--archives":
            submission.archives.update(_named(each) for each in value.split(","))
        elif option == "--conf" and value.startswith(_DRIVER_VARIABLE):
            name, _, text = value.removeprefix(_DRIVER_VARIABLE).partition("=")
            submission.environment[name] = text
        else:
            submission.options.extend([option, value])
    return submission


def _named(archive: str) -> tuple[str, str]:
    """The folder that an archive becomes, and its URI."""
    uri, _, name = archive.partition("#")
    name = name or PurePosixPath(uri).name
    if name in ("", ".", "..") or "/" in name:
        raise StepError(f"{archive} cannot be unpacked into a folder of that name")
    return name, uri


def download_code(submission: Submission, s3: Any, code: Path, work: Path) -> list[str]:
    """Bring what is submitted to disk; returns what spark-submit is to be given.

    Args:
        submission: from `parse_submission`.
        s3: client.
        code: a folder for the objects, as `<bucket>/<key>`.
        work: the working directory, into which the archives are unpacked.

    Raises:
        StepError: one of them cannot be had, or not be unpacked.
    """
    for name, uri in submission.archives.items():
        if name != DEPENDENCIES:
            _unpack(_download(uri, s3, code), work / name)
    modules = ",".join(str(_download(uri, s3, code)) for uri in submission.modules)
    return [
        *submission.options,
        *(["--py-files", modules] if modules else []),
        str(_download(submission.program, s3, code)),
        *submission.arguments,
    ]


def _download(uri: str, s3: Any, folder: Path) -> Path:
    """The path to which an object was brought."""
    bucket, _, key = uri.removeprefix(_S3).partition("/")
    leads_out = key.startswith("/") or ".." in PurePosixPath(uri).parts
    if not uri.startswith(_S3) or not key or leads_out:
        raise StepError(f"{uri} cannot be brought to disk")
    path = folder / bucket / key
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        s3.download_file(bucket, key, str(path))
    except ClientError as error:
        raise StepError(f"{uri}: {error}") from error
    return path


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip, of which no name leads out of the folder."""
    try:
        with zipfile.ZipFile(archive) as content:
            content.extractall(folder)
    except zipfile.BadZipFile as error:
        raise StepError(f"{archive.name} is no zip: the local cloud unpacks no others") from error


def local_command(arguments: Sequence[str], work: Path) -> list[str]:
    """The command of this machine for what a step submits.

    Args:
        arguments: of spark-submit, without what only a cluster has.
        work: where Spark may keep its temporary files.
    """
    # Else /tmp keeps a file if killed.
    java_options = f"-XX:-UsePerfData -Djava.io.tmpdir={work} {JAVA_OPTIONS}"
    return [
        str(ROOT / ".venv" / "bin" / "spark-submit"),
        *("--master", "local[*]"),
        *("--driver-memory", f"{driver_memory(_memory())}g"),
        *("--driver-java-options", java_options),
        *("--conf", f"spark.local.dir={work}"),
        *("--conf", f"spark.pyspark.python={PYTHON}"),
        *("--conf", "spark.ui.enabled=false"),
        *("--conf", "spark.driver.host=127.0.0.1"),
        *("--conf", "spark.driver.bindAddress=127.0.0.1"),
        *arguments,
    ]


def driver_memory(memory: int) -> int:
    """GiB for Spark on a machine with so many bytes: a quarter, but 2 to 8."""
    return min(8, max(2, memory // 4 // _GIB))


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@dataclass
class StepRun(ABC):
    """A step being run, by whatever Spark.

    Attributes:
        access: to the cloud.
        metadata: what the job has its rights from.
        arguments: the step's Args.
        folder: its own; it has `stdout` and `stderr` of spark-submit.
    """

    access: Access
    metadata: InstanceMetadata
    arguments: Sequence[str]
    folder: Path
    _process: SupervisedProcess | None = field(default=None, init=False)

    @abstractmethod
    def start(self) -> None:
        """Start spark-submit.

        Raises:
            StepError: it is not a step that can be run here.
        """

    def poll(self) -> int | None:
        """spark-submit's exit status, or None while it runs."""
        return self._process.poll() if self._process else None

    def stop(self) -> None:
        """End spark-submit, where it was started, with whatever is left of it."""
        if self._process:
            self._process.stop()

    def submit(self, command: Sequence[str], environment: Mapping[str, str], work: Path) -> None:
        """Run spark-submit.

        Args:
            command: the whole.
            environment: the whole.
            work: its working directory.
        """
        with (self.folder / "stdout").open("wb") as out, (self.folder / "stderr").open("wb") as err:
            self._process = SupervisedProcess(
                command, env=environment, cwd=work, stdout=out, stderr=err
            )

    def put_logs(self, bucket: str, prefix: str) -> None:
        """Bring what it said to S3, as `stdout.gz` and `stderr.gz` below a prefix."""
        s3 = node_s3(self.access, self.metadata)
        for name in ("stdout", "stderr"):
            body = gzip.compress(self.said(name).encode())
            s3.put_object(Bucket=bucket, Key=f"{prefix}{name}.gz", Body=body)

    def last_error(self) -> str:
        """The last line with which the job complained, as EMR shows it of a failed step.

        spark-submit writes what Python says on standard error to its own standard output.
        """
        for name in ("stdout", "stderr"):
            lines = [line.strip() for line in self.said(name).splitlines()]
            # A line of Java's stack begins so, and names classes such as SparkErrorUtils.
            lines = [line for line in lines if not line.startswith("at ")]
            if telling := [line for line in lines if re.search(r"Error|Exception", line)]:
                return telling[-1]
        return ""

    def said(self, name: str) -> str:
        """What spark-submit has said so far on `stdout` or `stderr`."""
        path = self.folder / name
        return path.read_text(errors="replace") if path.exists() else ""


class SparkStep(StepRun):
    """A step run by the Spark of this machine; its folder has `code/` and `work/`, too."""

    def start(self) -> None:
        """Bring the code to disk and start Spark; see `StepRun`."""
        work = self.folder / "work"
        work.mkdir(parents=True)
        submission = parse_submission(self.arguments)
        s3 = node_s3(self.access, self.metadata)
        arguments = download_code(submission, s3, self.folder / "code", work)
        environment = {
            **node_environment(self.access, self.metadata),
            **submission.environment,
            "JAVA_HOME": str(java_home()),
            "PYSPARK_PYTHON": str(PYTHON),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_LAUNCHER_OPTS": "-XX:-UsePerfData",
            "TMPDIR": str(work),
        }
        self.submit(local_command(arguments, work), environment, work)


def node_s3(access: Access, metadata: InstanceMetadata) -> Any:
    """A client of S3 with the nodes' rights."""
    of = metadata.credentials()
    node = replace(access, key=of.access_key, secret=of.secret_key, token=of.token)
    return node.client("s3")


def node_environment(access: Access, metadata: InstanceMetadata) -> dict[str, str]:
    """What a node's processes find the cloud and their rights by; no key is in it."""
    return clean_environment() | {
        "AWS_ENDPOINT_URL": access.endpoint,
        "AWS_EC2_METADATA_DISABLED": "false",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.endpoint,
    }


type MakeStep = Callable[[Sequence[str], Path], StepRun]
type Nodes = Callable[
    [Mapping[str, Any], Access, InstanceMetadata, Path], AbstractContextManager[MakeStep]
]


@contextmanager
def local_nodes(
    request: Mapping[str, Any], access: Access, metadata: InstanceMetadata, folder: Path
) -> Iterator[MakeStep]:
    """The nodes of a cluster: this machine, which needs no bootstrap action.

    Args:
        request: of RunJobFlow.
        access: to the cloud.
        metadata: what the nodes have their rights from.
        folder: for what the nodes keep.

    Yields:
        What runs a step, given its Args and a folder of its own.

    Raises:
        NodesError: they do not come up.
    """
    bootstrap_scripts(request, access, metadata, folder)
    yield lambda arguments, own: SparkStep(access, metadata, arguments, own)


def bootstrap_scripts(
    request: Mapping[str, Any], access: Access, metadata: InstanceMetadata, folder: Path
) -> list[Path]:
    """The scripts of a request's bootstrap actions, brought to disk as a node does.

    Raises:
        NodesError: one cannot be had.
    """
    s3 = node_s3(access, metadata)
    actions = request.get("BootstrapActions", [])
    try:
        return [_download(each["ScriptBootstrapAction"]["Path"], s3, folder) for each in actions]
    except StepError as error:
        raise NodesError(f"On the master instance, bootstrap action 1 failed: {error}") from error
