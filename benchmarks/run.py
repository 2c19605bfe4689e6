"""Measures the job: against the tutorial's program, by shape, by number of executors."""

import argparse
import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks import kernels, model, peers, shapes
from benchmarks.jobs import CORES, COSINE_ALONE, DATA, MIN_RATERS, dataset, job, say, submit
from local.emr.step import JAVA_OPTIONS

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
REPORTS = DATA / "reports"  # a file per section; each can be measured again alone
CHECK = "20m"  # the shape that the cost model is checked on, and not fitted to
EXAMPLE = """examples:
  make bench                    the tutorial's program at 100k and 1m, the job at 1m and 10m
  make bench BENCH=--large      also the tutorial's program at 10m (half an hour) and the job at 32m
  make bench BENCH='--large --only shapes peers'      these sections again, the others as they were
"""


def main() -> None:
    """Measure, and write RESULTS.md."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--large",
        action="store_true",
        help="also the tutorial's program at 10m, and the job and its peers at 32m",
    )
    parser.add_argument("--times", type=int, default=3, metavar="N", help="runs per median")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=("tutorial", "peers", "shapes", "executors", "extras"),
        help="measure these sections alone and keep the others as they were",
    )
    options = parser.parse_args()
    times, large = options.times, options.large
    fitted = ["100k", "1m", "10m", *(["32m"] if large else [])]
    sections = {
        "tutorial": lambda: against_tutorial(["100k", "1m", *(["10m"] if large else [])], times),
        "peers": lambda: peers.report(["1m", "10m", *(["32m"] if large else [])], times),
        "shapes": lambda: by_shape(fitted, times),
        "executors": lambda: by_executors("10m", times),
        "extras": lambda: extras(["1m", *(["10m"] if large else [])], times),
    }
    REPORTS.mkdir(parents=True, exist_ok=True)
    runs = f"Medians of {times} runs." if times > 1 else "One run each."
    for name in options.only or sections:
        report = [*sections[name](), f"\n{runs}"]
        (REPORTS / f"{name}.md").write_text("\n".join(report) + "\n")
        reports = [REPORTS / f"{each}.md" for each in sections]  # the sections measured so far
        texts = [report.read_text() for report in reports if report.exists()]
        RESULTS.write_text("\n".join([_machine(), *texts]))
    say(f"written to {RESULTS.relative_to(ROOT)}")


def _machine() -> str:
    names = ("pyspark", "numpy", "pyarrow", "scipy")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        "# Benchmarks\n\nWritten by `make bench`. Generated tables in MovieLens' shapes, on a "
        "shared machine: read the ratios.\n\n"
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, {versions}."
    )


def against_tutorial(names: Sequence[str], times: int) -> list[str]:
    """The tutorial's program and the job, in turn, whole process against whole process."""
    report = [
        "\n## The job against the tutorial's program\n\nAll from text to Parquet, spark-submit to "
        "exit. By the cosine alone, the job also writes neighbours and titles; by default it "
        "computes all usual measures and judges itself. Java with its defaults for the tutorial's, "
        f"with {JAVA_OPTIONS} and an archive of classes for the job, as the local cloud starts it."
        "\n\n| shape | tutorial's program | job, cosine alone | ratio | job by default | ratio |\n"
        "|---|---|---|---|---|---|"
    ]
    program = ROOT / "benchmarks" / "tutorial.py"
    for name in names:
        folder, _ = dataset(name)
        taken: tuple[list[float], ...] = [], [], []
        for _ in range(times if name != "10m" else 1):
            arguments = str(folder), str(DATA / "tutorial")
            slow = submit(program, *arguments, options=("--master", f"local[{CORES}]"))
            every = slow, job(folder, 1, more=COSINE_ALONE)[0][0], job(folder, 1)[0][0]
            for seconds, measured in zip(taken, every, strict=True):
                seconds.append(measured.seconds)
        tutorial, cosine, default = map(statistics.median, taken)
        report.append(
            f"| {name} | {tutorial:.1f} s | {cosine:.1f} s | {tutorial / cosine:.1f} "
            f"| {default:.1f} s | {tutorial / default:.1f} |"
        )
    return report


def by_shape(names: Sequence[str], times: int) -> list[str]:
    """Seconds per stage, work, memory; and the cost model that is fitted to them."""
    report = [
        "\n## The job by shape\n\nBy the cosine alone. W: pairs of ratings of a user, summed. "
        "Memory: resident in JVM and Python at once; what processes share counts for each.\n\n"
        "| shape | wall | read | similarities | neighbours | pairs | W "
        "| s per 10⁹ W (similarities) | s per 10⁹ W (wall) | CPU | memory |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|"
    ]
    loads, seconds = [], []
    for name in [*names, CHECK]:
        folder, table = dataset(name)
        measured, manifests = job(folder, times, more=COSINE_ALONE)
        stages = {
            stage: statistics.median(each["timings"][stage] for each in manifests)
            for stage in model.STAGES
        }
        loads.append(_load(table))
        seconds.append(stages)
        wall = statistics.median(each.seconds for each in measured)
        cpu = statistics.median(each.cpu for each in measured)
        peak = max(each.peak for each in measured) / 2**30
        cells = " | ".join(f"{stages[stage]:.1f} s" for stage in model.STAGES)
        report.append(
            f"| {name} | {wall:.1f} s | {cells} | {manifests[0]['counts']['pairs']:,} "
            f"| {table.work / 1e9:.2f}·10⁹ | {stages['similarities'] / table.work * 1e9:.2f} "
            f"| {wall / table.work * 1e9:.2f} "
            f"| {cpu:.0f} s | {peak:.2f} GiB |"
        )
    return report + cost_model(names, loads, seconds)


def _load(table: shapes.Table) -> model.Load:
    _, raters = np.unique(table.movies, return_counts=True)
    compared = int((raters >= MIN_RATERS).sum())
    return model.Load(table.users.size, int(table.users.max()), compared, table.work)


def cost_model(
    names: Sequence[str], loads: Sequence[model.Load], seconds: Sequence[dict[str, float]]
) -> list[str]:
    """The model, fitted to all loads but the last, and what it says of the last."""
    rates = model.Rates(*kernels.rates(dataset("10m")[1]))
    constants = model.fit(loads[:-1], seconds[:-1], CORES, rates)
    predicted = model.predict(loads[-1], CORES, constants, rates)
    rows = [
        f"| {stage} | {predicted[stage]:.1f} s | {seconds[-1][stage]:.1f} s |"
        for stage in model.STAGES
    ]
    read, compute, write = (constants[stage] for stage in model.STAGES)
    return [
        f"\n## The cost model\n\nSee docs/scale.md. Fitted to {', '.join(names)}; core-seconds:\n",
        f"- read: {read[0]:.1f} + {read[1]:.0f} · ratings / 10⁹",
        f"- similarities: {compute[0]:.1f} + {compute[1]:.0f} · ratings · blocks / 10⁹, and the "
        f"kernel, measured by itself: {rates.work:.2f} · W / 10⁹ "
        f"+ {rates.sweep:.2f} · sums swept / 10⁹",
        f"- neighbours: {write[0]:.1f} + {write[1] / 1e6:.2f} · movies / 10³",
        f"\nChecked on {CHECK}, which it was not fitted to:\n\n"
        "| stage | the model says | measured |\n|---|---|---|",
        *rows,
        "\nWhat it says of larger loads with users as MovieLens' are (143 ratings each, "
        "W = 333 · ratings), on the default cluster:\n",
        *model.outlook(constants, rates),
    ]


def by_executors(name: str, times: int) -> list[str]:
    """One core each, separate processes; more executors than cores gain nothing."""
    folder, _ = dataset(name)
    report = [
        f"\n## Executors at {name}\n\nBy the cosine alone, on local-cluster, one core each, on "
        f"{os.cpu_count()} cores.\n\n"
        "| executors | wall | similarities | against one |\n|---|---|---|---|"
    ]
    first = 0.0
    for executors in (1, 2, 3):
        master = f"local-cluster[{executors},1,2048]"
        measured, manifests = job(folder, times, master, COSINE_ALONE)
        wall = statistics.median(each.seconds for each in measured)
        stage = statistics.median(each["timings"]["similarities"] for each in manifests)
        first = first or stage
        report.append(f"| {executors} | {wall:.1f} s | {stage:.1f} s | {first / stage:.2f} |")
    return report


def extras(names: Sequence[str], times: int) -> list[str]:
    """What the other measures cost, that a run judges itself, and similar users."""
    report = [
        "\n## What a run does besides\n\nThe job by the cosine alone, by all usual measures, "
        "judging itself by them (as it does), and also with 50 similar users of each user; "
        f"run in turn, {times} of each. The inversion is EASE's, which the ratio leaves out.\n\n"
        "| shape | cosine | all measures | inversion | ratio | judging itself | share of it "
        "| similar users besides | their stage |\n|---|---|---|---|---|---|---|---|---|"
    ]
    kinds = COSINE_ALONE, ("--test-users", "0"), (), ("--similar-users", "50")
    for name in names:
        folder, _ = dataset(name)
        taken: list[list[float]] = [[] for _ in kinds]
        ease, users = [], []
        for _ in range(times):
            timings = []
            for more, seconds in zip(kinds, taken, strict=True):
                measured, manifests = job(folder, 1, more=more)
                seconds.append(measured[0].seconds)
                timings.append(manifests[0]["timings"])
            ease.append(timings[1]["inversion"])
            users.append(timings[3]["similar_users"])
        cosine, every, judging, alike = map(statistics.median, taken)
        inversion = statistics.median(ease)
        report.append(
            f"| {name} | {cosine:.1f} s | {every:.1f} s | {inversion:.1f} s "
            f"| {(every - inversion) / cosine:.2f} | {judging:.1f} s "
            f"| {(judging - every) / judging:.0%} | {alike:.1f} s "
            f"| {statistics.median(users):.1f} s |"
        )
    return report


if __name__ == "__main__":
    main()
