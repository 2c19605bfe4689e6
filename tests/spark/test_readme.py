"""The README's real examples are what the job computes and the API answers on ml-latest-small."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from spark.contracts.manifest import QUALITY
from spark.contracts.neighbour_lines import neighbours_of
from spark.contracts.quality import Quality
from tests.builders.aws import Cloud
from tests.builders.indexed import finish_run
from tests.builders.requests import get
from tests.builders.results import manifest_of, read_lines, run
from tests.conftest import ROOT, movielens
from tests.unit.conftest import cloud, database, dynalite

__all__ = ["cloud", "database", "dynalite"]

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("running")]

README = (ROOT / "README.md").read_text()
EXAMPLES = {1: "Toy Story (1995)", 2571: "Matrix, The (1999)"}
ROW = re.compile(r"\| (.+?) \| (\d+) \| (.+?) \| (\d+) \|")


def table(title: str) -> list[tuple[str, int, str, int]]:
    """The rows of the README's table for a title: by blend with co-raters, by cosine with them."""
    _, _, rest = README.partition(f"| {title} by `blend` | co-raters | by `cosine` | co-raters |\n")
    rows = [ROW.fullmatch(line) for line in rest.partition("\n\n")[0].splitlines()[1:]]
    return [(row[1], int(row[2]), row[3], int(row[4])) for row in rows if row]


def answer() -> dict[str, Any]:
    """The README's example of an API answer."""
    _, _, rest = README.partition("```json\n")
    return json.loads(rest.partition("```")[0])


def test_the_readmes_examples_are_computed(tmp_path: Path, cloud: Cloud) -> None:
    output = tmp_path / "result"
    assert run(movielens("ml-latest-small"), output) == 0
    manifest = manifest_of(output)
    lines = {
        line["movie_id"]: line
        for line in read_lines(output, *(part.name for part in manifest.neighbours))
    }
    for movie_id, title in EXAMPLES.items():
        blend, cosine = (
            [(each["title"], each["co_raters"]) for each in neighbours_of(lines[movie_id], measure)]
            for measure in ("blend", "cosine")
        )
        expected = [(*one, *two) for one, two in zip(blend[:5], cosine[:5], strict=True)]
        assert table(title) == expected

    measures = {"measure": manifest.measure, "measures": manifest.measures}
    counts = manifest.counts | {"movies": 1}
    quality = Quality.from_json((output / QUALITY).read_text())
    finish_run(cloud, parts=[[lines[1]]], quality=quality, counts=counts, **measures)
    status, body = get("/movies/1/similar", limit="2")
    assert status == 200
    shown = answer()
    for one, other in zip(body["similar"], shown["similar"], strict=True):
        # EASE's last digits depend on the machine's linear algebra.
        assert one.pop("score") == pytest.approx(other.pop("score"), rel=1e-4)
    assert body | {"run_id": shown["run_id"]} == shown
