"""The notebook runs from the first cell to the last and shows the right results."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode

from pictures.notebook import NOTEBOOK, environment, executed, stripped
from tests.spark import oracle
from tools.synthetic import Shape, generate

SMALL = Shape(6_000, 100, 150, 148, 200, 120)
LIVE = {"rank": 1, "movie_id": 2, "title": "Deployed Twin (1999)", "score": 0.5, "co_raters": 77}


def test_the_notebook_is_committed_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert stripped(notebook) == notebook, "python -m pictures.notebook strip"


def test_stripping_keeps_the_cells_and_removes_their_results() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    before = [cell.source for cell in notebook.cells]
    notebook.metadata.language_info = {"name": "python", "version": "3.13.0"}
    for cell in notebook.cells:
        cell.metadata["execution"] = {"iopub.status.busy": "2026-01-01T00:00:00Z"}
        if cell.cell_type == "code":
            cell.execution_count = 7
            cell.outputs = [nbformat.v4.new_output("stream", text="/home/somebody")]
    text = nbformat.writes(stripped(notebook))
    assert [cell.source for cell in nbformat.reads(text, as_version=4).cells] == before
    assert not re.search(r'somebody|busy|3\.13|"execution_count": 7', text)


@contextmanager
def live_index(requested: list[str]) -> Iterator[str]:
    """An API with fixed responses; records the requested paths."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requested.append(self.path)
            movie = {"movie_id": 1, "title": "Found (1990)"}
            body: dict[str, Any] = {"movies": [movie]}
            if "similar" in self.path:
                body = {"movie": movie, "measure": "ease", "run_id": "R1", "similar": [LIVE]}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def shown(notebook: NotebookNode) -> tuple[str, int]:
    """All text that the cells printed, and the number of pictures."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    texts = [output.text for output in outputs if output.get("name") == "stdout"]
    return "".join(texts), sum("image/png" in output.get("data", ()) for output in outputs)


@pytest.mark.spark
def test_the_notebook_runs_and_shows_the_ten_most_similar_titles(tmp_path: Path) -> None:
    data, requested = tmp_path / "data", []
    generate(SMALL, data)
    lines = [line.split("::") for line in (data / "ratings.dat").read_text().splitlines()]
    ratings = [(int(user), int(movie), float(stars)) for user, movie, stars, _ in lines]
    titles = dict(line.split("::")[:2] for line in (data / "movies.dat").read_text().splitlines())
    movie = 25
    pairs = oracle.similarities(ratings, 10, 0.95)
    expected = [
        f"{rank:3}  {titles[str(other)]:40}  {score:.4f}  {count:5} co-raters"
        for rank, (other, score, count) in enumerate(oracle.neighbours(pairs, 10)[movie], 1)
    ]
    assert len(expected) > 5
    with live_index(requested) as url:
        prepared = environment(data, titles[str(movie)], tmp_path) | {"API_URL": url}
        text, pictures = shown(executed(prepared))
    assert f"looked at: {titles[str(movie)]}\n" in text
    assert "\n".join(expected) in text
    same = [len(pairs), len(pairs), 0, 0]
    numbers = re.findall(r"^ *([\d,]+)  (?:pairs of the|only in the)", text, re.MULTILINE)
    assert [int(number.replace(",", "")) for number in numbers] == same
    assert pictures == 6
    assert requested[1] == "/movies/1/similar?limit=10"
    assert "Found (1990), by ease, run R1" in text
    assert "Deployed Twin (1999)" in text
