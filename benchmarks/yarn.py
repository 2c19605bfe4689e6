"""Measures the job on a real YARN of three m5.xlarge's size against local Spark: time and memory.

S3 is Versity's gateway over folders on disk, for the emulator's is one Python process and would be
measured instead: `go install github.com/versity/versitygw/cmd/versitygw@latest`.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from benchmarks.jobs import dataset, job
from launcher.cluster_request import BOOTSTRAP, JOB, PACKAGE, ClusterSettings, cluster_request
from launcher.containers import Containers, containers
from launcher.job_package import JOB_FOLDER, package
from local.access import REGION, Access, clean_environment
from local.cloud import free_ports
from local.emr.metadata import Credentials, InstanceMetadata
from local.supervised import SupervisedProcess
from local.yarn.nodes import Yarn, yarn_nodes
from s3_keys import code_prefix, environment_key, input_prefix, run_prefix
from tools.function_environment import RESULTS, set_environment
from tools.job_archive import ensure_archive, locked_sha256

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")
REPORT = ROOT / "benchmarks" / "YARN.md"
RUN_ID = "20261123T120500000Z-5f2a9c01"
EVERY = 0.3  # seconds between two looks at memory
KEY, SECRET = "benchmark", "benchmark-of-the-job"
EXAMPLE = """examples:
  python -m benchmarks.yarn --server ~/go/bin/versitygw               the shape of ml-10M100K
  python -m benchmarks.yarn --server ~/go/bin/versitygw --shape 1m --times 1
"""
_CONTAINER = re.compile(r"/(container_\w+)")

type YarnRun = tuple[float, dict[str, float], Mapping[str, tuple[int, int]]]


@dataclass
class Memory:
    """Watches what the containers of a YARN have resident.

    Attributes:
        yarn: it.
        peaks: of each container bytes at most: of all its processes at once, and of its JVM.
    """

    yarn: Yarn
    peaks: dict[str, tuple[int, int]] = field(default_factory=lambda: defaultdict(lambda: (0, 0)))
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch until the block ends."""
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _watch(self) -> None:
        while not self._over.wait(EVERY):
            now: dict[str, list[int]] = defaultdict(lambda: [0, 0])
            for node in self.yarn.nodes:
                for process in node.processes():
                    try:
                        found = _CONTAINER.search(process.cwd())
                        resident, name = process.memory_info().rss, process.name()
                    except psutil.Error:
                        continue
                    if found:
                        now[found[1]][0] += resident
                        now[found[1]][1] += resident if name == "java" else 0
            for container, (whole, java) in now.items():
                most, most_java = self.peaks[container]
                self.peaks[container] = max(most, whole), max(most_java, java)


@contextmanager
def object_store(program: Path, folder: Path) -> Iterator[Access]:
    """S3 over a folder, on loopback."""
    (port,) = free_ports(1)
    meta = folder.parent / "metadata"
    meta.mkdir(exist_ok=True)
    command = [str(program), "--port", f"127.0.0.1:{port}", "--access", KEY, "--secret", SECRET]
    command += ["--region", REGION, "--quiet", "--keep-alive"]
    command += ["posix", "--sidecar", str(meta), "--default-etag", "unknown", str(folder)]
    with (folder.parent / "s3.log").open("wb") as log:
        process = SupervisedProcess(command, env=clean_environment(), cwd=folder, stdout=log)
    try:
        yield Access(f"http://127.0.0.1:{port}", "", SECRET, KEY)
    finally:
        process.stop()


def credentials() -> Credentials:
    """The server's only key, as a node would be given it."""
    now = datetime.now(UTC)
    return Credentials("benchmark", KEY, SECRET, "", now, now + timedelta(hours=6))


def launch_settings() -> ClusterSettings:
    """What the launcher's function would ask for."""
    set_environment()
    from launcher.handler import settings  # reads the environment

    return settings


def prepare(bucket: Path, folder: Path) -> None:
    """Put on S3 what the launcher puts there: the data set, the code, the archive."""
    shutil.rmtree(bucket, ignore_errors=True)
    files = {
        input_prefix(RUN_ID) + path.name: path for path in folder.iterdir() if path.is_file()
    } | {
        environment_key(locked_sha256()): ensure_archive(),
        **{code_prefix(RUN_ID) + name: JOB_FOLDER / name for name in (JOB, BOOTSTRAP)},
    }
    for key, path in files.items():
        target = bucket / key
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (bucket / code_prefix(RUN_ID) / PACKAGE).write_bytes(package())


def on_yarn(program: Path, folder: Path, scratch: Path) -> YarnRun:
    """Run the job as the launcher asks for it.

    Returns:
        Seconds from spark-submit's start to its end, of each stage, and the containers' peaks.

    Raises:
        RuntimeError: it failed; the message is the end of what it said.
    """
    settings = launch_settings()
    bucket = scratch / "s3" / RESULTS
    prepare(bucket, folder)
    request = cluster_request(settings, RUN_ID, (folder / "ratings.dat").stat().st_size)
    nodes = scratch / "nodes"
    with (
        object_store(program, bucket.parent) as access,
        InstanceMetadata(credentials) as metadata,
        yarn_nodes(request, access, metadata, nodes) as (yarn, make),
    ):
        memory = Memory(yarn)
        step = make(request["Steps"][0]["HadoopJarStep"]["Args"], scratch / "step")
        start = time.monotonic()
        with memory.watched():
            step.start()
            while step.poll() is None:
                time.sleep(EVERY)
        seconds = time.monotonic() - start
        if step.poll():
            driver = next(nodes.glob("node*/logs/*/container_*_000001/stdout"), None)
            raise RuntimeError(
                step.output("stderr")[-1500:] + (driver.read_text()[-3000:] if driver else "")
            )
        manifest = json.loads((bucket / run_prefix(RUN_ID) / "manifest.json").read_text())
    shutil.rmtree(nodes)
    shutil.rmtree(scratch / "step")
    return seconds, manifest["timings"], dict(memory.peaks)


def main() -> int:
    """Measure, and write YARN.md; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.yarn",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--server", type=Path, required=True, metavar="PATH", help="versitygw")
    parser.add_argument("--shape", default="10m", help="of benchmarks/shapes.py; default 10m")
    parser.add_argument("--times", type=int, default=3, metavar="N", help="runs per median")
    options = parser.parse_args()
    folder, _ = dataset(options.shape)
    runs, local = [], []
    with tempfile.TemporaryDirectory(prefix="similar-titles-yarn-") as scratch:
        for number in range(options.times):
            runs.append(on_yarn(options.server.absolute(), folder, Path(scratch) / str(number)))
            print(f"on YARN: {runs[-1][0]:.1f} s", file=sys.stderr)
            measured, manifests = job(folder, 1)
            local.append((measured[0].seconds, manifests[0]["timings"]))
    settings = launch_settings()
    sized = containers(settings.instance_type, settings.core_nodes)
    REPORT.write_text(report(options.shape, runs, local, sized))
    print(f"written: {REPORT.relative_to(ROOT)}", file=sys.stderr)
    return 0


def report(
    shape: str,
    runs: Sequence[YarnRun],
    local: Sequence[tuple[float, dict[str, float]]],
    sized: Containers,
) -> str:
    """The page: medians of the stages, the largest peaks of all runs."""
    workers = sized.executors * sized.executor_cores
    lines = [
        "# The job on YARN",
        "",
        "Written by `benchmarks/yarn.py`: a ResourceManager and three NodeManagers of an "
        f"m5.xlarge's size with {workers} Python workers on one machine of {os.cpu_count()} cores, "
        "submitted as the launcher asks for it, encrypted; S3 is versitygw over folders on disk. "
        "Beside it the same job on local Spark, a task at once for each core. The default measures "
        "on the shape "
        f"{shape}; medians of {len(runs)} runs of each in turn.",
        "",
        "| seconds | YARN | local Spark | ratio |",
        "|---|---:|---:|---:|",
    ]
    stages = [*local[0][1]]
    for name in ["whole", *stages]:
        one, other = (
            statistics.median(each[0] if name == "whole" else each[1].get(name, 0.0) for each in of)
            for of in (runs, local)
        )
        ratio = f"{one / other:.1f}" if other >= 0.1 else ""
        lines.append(f"| {name} | {one:.1f} | {other:.1f} | {ratio} |")
    lines += [
        "",
        "What the containers have resident at most, of all runs; memory that processes of a "
        "container share counts once for each, as YARN counts it.",
        "",
        "| container | GiB | of which the JVM | limit | to spare |",
        "|---|---:|---:|---:|---:|",
    ]
    for kind, limit in (("driver", sized.driver), ("executor", sized.executor)):
        peaks = [
            peak
            for _, _, of in runs
            for name, peak in of.items()
            if name.endswith("_000001") is (kind == "driver")
        ]
        whole, java = max(each[0] for each in peaks), max(each[1] for each in peaks)
        spare = 1 - whole / (limit * 2**20)
        lines.append(
            f"| {kind} | {whole / 2**30:.2f} | {java / 2**30:.2f} | {limit / 2**10:.2f} | "
            f"{spare:.0%} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
