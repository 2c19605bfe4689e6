"""The notebook: opened in JupyterLab, executed, rendered into docs/, and kept without outputs.

What imports JupyterLab's packages is called in .venv-notebook only; .venv can execute.
"""

import io
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

from local.emr.step import PYTHON, local_command
from tools.command_line import HELP_OPTIONS, errors_as_exit_status, examples
from tools.data_sets import NoDataSetError, folder_of
from tools.java import NoJavaError, java_home
from tools.paths import ROOT

NOTEBOOK = ROOT / "notebooks" / "similar_titles.ipynb"
RENDERED = ROOT / "docs" / "notebook.md"
IMAGES = "images/notebook"  # beside the rendered copy
COLOURS = 64  # a plot needs no more, and its file is a third
CELL_SECONDS = 3600
# Of a laptop's data; Spark's 200 are for clusters. Its progress bars and warnings fill the outputs.
SETTINGS = {"spark.sql.shuffle.partitions": "8", "spark.ui.showConsoleProgress": "false"}
LOGGING = """rootLogger.level = error
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n%ex
"""
HEADING = """<!-- Made by `make pictures` from notebooks/similar_titles.ipynb. -->

"""


def environment(dataset: Path, movie: str | None, work: Path) -> dict[str, str]:
    """What the notebook's kernel needs on this machine: a Java, a local Spark, a data set.

    Args:
        dataset: a MovieLens folder.
        movie: title of the movie that is looked at; the notebook's own choice if not given.
        work: a folder for Spark's temporary files and its configuration.
    """
    (work / "log4j2.properties").write_text(LOGGING)
    settings = [f"--conf={name}={value}" for name, value in SETTINGS.items()]
    spark = [*local_command([], work)[1:], *settings]
    needed = {
        "JAVA_HOME": str(java_home()),
        "PYSPARK_PYTHON": str(PYTHON),
        "PYSPARK_SUBMIT_ARGS": shlex.join([*spark, "pyspark-shell"]),
        "SPARK_CONF_DIR": str(work),
        "SPARK_LAUNCHER_OPTS": "-XX:-UsePerfData",
        "SPARK_LOCAL_IP": "127.0.0.1",
        "IPYTHONDIR": str(work / "ipython"),
        "TMPDIR": str(work),
        "DATASET": str(dataset),
    }
    return {**os.environ, **needed} | ({"MOVIE": movie} if movie else {})


def executed(environment: Mapping[str, str]) -> NotebookNode:
    """The notebook with its outputs, executed from the first cell to the last.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
    # Over sockets in the kernel's own folder: nobody else on this machine reads along.
    path = f"{environment['TMPDIR']}/kernel"
    kernel = AsyncKernelManager(transport="ipc", ip=path, connection_file=f"{path}.json")
    client = NotebookClient(notebook, kernel, timeout=CELL_SECONDS, resources=resources)
    return client.execute(env=dict(environment))


def stripped(notebook: NotebookNode) -> NotebookNode:
    """The notebook as it is committed: cells, and nothing of where and when they were run."""
    kept = {"cell_type", "id", "source"}
    cells = []
    for cell in notebook.cells:
        empty: dict[str, Any] = (
            {"execution_count": None, "outputs": []} if cell.cell_type == "code" else {}
        )
        cells.append({name: cell[name] for name in kept} | {"metadata": {}} | empty)
    about = {name: notebook.metadata.kernelspec[name] for name in ("display_name", "name")}
    return nbformat.from_dict(
        {
            "cells": cells,
            "metadata": {"kernelspec": about | {"language": "python"}},
            "nbformat": notebook.nbformat,
            "nbformat_minor": notebook.nbformat_minor,
        }
    )


def strip() -> None:
    """Take the outputs away from the notebook's file."""
    notebook = stripped(nbformat.read(NOTEBOOK, as_version=4))
    nbformat.write(notebook, NOTEBOOK)


def open_in_lab(environment: Mapping[str, str]) -> int:
    """Let a person work with the notebook until they stop JupyterLab; returns its exit status."""
    lab = [sys.executable, "-m", "jupyterlab", "--ServerApp.ip=127.0.0.1", str(NOTEBOOK)]
    try:
        return subprocess.run(lab, env=environment).returncode
    finally:
        strip()


def render(environment: Mapping[str, str]) -> None:
    """Execute the notebook and write it with its outputs as docs/notebook.md and images."""
    from nbconvert import MarkdownExporter
    from nbconvert.preprocessors import CoalesceStreamsPreprocessor

    notebook = executed(environment)
    for cell in notebook.cells:  # what Java and Spark say of themselves, and the job's progress
        if cell.cell_type == "code":
            cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]
    resources = {"output_files_dir": IMAGES, "unique_key": "plot"}
    exporter = MarkdownExporter(preprocessors=[CoalesceStreamsPreprocessor])
    text, found = exporter.from_notebook_node(notebook, resources)
    folder = RENDERED.parent / IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    for name, content in found["outputs"].items():
        picture = Image.open(io.BytesIO(content)).convert("RGB").quantize(COLOURS)
        picture.save(RENDERED.parent / name, optimize=True)
    tidy = "\n".join(line.rstrip() for line in text.splitlines())
    RENDERED.write_text(f"{HEADING}{tidy.strip()}\n".replace("](../docs/", "]("))


@contextmanager
def prepared(dataset: str, movie: str | None = None) -> Iterator[dict[str, str]]:
    """The environment of the notebook's kernel, whose temporary files go when the block ends."""
    folder = folder_of(dataset)
    with tempfile.TemporaryDirectory(prefix="similar-titles-") as work:
        yield environment(folder, movie, Path(work))


@click.group(
    context_settings=HELP_OPTIONS,
    epilog=examples("python -m pictures.notebook open", "python -m pictures.notebook render"),
)
def cli() -> None:
    """Open, render or clean notebooks/similar_titles.ipynb."""


@cli.command(
    "open",
    epilog=examples(
        'python -m pictures.notebook open --dataset ml-latest-small --movie "Heat (1995)"'
    ),
)
@click.option("--dataset", default="sample", show_default=True, help="As `make demo` takes it.")
@click.option("--movie", help="Title of the movie that the notebook shows.")
@errors_as_exit_status(NoDataSetError, NoJavaError)
def open_command(dataset: str, movie: str | None) -> None:
    """Open the notebook in JupyterLab."""
    with prepared(dataset, movie) as kernel:
        raise click.exceptions.Exit(open_in_lab(kernel))


@cli.command("render", epilog=examples("python -m pictures.notebook render"))
@errors_as_exit_status(NoDataSetError, NoJavaError)
def render_command() -> None:
    """Execute the notebook on the sample and write it to docs/notebook.md."""
    with prepared("sample") as kernel:
        render(kernel)


@cli.command("strip", epilog=examples("python -m pictures.notebook strip"))
def strip_command() -> None:
    """Remove the outputs from the notebook's file."""
    strip()


if __name__ == "__main__":
    cli(prog_name="python -m pictures.notebook")
