"""Draws the README's pictures into docs/images: a terminal with `make demo`, and the benchmark.

The pictures show real results: the demo is run, and the benchmark's figures come from
benchmarks/RESULTS.md.
"""

import io
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import matplotlib as mpl
import matplotlib.pyplot as plt
from rich.console import CONSOLE_SVG_FORMAT, Console  # type: ignore[attr-defined]  # documented there
from rich.text import Text

from tools.command_line import HELP_OPTIONS, errors_as_exit_status, module_examples
from tools.paths import ROOT

RESULTS = ROOT / "benchmarks" / "RESULTS.md"
IMAGES = ROOT / "docs" / "images"
COLUMNS = 100  # of the terminal
# Name, colour and column of the table.
PROGRAMS = (
    ("the tutorial's program", "silver", 1),
    ("the job by default", "tab:cyan", 4),
    ("the job, cosine alone", "tab:blue", 2),
)
# The time and the state at the beginning of a line of the demo.
STAGE = re.compile(r"^( *\d+\.\d s)  ([A-Z]+|local cloud|drop)\b", re.MULTILINE)


class PictureError(Exception):
    """A picture could not be drawn; the message says why."""


def table(markdown: str, heading: str) -> tuple[list[str], list[list[str]]]:
    """Return the first table below a heading.

    Args:
        markdown: the document.
        heading: the text of the heading.

    Returns:
        The names of the columns, and the rows.

    Raises:
        PictureError: the heading or the table does not exist.
    """
    found = re.search(
        rf"^#+ {re.escape(heading)}$(?:(?!^#).)*?(^\|.*?)(?=\n(?!\|)|\Z)",
        markdown,
        re.MULTILINE | re.DOTALL,
    )
    if not found:
        raise PictureError(f"{RESULTS.name} has no table below {heading!r}")
    names, _, *rows = (
        [cell.strip() for cell in line.strip("| ").split("|")] for line in found[1].splitlines()
    )
    return names, rows


def seconds(cell: str) -> float:
    """Return the number in a cell such as `1453.2 s` or `6.6 s, 1.2 GiB`."""
    return float(cell.partition(" s")[0].replace(",", ""))


def draw_benchmark(markdown: str, path: Path) -> None:
    """Draw the job against the tutorial's program, and the bare kernel against libraries.

    Args:
        markdown: the output of `make bench`.
        path: path of the SVG.
    """
    _, whole = table(markdown, "The job against the tutorial's program")
    columns, peers = table(markdown, "Against the peers")
    kind, computes, taken = map(columns.index, ("kind", "computes", "10m"))
    bare = [row for row in peers if row[kind] == "sums" and " s," in row[taken]]
    # No date and fixed ids: the same figures give the same bytes.
    mpl.rcParams |= {"svg.hashsalt": path.name, "svg.fonttype": "none", "font.family": "sans-serif"}
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
    for number, (label, colour, column) in enumerate(PROGRAMS):
        heights = [seconds(row[column]) for row in whole]
        places = [place + 0.28 * (number - 1) for place in range(len(whole))]
        bars = left.bar(places, heights, 0.28, label=label, color=colour)
        left.bar_label(bars, [f"{height:,.0f} s" for height in heights], fontsize=8)
    left.set_xticks(range(len(whole)), [row[0] for row in whole])
    left.set(title="From text to Parquet", xlabel="ratings", ylabel="seconds", yscale="log")
    left.set_ylim(1, 30 * max(seconds(row[1]) for row in whole))
    left.legend(frameon=False, loc="upper left")
    names, times = [row[0] for row in bare], [seconds(row[taken]) for row in bare]
    bars = right.barh(names, times, color=["tab:blue", *["silver"] * (len(bare) - 1)])
    labels = [
        f"{time:.1f} s: {row[computes].partition(', exact')[0]}"
        for time, row in zip(times, bare, strict=True)
    ]
    right.bar_label(bars, labels, fontsize=8, padding=3)
    right.invert_yaxis()
    right.set(title="In memory at 10m, two threads", xlabel="seconds", xscale="log")
    right.set_xlim(0.5, 1000 * max(times))
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def run_demo() -> str:
    """Run `make demo` and return its output without colours.

    Raises:
        PictureError: the demo failed.
    """
    command = [sys.executable, "-m", "local", "demo"]
    demo = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if demo.returncode:
        raise PictureError(f"the demo failed: {demo.stdout[-2000:]}")
    return demo.stdout


def draw_terminal(command: str, printed: str, path: Path) -> None:
    """Draw a terminal with a command and its output.

    Args:
        command: the command as typed.
        printed: the command's output.
        path: path of the SVG.
    """
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), highlight=False)
    console.print(Text("$ ", "bold green") + Text(command, "bold"))
    text = Text(printed.rstrip())
    for found in STAGE.finditer(printed):
        text.stylize("dim", *found.span(1))
        text.stylize("bold cyan", *found.span(2))
    console.print(text, soft_wrap=False)
    svg = console.export_svg(
        title=command, code_format=without_fonts(CONSOLE_SVG_FORMAT), unique_id=path.stem
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")


def without_fonts(style: str) -> str:
    """Return a style sheet that loads no fonts from other machines."""
    return re.sub(r"@font-face \{\{.*?\}\}\s*", "", style, flags=re.DOTALL).replace(
        "Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace"
    )


@click.command(
    context_settings=HELP_OPTIONS,
    epilog=module_examples("pictures.charts", "benchmark", "demo benchmark"),
)
@click.argument("pictures", nargs=-1, required=True, type=click.Choice(["demo", "benchmark"]))
@errors_as_exit_status(PictureError)
def main(pictures: Sequence[str]) -> None:
    """Draw PICTURES into docs/images: the demo's terminal, the benchmark's chart."""
    if "benchmark" in pictures:
        draw_benchmark(RESULTS.read_text(), IMAGES / "benchmark.svg")
    if "demo" in pictures:
        draw_terminal("make demo", run_demo(), IMAGES / "demo.svg")


if __name__ == "__main__":
    main(prog_name="python -m pictures.charts")
