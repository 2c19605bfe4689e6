"""docs/quality.md: which tables a data set has, and what they say."""

from pathlib import Path
from typing import Any

import pytest

from evaluation import report

METRICS = dict.fromkeys(("recall@20", "capped recall@20", "NDCG@100", "MAP@20", "error"), 0.1)
JUDGED = {
    "joined": 1476,
    "unjoined": 289,
    "alike": 263,
    "titles": 230,
    "measures": {
        "ease": {"AUC": 0.66, "error": 0.02, "kept AUC": 0.62, "kept error": 0.01},
        "hybrid": {"AUC": 0.63, "error": 0.04, "kept AUC": 0.71, "kept error": 0.03},
    },
}


def figures_of(dataset: str, **more: Any) -> dict[str, Any]:
    """The least figures of a data set."""
    found = {
        "ease": METRICS | {"kept recall@20": 0.2222},
        "hybrid": METRICS | {"kept recall@20": 0.3333},
        "popularity": METRICS,
    }
    lists = {"coverage": 0.5, "well_known": 0.5, "co_raters": 1}
    return {
        "dataset": dataset, "users": 1, "movies": 1, "ratings": 1, "seconds": 60,
        "published": found, "liked": found, "strong": found, "lists": {"ease": lists},
        "lambda": {"400": {"recall@20": 0.1, "kept recall@20": 0.1}}, "examples": {},
    } | more  # fmt: skip


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """Stores figures, and returns the page by the heading of its sections."""

    def write(*everything: dict[str, Any]) -> dict[str, str]:
        for figures in everything:
            report.store(figures, tmp_path / "figures")
        report.write(tmp_path / "quality.md", tmp_path / "figures")
        text = (tmp_path / "quality.md").read_text()
        found, dataset = {}, ""
        for part in ("\n" + text).split("\n#")[1:]:
            heading, _, body = part.partition("\n")
            level = len(heading) - len(heading.lstrip("#"))
            title = heading.lstrip("# ")
            dataset = title if level == 1 else dataset
            found[title if level < 2 else f"{dataset}: {title}"] = body
        return found

    return write


def test_judgements_are_shown_for_the_data_sets_that_were_measured_with_them(written: Any) -> None:
    page = written(figures_of("a"), figures_of("b", judged=JUDGED))
    assert "CC BY-NC-ND" in page["Judged by people"]
    assert "a: Judged by people" not in page
    table = page["b: Judged by people"]
    assert "1,476 of 1,765 judgements are on two movies of this data set, 289 are not" in table
    rows = [line for line in table.splitlines() if line.startswith(("| ease", "| hybrid"))]
    assert rows == [
        "| hybrid | 0.710 ± 0.030 | 0.630 ± 0.040 | 0.3333 | 0.3333 |",
        "| ease | 0.620 ± 0.010 | 0.660 ± 0.020 | 0.2222 | 0.2222 |",
    ]


def test_errors_of_strength_are_shown_where_they_were_measured(written: Any) -> None:
    strong = figures_of("a")["strong"]
    told = {name: strong[name] | {"strength error": error}
            for name, error in {"ease": 4.26, "hybrid": 2.04}.items()}  # fmt: skip
    page = written(figures_of("a", strong=strong | told), figures_of("old"))
    rows = [line for line in page["a: Strength"].splitlines() if line.startswith(("| e", "| h"))]
    assert rows == ["| hybrid | 2.0 |", "| ease | 4.3 |"]
    assert "old: Strength" not in page


def test_a_data_set_without_times_says_why_it_has_no_temporal_split(written: Any) -> None:
    heading = report.SPLITS["latest"]
    found = figures_of("x")["liked"]
    page = written(figures_of("a", latest=None), figures_of("b", latest=found), figures_of("old"))
    assert "have no timestamps" in page[f"a: {heading}"]
    assert "| ease |" in page[f"b: {heading}"]
    assert f"old: {heading}" not in page


def test_recall_by_popularity_is_shown_for_the_lists_in_the_index(written: Any) -> None:
    sliced = {
        "ease": METRICS | {"kept recall@20": 0.2, "kept recall@20 head": 0.3,
                           "kept recall@20 middle": 0.1},
        "popularity": METRICS | {"recall@20 head": 0.9},
    }  # fmt: skip
    hidden = {"liked": {"head": 60, "middle": 140, "tail": 0}}
    table = written(figures_of("a", liked=sliced, hidden=hidden))[f"a: {report.SPLITS['liked']}"]
    _, slices = table.split("Kept recall@20 by how often")
    assert "head, 30% of the hidden movies | middle, 70%" in slices
    assert "| ease | 0.3000 | 0.1000 |  |" in slices
    assert "popularity" not in slices


def test_sequels_are_shown_if_the_catalogue_has_series(written: Any) -> None:
    titles = {"all": 1286, "rated": 40}
    measures = {"ease": {"all": 0.2, "rated": 0.9}, "hybrid": {"all": 0.5, "rated": 0.8}}
    nobody = {"titles": {}, "measures": {"ease": {}}}
    page = written(
        figures_of("a", sequels={"titles": titles, "measures": measures}),
        figures_of("b", sequels=nobody),
    )
    assert page["a: Sequels"].strip().splitlines() == [
        "| measure | titles of a series: 1,286 | those with at least 10 raters: 40 |",
        "| --- | --- | --- |",
        "| hybrid | 50.0% | 80.0% |",
        "| ease | 20.0% | 90.0% |",
    ]
    assert "b: Sequels" not in page
