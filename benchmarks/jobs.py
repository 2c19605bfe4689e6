"""Runs the job with spark-submit on tables of a shape, which are written if need be."""

import json
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks import shapes
from benchmarks.measured import NO_LIMITS, Limits, Measured, run
from local.emr.step import PYTHON, java_options
from tools.paths import ROOT
from tools.setup.java import java_home

DATA = ROOT / "data" / "benchmarks"
CORES = 2  # of `local[2]`
MIN_RATERS = 10  # of a movie that can be in a pair, by the job's defaults
# The tutorial's work and no more: what the job does besides has a section of its own.
COSINE_ALONE = ("--measures", "cosine", "--test-users", "0")
DRIVER_MEMORY = "4g"
# For libraries that would take all cores; they are imported after these are set.
THREADS = {f"{library}_NUM_THREADS": str(CORES) for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")}


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, file=sys.stderr, flush=True)


@cache  # drawing the largest takes minutes
def dataset(name: str) -> tuple[Path, shapes.Table]:
    """The folder of a shape, which is written if need be, and its table."""
    say(f"{name}: generating")
    table = shapes.make(shapes.SHAPES[name])
    folder = DATA / name
    if not (folder / "movies.dat").exists():
        shapes.write(table, folder)
    return folder, table


def submit(
    program: Path, *arguments: str, options: Sequence[str], limits: Limits = NO_LIMITS
) -> Measured:
    """Run a program with spark-submit."""
    command = [
        str(ROOT / ".venv" / "bin" / "spark-submit"),
        *("--driver-memory", DRIVER_MEMORY, "--conf", "spark.ui.enabled=false"),
        *("--conf", "spark.driver.host=127.0.0.1", *options, str(program), *arguments),
    ]
    environment = THREADS | {
        "JAVA_HOME": str(java_home()),
        "PYTHONPATH": str(ROOT),
        "PYSPARK_PYTHON": str(PYTHON),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    measured = run(command, environment, limits)
    say(f"{program.name} {' '.join(arguments[:2])}: {measured.seconds:.1f} s")
    return measured


def job(
    folder: Path,
    times: int,
    master: str = f"local[{CORES}]",
    more: Sequence[str] = (),
    limits: Limits = NO_LIMITS,
) -> tuple[list[Measured], list[dict[str, Any]]]:
    """Run the job some times, perhaps with more arguments; what it took, and its manifests."""
    measured, manifests = [], []
    options = "--master", master, "--driver-java-options", java_options()
    for _ in range(times):
        output = DATA / "result"
        program = ROOT / "spark" / "similarity_job.py"
        arguments = "--dataset", str(folder), "--output", str(output), *more
        measured.append(submit(program, *arguments, options=options, limits=limits))
        manifests.append(json.loads((output / "manifest.json").read_text()))
    return measured, manifests
