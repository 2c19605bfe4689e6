"""Runs the job with spark-submit on tables of a shape, which are written if need be."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import shapes
from benchmarks.measured import Measured, run
from local.emr.step import JAVA_OPTIONS, PYTHON
from tools.java import java_home
from tools.paths import ROOT

DATA = ROOT / "data" / "benchmarks"
CORES = 2  # of `local[2]`


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, file=sys.stderr, flush=True)


def dataset(name: str) -> tuple[Path, shapes.Table]:
    """The folder of a shape, which is written if need be, and its table."""
    say(f"{name}: generating")
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
        "PYTHONPATH": str(ROOT),
        "PYSPARK_PYTHON": str(PYTHON),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    measured = run(command, environment)
    say(f"{program.name} {' '.join(arguments[:2])}: {measured.seconds:.1f} s")
    return measured


def job(
    folder: Path, times: int, master: str = f"local[{CORES}]", more: Sequence[str] = ()
) -> tuple[list[Measured], list[dict]]:
    """Run the job some times, perhaps with more arguments; what it took, and its manifests."""
    measured, manifests = [], []
    options = "--master", master, "--driver-java-options", JAVA_OPTIONS
    for _ in range(times):
        output = DATA / "result"
        program = ROOT / "spark" / "similarity_job.py"
        arguments = "--dataset", str(folder), "--output", str(output), *more
        measured.append(submit(program, *arguments, options=options))
        manifests.append(json.loads((output / "manifest.json").read_text()))
    return measured, manifests
