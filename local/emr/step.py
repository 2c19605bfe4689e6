"""Runs one step of a cluster, its spark-submit command, on the Spark of this machine.

The job's code is downloaded first. The data are not: the job itself reads and writes them in S3
with the nodes' credentials, as on a cluster.
"""

import gzip
import os
import re
import shutil
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
from spark.runtime import native
from tools.paths import ROOT
from tools.setup import class_archive
from tools.setup.java import java_home

PYTHON = ROOT / ".venv" / "bin" / "python"
# A job of seconds ends before the C2 compiler and parallel collectors pay off. ALS recurses deeply.
JAVA_BASICS = "-XX:+UseSerialGC -Xss4m"
JAVA_OPTIONS = f"-XX:TieredStopAtLevel=1 {JAVA_BASICS}"
# The archive of native code is not unpacked: .venv has its packages, and this tree its loops.
DEPENDENCIES = "environment"

_S3 = "s3://"
_GIB = 2**30
# Options that make sense on a cluster only: its mode, its number and size of machines.
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
    """The step cannot run; the message is what EMR would report."""


class NodesError(Exception):
    """The nodes of a cluster did not start; the message is what EMR would report."""


@dataclass(frozen=True)
class Submission:
    """A parsed spark-submit command, without options that only a cluster needs.

    Attributes:
        program: URI of the job.
        arguments: the job's arguments.
        options: options of spark-submit.
        modules: URIs of --py-files.
        archives: URIs of --archives, by the folder into which each is unpacked.
        environment: variables of the driver.
    """

    program: str
    arguments: Sequence[str]
    options: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    archives: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


def parse_submission(arguments: Sequence[str]) -> Submission:
    """Parse the Args of a step.

    Raises:
        StepError: the command is not spark-submit, or names no program.
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
    """Return the folder into which an archive is unpacked, and its URI."""
    uri, _, name = archive.partition("#")
    name = name or PurePosixPath(uri).name
    if name in ("", ".", "..") or "/" in name:
        raise StepError(f"{archive} has an invalid folder name")
    return name, uri


def download_code(submission: Submission, s3: Any, code: Path, work: Path) -> list[str]:
    """Download the code of a submission and return the arguments for the local spark-submit.

    Args:
        submission: from `parse_submission`.
        s3: a client of S3.
        code: folder for the objects, as `<bucket>/<key>`.
        work: the working directory, into which the archives are unpacked.

    Raises:
        StepError: an object cannot be downloaded or unpacked.
    """
    for name, uri in submission.archives.items():
        if name == DEPENDENCIES:
            (work / name).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(native.path(), work / name / native.LIBRARY)
        else:
            _unpack(_download(uri, s3, code), work / name)
    modules = ",".join(str(_download(uri, s3, code)) for uri in submission.modules)
    return [
        *submission.options,
        *(["--py-files", modules] if modules else []),
        str(_download(submission.program, s3, code)),
        *submission.arguments,
    ]


def _download(uri: str, s3: Any, folder: Path) -> Path:
    """Download an object and return its path."""
    bucket, _, key = uri.removeprefix(_S3).partition("/")
    leads_out = key.startswith("/") or ".." in PurePosixPath(uri).parts
    if not uri.startswith(_S3) or not key or leads_out:
        raise StepError(f"{uri} is not a valid S3 URI")
    path = folder / bucket / key
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        s3.download_file(bucket, key, str(path))
    except ClientError as error:
        raise StepError(f"{uri}: {error}") from error
    return path


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip; names that lead out of the folder stay in it."""
    try:
        with zipfile.ZipFile(archive) as content:
            content.extractall(folder)
    except zipfile.BadZipFile as error:
        raise StepError(
            f"{archive.name} is not a zip: the local cloud unpacks no other format"
        ) from error


def java_options() -> str:
    """Return the options with which a JVM runs the job on this machine."""
    return f"{JAVA_OPTIONS} {class_archive.options()}".strip()


def local_command(arguments: Sequence[str], work: Path) -> list[str]:
    """Return the command that runs a submission on this machine.

    Args:
        arguments: arguments of spark-submit, without options that only a cluster needs.
        work: folder for Spark's temporary files.
    """
    # Without these, a killed JVM leaves a file in /tmp.
    options = f"-XX:-UsePerfData -Djava.io.tmpdir={work} {java_options()}"
    return [
        str(ROOT / ".venv" / "bin" / "spark-submit"),
        *("--master", "local[*]"),
        *("--driver-memory", f"{driver_memory(_memory())}g"),
        *("--driver-java-options", options),
        *("--conf", f"spark.local.dir={work}"),
        *("--conf", f"spark.pyspark.python={PYTHON}"),
        *("--conf", "spark.ui.enabled=false"),
        *("--conf", "spark.driver.host=127.0.0.1"),
        *("--conf", "spark.driver.bindAddress=127.0.0.1"),
        *arguments,
    ]


def driver_memory(memory: int) -> int:
    """Return Spark's memory in GiB for a machine's memory in bytes: a quarter, but 2 to 8."""
    return min(8, max(2, memory // 4 // _GIB))


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@dataclass
class StepRun(ABC):
    """A running step, on whatever Spark.

    Attributes:
        access: to the cloud.
        metadata: the instance metadata service, which gives the job its credentials.
        arguments: the step's Args.
        folder: the step's folder, with `stdout` and `stderr` of spark-submit.
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
            StepError: the step cannot run here.
        """

    def poll(self) -> int | None:
        """Return spark-submit's exit status, or None while it runs."""
        return self._process.poll() if self._process else None

    def stop(self) -> None:
        """Stop spark-submit and its children, if it was started."""
        if self._process:
            self._process.stop()

    def submit(self, command: Sequence[str], environment: Mapping[str, str], work: Path) -> None:
        """Start a command as spark-submit.

        Args:
            command: program and arguments.
            environment: the complete environment.
            work: the working directory.
        """
        with (self.folder / "stdout").open("wb") as out, (self.folder / "stderr").open("wb") as err:
            self._process = SupervisedProcess(
                command, env=environment, cwd=work, stdout=out, stderr=err
            )

    def put_logs(self, bucket: str, prefix: str) -> None:
        """Upload spark-submit's output to S3, as `stdout.gz` and `stderr.gz` below a prefix."""
        s3 = node_s3(self.access, self.metadata)
        for name in ("stdout", "stderr"):
            body = gzip.compress(self.output(name).encode())
            s3.put_object(Bucket=bucket, Key=f"{prefix}{name}.gz", Body=body)

    def last_error(self) -> str:
        """Return the last error line of the job, as EMR does for a failed step.

        spark-submit writes the standard error of Python to its own standard output.
        """
        for name in ("stdout", "stderr"):
            lines = [line.strip() for line in self.output(name).splitlines()]
            # Lines of a Java stack begin so; they may contain class names such as SparkErrorUtils.
            lines = [line for line in lines if not line.startswith("at ")]
            if errors := [line for line in lines if re.search(r"Error|Exception", line)]:
                return errors[-1]
        return ""

    def output(self, name: str) -> str:
        """Return what spark-submit has written so far to `stdout` or `stderr`."""
        path = self.folder / name
        return path.read_text(errors="replace") if path.exists() else ""


class SparkStep(StepRun):
    """A step on the Spark of this machine; its folder also has `code/` and `work/`."""

    def start(self) -> None:
        """Download the code and start Spark; see `StepRun`."""
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
    """Return a client of S3 with the nodes' credentials."""
    found = metadata.credentials()
    node = replace(access, key=found.access_key, secret=found.secret_key, token=found.token)
    return node.client("s3")


def node_environment(access: Access, metadata: InstanceMetadata) -> dict[str, str]:
    """Return the environment of a node's processes; it contains no access keys."""
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
    """Use this machine as the nodes of a cluster. Bootstrap actions are not run.

    Args:
        request: the RunJobFlow request.
        access: to the cloud.
        metadata: the nodes' instance metadata service.
        folder: the nodes' folder.

    Yields:
        A function that makes a step from its Args and its folder.

    Raises:
        NodesError: a bootstrap action's script cannot be downloaded.
    """
    bootstrap_scripts(request, access, metadata, folder)
    yield lambda arguments, own: SparkStep(access, metadata, arguments, own)


def bootstrap_scripts(
    request: Mapping[str, Any], access: Access, metadata: InstanceMetadata, folder: Path
) -> list[Path]:
    """Download the scripts of a request's bootstrap actions, as a node does.

    Raises:
        NodesError: a script cannot be downloaded.
    """
    s3 = node_s3(access, metadata)
    actions = request.get("BootstrapActions", [])
    try:
        return [_download(each["ScriptBootstrapAction"]["Path"], s3, folder) for each in actions]
    except StepError as error:
        raise NodesError(f"On the master instance, bootstrap action 1 failed: {error}") from error
