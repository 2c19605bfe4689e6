"""The README's pictures show the measured figures and the printed lines."""

import html
import re
from pathlib import Path

import pytest

from pictures.charts import IMAGES, RESULTS, PictureError, draw_benchmark, draw_terminal, table

DOCUMENT = """# Figures

## One

Words.

| shape | seconds |
|---|---|
| 1m | 2.5 s |
| 10m | 1,000 s |

## Two

No table.
"""


def texts(svg: Path) -> list[str]:
    """Return the texts of an SVG without their styles."""
    found = re.findall(r"<text[^>]*>(.*?)</text>", svg.read_text(), re.DOTALL)
    return [html.unescape(re.sub(r"<[^>]*>", "", text)).replace("\xa0", " ") for text in found]


def test_a_table_is_found_by_its_heading() -> None:
    assert table(DOCUMENT, "One") == (["shape", "seconds"], [["1m", "2.5 s"], ["10m", "1,000 s"]])


@pytest.mark.parametrize("heading", ["Two", "Three"])
def test_a_heading_without_a_table_is_named(heading: str) -> None:
    with pytest.raises(PictureError, match=heading):
        table(DOCUMENT, heading)


def test_the_benchmarks_picture_shows_the_figures_of_its_results(tmp_path: Path) -> None:
    markdown = """## The job against the tutorial's program

| shape | tutorial's program | job, cosine alone | ratio | job by default | ratio |
|---|---|---|---|---|---|
| 1m | 1234.4 s | 17.0 s | 72.6 | 31.0 s | 39.8 |

## Against the peers

| method | kind | computes | 1m | times ours | 10m | times ours |
|---|---|---|---|---|---|---|
| the job | program | all | 9.0 s, 1.0 GiB | 1.0 | 15.0 s, 1.6 GiB | 1.0 |
| kernel | sums | sums | 0.4 s, 0.2 GiB | 1.0 | 1.4 s, 0.5 GiB | 1.0 |
| SciPy | sums | the same, exact; one thread | 5.3 s, 1.1 GiB | 13.2 | 53.3 s, 3.5 GiB | 38.1 |
| hungry | sums | the same | 9.9 s, 9.9 GiB | 24.8 | out of memory | |
"""
    path = tmp_path / "images" / "benchmark.svg"
    draw_benchmark(markdown, path)
    shown = set(texts(path))
    assert {"1,234 s", "17 s", "31 s", "1.4 s: sums", "53.3 s: the same"} <= shown
    assert not {"hungry", "15.0 s: all"} & shown
    first = path.read_bytes()
    draw_benchmark(markdown, path)
    assert path.read_bytes() == first


def test_the_committed_picture_shows_the_committed_results() -> None:
    _, rows = table(RESULTS.read_text(), "The job against the tutorial's program")
    cells = [cell.removesuffix(" s") for row in rows for cell in (row[1], row[2], row[4])]
    expected = [f"{float(cell):,.0f} s" for cell in cells]
    shown = texts(IMAGES / "benchmark.svg")
    assert [text for text in expected if text not in shown] == [], (
        "python -m pictures.charts benchmark"
    )


def test_a_terminal_shows_what_was_printed_and_loads_nothing(tmp_path: Path) -> None:
    path = tmp_path / "demo.svg"
    draw_terminal(
        "make demo", "    0.0 s  drop sample-100k\n   80.1 s  LIVE <answers> & all\n", path
    )
    shown = "\n".join(texts(path))
    for line in ("make demo", "drop", "sample-100k", "80.1 s", "LIVE", "<answers> & all"):
        assert line in shown
    assert not re.search(r"url\((?!#)|font-face|cdnjs", path.read_text())
