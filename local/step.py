"""One step of a cluster: its own spark-submit, run by the Spark of this machine.

What stands at the s3:// URIs of its arguments is staged to disk, and what the job writes there goes
back to S3 afterwards, in the order in which it was written, the manifest last.
"""

import gzip
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from local.access import clean_environment
from local.guard import Guarded
from local.java import ROOT, java_home

PYTHON = ROOT / ".venv" / "bin" / "python"
MANIFEST = "manifest.json"
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1"  # a job of seconds ends before C2 has compiled anything

_S3_URI = re.compile(r"s3://([^/,#\s]+)/([^,#]*)")
_GIB = 2**30
# What only a cluster has: where it runs, how many machines, how large.
_CLUSTER_OPTIONS = frozenset(
    {"--deploy-mode", "--master", "--num-executors", "--executor-memory", "--executor-cores"}
    | {"--driver-memory", "--driver-cores"}
    | {"--archives"}  # the executors' dependencies: .venv has them, from the same lock
)
_CLUSTER_SETTING = re.compile(
    r"spark\.(driver|executor)\.(memory|memoryOverhead|cores|instances)="
    r"|spark\.(default\.parallelism|master|submit\.deployMode|local\.dir)="
    r"|spark\.pyspark\.(driver\.)?python="
    r"|.*\.PYSPARK_(DRIVER_)?PYTHON="
)


class StepError(Exception):
    """A step that cannot be run as it is; the message is what EMR would report."""


def submitted(arguments: Sequence[str]) -> list[str]:
    """What a step submits: its Args without `spark-submit` and without what only a cluster has.

    Raises:
        StepError: it is no spark-submit.
    """
    program, *rest = arguments or [""]
    if program != "spark-submit":
        raise StepError(f"the local cloud runs spark-submit only, not {program!r}")
    kept: list[str] = []
    while len(rest) >= 2 and rest[0].startswith("--"):
        option, value, *rest = rest
        if not (
            option in _CLUSTER_OPTIONS or (option == "--conf" and _CLUSTER_SETTING.match(value))
        ):
            kept += [option, value]
    return kept + rest


def local_command(arguments: Sequence[str], work: Path) -> list[str]:
    """The command of this machine for what a step submits.

    Args:
        arguments: from `submitted`, their s3:// URIs replaced by paths.
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
class Staging:
    """A folder that holds parts of S3 as `<bucket>/<key>`.

    Attributes:
        s3: client.
        folder: where the parts stand.
        known: the files as S3 has them, with their time in ns and size.
    """

    s3: Any
    folder: Path
    known: dict[Path, tuple[int, int]]

    @classmethod
    def empty(cls, s3: Any, folder: Path) -> "Staging":
        """A staging with nothing in it yet."""
        folder.mkdir(parents=True)
        return cls(s3, folder, {})

    def fetch(self, argument: str) -> str:
        """An argument with each s3:// URI replaced by the path where its objects now stand."""
        return _S3_URI.sub(lambda found: self._fetch(found[1], found[2]), argument)

    def _fetch(self, bucket: str, prefix: str) -> str:
        base = prefix.rstrip("/")
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=base)
        for page in pages:
            for item in page.get("Contents", []):
                key = item["Key"]
                if (key == base or key.startswith(f"{base}/")) and not key.endswith("/"):
                    self._download(bucket, key)
        path = self._path(bucket, base)
        if prefix.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        return f"{path}/" if prefix.endswith("/") else str(path)

    def _download(self, bucket: str, key: str) -> None:
        path = self._path(bucket, key)
        if path in self.known:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        self.s3.download_file(bucket, key, str(path))
        self.known[path] = _mark(path)

    def _path(self, bucket: str, key: str) -> Path:
        if ".." in PurePosixPath(key).parts:
            raise StepError(f"s3://{bucket}/{key} cannot be staged to disk")
        return self.folder / bucket / key

    def put_back(self) -> None:
        """Make S3 what the folder has become: what is new, oldest first and the manifest last."""
        there = {path: _mark(path) for path in self.folder.rglob("*") if _is_output(path)}
        written = [path for path, mark in there.items() if self.known.get(path) != mark]
        for path in self.known.keys() - there.keys():
            self.s3.delete_object(**self._object(path))
        for path in sorted(written, key=lambda path: (path.name == MANIFEST, *there[path], path)):
            self.s3.upload_file(Filename=str(path), **self._object(path))
        self.known = there

    def _object(self, path: Path) -> dict[str, str]:
        bucket, *key = path.relative_to(self.folder).parts
        return {"Bucket": bucket, "Key": "/".join(key)}


def _mark(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


def _is_output(path: Path) -> bool:
    """Whether a file is one that S3 would have, and not a trace of how it comes onto a disk."""
    hidden = path.name == "_SUCCESS" or path.name.startswith(".")
    return path.is_file() and not hidden and "_temporary" not in path.parts


@dataclass
class SparkStep:
    """A step being run.

    Attributes:
        s3: client.
        arguments: the step's Args.
        folder: its own; it has `staging/`, `work/`, `stdout`, `stderr`.
    """

    s3: Any
    arguments: Sequence[str]
    folder: Path

    def start(self) -> None:
        """Stage the arguments' objects and start Spark.

        Raises:
            StepError: it is not a step that can be run here.
        """
        work = self.folder / "work"
        work.mkdir(parents=True)
        self._staging = Staging.empty(self.s3, self.folder / "staging")
        arguments = [self._staging.fetch(argument) for argument in submitted(self.arguments)]
        environment = clean_environment() | {
            "JAVA_HOME": str(java_home()),
            "PYSPARK_PYTHON": str(PYTHON),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_LAUNCHER_OPTS": "-XX:-UsePerfData",
            "TMPDIR": str(work),
        }
        with (self.folder / "stdout").open("wb") as out, (self.folder / "stderr").open("wb") as err:
            self._process = Guarded(
                local_command(arguments, work), env=environment, cwd=work, stdout=out, stderr=err
            )

    def poll(self) -> int | None:
        """Spark's exit status, or None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """End Spark."""
        self._process.stop()

    def finish(self) -> None:
        """Bring to S3 what the job wrote; a failed one too has written something."""
        self._process.stop()
        self._staging.put_back()

    def put_logs(self, bucket: str, prefix: str) -> None:
        """Bring Spark's output to S3, as `stdout.gz` and `stderr.gz` below a prefix."""
        for name in ("stdout", "stderr"):
            path = self.folder / name
            text = path.read_bytes() if path.exists() else b""
            self.s3.put_object(Bucket=bucket, Key=f"{prefix}{name}.gz", Body=gzip.compress(text))

    def last_error(self) -> str:
        """The last line with which the job complained, as EMR shows it of a failed step.

        spark-submit writes what Python says on standard error to its own standard output.
        """
        for name in ("stdout", "stderr"):
            path = self.folder / name
            lines = path.read_text(errors="replace").splitlines() if path.exists() else []
            telling = [line.strip() for line in lines if re.search(r"Error|Exception", line)]
            if telling:
                return telling[-1]
        return ""
