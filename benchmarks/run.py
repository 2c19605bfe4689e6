"""Measures the job: against the tutorial's program, by shape, by number of executors."""

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "spark")]

from benchmarks import kernels, shapes  # noqa: E402
from benchmarks.measured import Measured, run  # noqa: E402
from local.java import java_home  # noqa: E402
from local.step import JAVA_OPTIONS  # noqa: E402

DATA = ROOT / "data" / "benchmarks"
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
STAGES = ("read", "similarities", "neighbours")
EXAMPLE = """examples:
  make bench                    the tutorial's program at 100k and 1m, the job at 1m and 10m
  make bench BENCH=--large      also the tutorial's program at 10m (half an hour) and the job at 32m
"""


def main() -> None:
    """Measure, and write RESULTS.md."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/run.py",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--large", action="store_true", help="10m for the tutorial's, 32m for both")
    parser.add_argument("--times", type=int, default=3, metavar="N", help="medians of so many runs")
    options = parser.parse_args()
    report = [_machine(options.times)]
    report += against_tutorial(["100k", "1m", *(["10m"] if options.large else [])], options.times)
    report += by_shape(["1m", "10m", *(["32m"] if options.large else [])], options.times)
    report += bare_kernel("10m", options.times)
    report += by_executors("10m", options.times)
    RESULTS.write_text("\n".join(report) + "\n")
    _say(f"written to {RESULTS.relative_to(ROOT)}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _machine(times: int) -> str:
    names = ("pyspark", "numpy", "numba", "pyarrow", "scipy")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        "# Benchmarks\n\nWritten by `make bench`. Generated tables in MovieLens' shapes; "
        f"medians of {times} runs on a shared machine: read the ratios.\n\n"
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, {versions}."
    )


def dataset(name: str) -> tuple[Path, shapes.Table]:
    """The folder of a shape, which is written if need be, and its table."""
    _say(f"{name}: generating")
    table = shapes.make(shapes.SHAPES[name])
    folder = DATA / name
    if not (folder / "movies.dat").exists():
        shapes.write(table, folder)
    return folder, table


def submit(program: Path, *arguments: str, options: Sequence[str]) -> Measured:
    """Run a program with spark-submit."""
    command = [
        str(ROOT / ".venv" / "bin" / "spark-submit"),
        *("--driver-memory", "4g", "--conf", "spark.ui.enabled=false"),
        *("--conf", "spark.driver.host=127.0.0.1", *options, str(program), *arguments),
    ]
    environment = {
        "JAVA_HOME": str(java_home()),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    measured = run(command, environment)
    _say(f"{program.name} {' '.join(arguments[:2])}: {measured.seconds:.1f} s")
    return measured


def job(folder: Path, times: int, master: str = "local[2]") -> tuple[list[Measured], list[dict]]:
    """Run the job some times; what it took, and its manifests."""
    measured, manifests = [], []
    options = "--master", master, "--driver-java-options", JAVA_OPTIONS
    for _ in range(times):
        output = DATA / "result"
        program = ROOT / "spark" / "similarity_job.py"
        arguments = "--dataset", str(folder), "--output", str(output)
        measured.append(submit(program, *arguments, options=options))
        manifests.append(json.loads((output / "manifest.json").read_text()))
    return measured, manifests


def against_tutorial(names: Sequence[str], times: int) -> list[str]:
    """The tutorial's program and the job, in turn, whole process against whole process."""
    report = [
        "\n## The job against the tutorial's program\n\nBoth from text to Parquet, spark-submit to "
        "exit; the job also writes neighbours and titles. Java with its defaults for the "
        f"tutorial's, with {JAVA_OPTIONS} for the job, as the local cloud starts it.\n\n"
        "| shape | tutorial's program | job | ratio |\n|---|---|---|---|"
    ]
    for name in names:
        folder, _ = dataset(name)
        slow, fast = [], []
        for _ in range(times if name != "10m" else 1):
            program = ROOT / "benchmarks" / "tutorial.py"
            arguments = str(folder), str(DATA / "tutorial")
            slow.append(submit(program, *arguments, options=("--master", "local[2]")).seconds)
            fast.append(job(folder, 1)[0][0].seconds)
        one, two = statistics.median(slow), statistics.median(fast)
        report.append(f"| {name} | {one:.1f} s | {two:.1f} s | {one / two:.1f} |")
    return report


def by_shape(names: Sequence[str], times: int) -> list[str]:
    """Seconds per stage, work, memory."""
    report = [
        "\n## The job by shape\n\nW: pairs of ratings of a user, summed. Memory: resident in JVM "
        "and Python at once; what processes share counts for each.\n\n"
        "| shape | wall | read | similarities | neighbours | pairs | W "
        "| s per 10⁹ W (similarities) | CPU | memory |\n|---|---|---|---|---|---|---|---|---|---|"
    ]
    for name in names:
        folder, table = dataset(name)
        measured, manifests = job(folder, times)
        stages = {
            stage: statistics.median(each["timings"][stage] for each in manifests)
            for stage in STAGES
        }
        wall = statistics.median(each.seconds for each in measured)
        cpu = statistics.median(each.cpu for each in measured)
        peak = max(each.peak for each in measured) / 2**30
        cells = " | ".join(f"{stages[stage]:.1f} s" for stage in STAGES)
        report.append(
            f"| {name} | {wall:.1f} s | {cells} | {manifests[0]['counts']['pairs']:,} "
            f"| {table.work / 1e9:.2f}·10⁹ | {stages['similarities'] / table.work * 1e9:.2f} "
            f"| {cpu:.0f} s | {peak:.2f} GiB |"
        )
    return report


def bare_kernel(name: str, times: int) -> list[str]:
    """The kernel against libraries, same data, same two threads, without any input or output."""
    _, table = dataset(name)
    report = [
        f"\n## The bare kernel at {name}\n\nTwo threads, no input or output. SciPy's three "
        "products are the same sums (it has one thread); the others compute one product, a cosine "
        "over whole columns: less.\n",
        "| method | computes | seconds | s per 10⁹ W | times the kernel |\n|---|---|---|---|---|",
    ]
    taken = {method: [] for method in kernels.METHODS}
    for _ in range(times):
        for method, (_, function) in kernels.METHODS.items():
            taken[method].append(function(table))
            _say(f"{method}: {taken[method][-1]:.1f} s")
    medians = {method: statistics.median(seconds) for method, seconds in taken.items()}
    ours = medians["kernel"]
    for method, (what, _) in kernels.METHODS.items():
        seconds = medians[method]
        per_work, times_as_fast = seconds / table.work * 1e9, seconds / ours
        cells = method, what, f"{seconds:.1f}", f"{per_work:.2f}", f"{times_as_fast:.1f}"
        report.append(f"| {' | '.join(cells)} |")
    return report


def by_executors(name: str, times: int) -> list[str]:
    """One core each, separate processes; more executors than cores gain nothing."""
    folder, _ = dataset(name)
    report = [
        f"\n## Executors at {name}\n\nlocal-cluster, one core each, on {os.cpu_count()} cores.\n\n"
        "| executors | wall | similarities | against one |\n|---|---|---|---|"
    ]
    first = 0.0
    for executors in (1, 2, 3):
        measured, manifests = job(folder, times, f"local-cluster[{executors},1,2048]")
        wall = statistics.median(each.seconds for each in measured)
        stage = statistics.median(each["timings"]["similarities"] for each in manifests)
        first = first or stage
        report.append(f"| {executors} | {wall:.1f} s | {stage:.1f} s | {first / stage:.2f} |")
    return report


if __name__ == "__main__":
    main()
