"""Opens, executes and renders the notebook, and removes its outputs.

Opening and rendering need .venv-notebook, which has JupyterLab's packages; .venv can execute.
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
from tools.command_line import HELP_OPTIONS, errors_as_exit_status, module_examples
from tools.data_sets import NoDataSetError, folder_of
from tools.paths import ROOT
from tools.setup.java import NoJavaError, java_home

NOTEBOOK = ROOT / "notebooks" / "similar_titles.ipynb"
RENDERED = ROOT / "docs" / "notebook.md"
ENVIRONMENT = ".venv-notebook"
IMAGES = "images/notebook"  # next to the rendered copy
COLOURS = 64  # enough for a plot, at a third of the size
CELL_SECONDS = 3600
# Spark's 200 partitions are for clusters; its progress bars would fill the outputs.
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
    """Return the environment of the notebook's kernel: Java, local Spark, and the data set.

    Args:
        dataset: a MovieLens folder.
        movie: title of the movie to show; by default the notebook's own choice.
        work: folder for Spark's temporary files and configuration.
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
    """Execute the notebook from the first cell to the last and return it with its outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
    # Sockets in the kernel's own folder: no other user of this machine can read them.
    path = f"{environment['TMPDIR']}/kernel"
    kernel = AsyncKernelManager(transport="ipc", ip=path, connection_file=f"{path}.json")
    client = NotebookClient(notebook, kernel, timeout=CELL_SECONDS, resources=resources)
    return client.execute(env=dict(environment))


def stripped(notebook: NotebookNode) -> NotebookNode:
    """Return the notebook as it is committed: the cells, without outputs and metadata."""
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
    """Remove the outputs from the notebook's file."""
    notebook = stripped(nbformat.read(NOTEBOOK, as_version=4))
    nbformat.write(notebook, NOTEBOOK)


def open_in_lab(environment: Mapping[str, str]) -> int:
    """Run JupyterLab until the user stops it, and return its exit status."""
    lab = [sys.executable, "-m", "jupyterlab", "--ServerApp.ip=127.0.0.1", str(NOTEBOOK)]
    try:
        return subprocess.run(lab, env=environment).returncode
    finally:
        strip()


def render(environment: Mapping[str, str]) -> None:
    """Execute the notebook and write it with its outputs to docs/notebook.md and images."""
    from nbconvert import MarkdownExporter
    from nbconvert.preprocessors import CoalesceStreamsPreprocessor

    notebook = executed(environment)
    for cell in notebook.cells:  # drop the logs of Java and Spark, and the job's progress
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
    """Yield the environment of the notebook's kernel; its temporary files end with the block."""
    folder = folder_of(dataset)
    with tempfile.TemporaryDirectory(prefix="similar-titles-") as work:
        yield environment(folder, movie, Path(work))


@click.group(
    context_settings=HELP_OPTIONS,
    epilog=module_examples("pictures.notebook", "open", "render", environment=ENVIRONMENT),
)
def cli() -> None:
    """Open, render or clean notebooks/similar_titles.ipynb."""


@cli.command(
    "open",
    epilog=module_examples(
        "pictures.notebook",
        'open --dataset ml-latest-small --movie "Heat (1995)"',
        environment=ENVIRONMENT,
    ),
)
@click.option("--dataset", default="sample", show_default=True, help="As `make demo` takes it.")
@click.option("--movie", help="Title of the movie that the notebook shows.")
@errors_as_exit_status(NoDataSetError, NoJavaError)
def open_command(dataset: str, movie: str | None) -> None:
    """Open the notebook in JupyterLab."""
    with prepared(dataset, movie) as kernel:
        raise click.exceptions.Exit(open_in_lab(kernel))


@cli.command(
    "render", epilog=module_examples("pictures.notebook", "render", environment=ENVIRONMENT)
)
@errors_as_exit_status(NoDataSetError, NoJavaError)
def render_command() -> None:
    """Execute the notebook on the sample and write it to docs/notebook.md."""
    with prepared("sample") as kernel:
        render(kernel)


@cli.command("strip", epilog=module_examples("pictures.notebook", "strip"))
def strip_command() -> None:
    """Remove the outputs from the notebook's file."""
    strip()


if __name__ == "__main__":
    cli(prog_name="python -m pictures.notebook")
