"""docs/quality.md: template.md with the stored figures of each data set, and the plots."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from evaluation import plots, published
from evaluation.runs import Figures
from spark.ingest.movies import Catalogue
from spark.measures.registry import DEFAULT, MEASURES

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "docs" / "quality.md"
FIGURES = ROOT / "docs" / "quality"  # one file per data set; each can be measured alone
TEMPLATE = Path(__file__).with_name("template.md")
# Movies whose neighbours most people can assess: Toy Story, Star Wars IV, The Matrix, Aladdin.
EXAMPLES = 1, 260, 2571, 588
NEIGHBOURS = 5
SPLITS = {
    "liked": "All ratings, 80/20, liked movies hidden",
    "strong": "All ratings, strong generalisation",
    "latest": "All ratings, the latest of each user hidden",
}
GROUPS = {
    "all": "titles of a series",
    "rated": "those with at least 10 raters",
}
METRICS = ("recall@20", "capped recall@20", "NDCG@100", "MAP@20")


def store(figures: Figures, folder: Path = FIGURES) -> None:
    """Store a data set's figures until it is measured again."""
    folder.mkdir(parents=True, exist_ok=True)
    rounded = json.loads(json.dumps(figures), parse_float=lambda text: round(float(text), 4))
    text = json.dumps(rounded, indent=1, ensure_ascii=False)
    (folder / f"{figures['dataset']}.json").write_text(text + "\n")


def write(report: Path = REPORT, folder: Path = FIGURES) -> None:
    """Write the report and the plots from all stored figures."""
    everything = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    plots.draw(everything, report.parent / "images")
    reference = [each for each in everything if each["dataset"] == published.DATASET]
    text = Template(TEMPLATE.read_text()).substitute(
        default=DEFAULT,
        reference="\n".join(_against_published(each) for each in reference),
        datasets="\n".join(_section(each) for each in everything),
    )
    report.write_text(text)


def examples(movies: Catalogue, first: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The titles of the first neighbours of those EXAMPLES that the data set has.

    Args:
        movies: the catalogue.
        first: by measure, indices of each movie's first neighbours; -1 for none.
    """
    titles = [json.loads(f"{{{about}}}")["title"] for about in movies.about]
    places = {id: place for place, id in enumerate(movies.ids.tolist())}
    return {
        titles[places[id]]: {
            name: [titles[place] for place in of[places[id]][:NEIGHBOURS] if place >= 0]
            for name, of in first.items()
        }
        for id in EXAMPLES
        if id in places
    }


def _against_published(figures: Figures) -> str:
    """The published figures beside ours, and whether they agree."""
    found = figures["published"]
    rows = [
        (name, *_numbers(others), *_numbers((found[name]["recall@20"], found[name]["MAP@20"])))
        for name, others in published.PUBLISHED.items()
    ]
    wrong = published.deviations(found)
    verdict = (
        "; ".join(wrong) or f"all within {published.TOLERANCE}, in the same order by recall@20"
    )
    recall = {name: each["recall@20"] for name, each in found.items()}
    below = [name for name in MEASURES if recall[name] <= recall["popularity"]]
    header = "model", "published R@20", "MAP@20", "our R@20", "MAP@20"
    return (
        f"{_table(header, rows)}\n\nVerdict: {verdict}.\n\n"
        f"The default measure, {DEFAULT}, reaches a recall@20 of {recall[DEFAULT]:.4f}; "
        f"the goal was at least {published.TARGET}. "
        f"Measures not above popularity in this protocol: {', '.join(below) or 'none'}."
    )


def _section(figures: Figures) -> str:
    """Everything measured on one data set."""
    name = figures["dataset"]
    parts = [
        f"## {name}\n\n{figures['users']:,} users, {figures['movies']:,} movies, "
        f"{figures['ratings']:,} ratings; measured in {figures['seconds'] / 60:.0f} minutes.",
        "### Five stars only, 80/20 (the published protocol)\n\n"
        + _recall_table(figures["published"]),
    ]
    for split, heading in SPLITS.items():
        if split in figures:  # not in figures of an older version
            parts.append(f"### {heading}\n\n{_of_split(figures, split)}")
    if "judged" in figures:
        parts.append("### Judged by people\n\n" + _judged(figures))
    if figures.get("sequels", {}).get("titles"):
        parts.append("### Sequels\n\n" + _sequels(figures["sequels"]))
    if any("strength error" in each for each in figures["strong"].values()):
        parts.append("### Strength\n\n" + _strength(figures["strong"]))
    parts += [
        "### The lists\n\n" + _lists(figures["lists"]),
        "### Examples\n\n" + _examples(figures["examples"]),
    ]
    return "\n\n".join(parts) + "\n"


def _of_split(figures: Figures, split: str) -> str:
    """The tables of one split of all ratings."""
    found = figures[split]
    if found is None:
        return "The ratings have no timestamps, or only equal ones, so none of them is the latest."
    tables = [_recall_table(found)]
    if split in figures.get("hidden", {}):
        tables.append(_by_slice(found, figures["hidden"][split]))
    return "\n\n".join(tables)


def _by_slice(found: Mapping[str, Mapping[str, float]], hidden: Mapping[str, int]) -> str:
    """Recall of the hidden movies by how often they are rated, with the lists in the index."""
    names = [f"kept recall@20 {name}" for name in hidden]
    order = [name for name in found if "kept recall@20" in found[name]]
    order.sort(key=lambda name: -found[name]["kept recall@20"])
    rows = [
        (name, *(_numbers([found[name][each]])[0] if each in found[name] else "" for each in names))
        for name in order
    ]
    share = {name: f"{number / sum(hidden.values()):.0%}" for name, number in hidden.items()}
    header = (f"{name}, {share[name]} of the hidden movies" for name in hidden)
    return "Kept recall@20 by how often the hidden movies are rated:\n\n" + _table(
        ("measure", *header), rows
    )


def _judged(figures: Figures) -> str:
    """How the measures agree with people's judgements, beside what they recall."""
    judged = figures["judged"]
    total = judged["joined"] + judged["unjoined"]
    found = judged["measures"]
    rows = []
    for name in sorted(found, key=lambda name: -found[name]["kept AUC"]):
        areas = [
            f"{found[name][f'{kept}AUC']:.3f} ± {found[name][f'{kept}error']:.3f}"
            for kept in ("kept ", "")
        ]
        recall = [figures[split][name]["kept recall@20"] for split in ("published", "liked")]
        rows.append((name, *areas, *_numbers(recall)))
    header = "measure", "AUC of the lists of 50", "AUC of all weights"
    recall_of = "kept recall@20, five stars", "kept recall@20, all ratings"
    return (
        f"{judged['joined']:,} of {total:,} judgements are on two movies of this data set, "
        f"{judged['unjoined']:,} are not. Their first movies are {judged['titles']:,} titles; "
        f"{judged['alike']:,} pairs were rated OK.\n\n{_table((*header, *recall_of), rows)}"
    )


def _sequels(sequels: Figures) -> str:
    """How many titles of a series have another one of it among their first neighbours."""
    titles, found = sequels["titles"], sequels["measures"]
    rows = [
        (name, *(f"{found[name][group]:.1%}" for group in titles))
        for name in sorted(found, key=lambda name: [-found[name][group] for group in titles])
    ]
    header = (f"{GROUPS[group]}: {number:,}" for group, number in titles.items())
    return _table(("measure", *header), rows)


def _strength(found: Mapping[str, Mapping[str, float]]) -> str:
    """How far the strengths are from what other users liked, the best measure first."""
    errors = {
        name: each["strength error"] for name, each in found.items() if "strength error" in each
    }
    rows = [(name, f"{errors[name]:.1f}") for name in sorted(errors, key=errors.__getitem__)]
    return _table(("measure", "mean error of strength, of 100"), rows)


def _recall_table(found: Mapping[str, Mapping[str, float]]) -> str:
    """A table of models, the best first; columns *kept* are for the lists in the index."""
    optional = ("kept recall@20", "kept capped recall@20", "hit@10", "hit@20")
    extra = [metric for metric in optional if any(metric in each for each in found.values())]
    order = sorted(found, key=lambda name: -found[name]["recall@20"])
    rows = [
        (
            name,
            *_numbers([found[name][metric] for metric in METRICS]),
            *(
                _numbers([found[name][metric]])[0] if metric in found[name] else ""
                for metric in extra
            ),
        )
        for name in order
    ]
    error = max(each["error"] for each in found.values())
    header = "model", *METRICS, *extra
    return f"{_table(header, rows)}\n\nStandard error of recall@20: at most {error:.4f}."


def _lists(found: Mapping[str, Mapping[str, float]]) -> str:
    rows = [
        (
            name,
            f"{each['coverage']:.1%}",
            f"{each['well_known']:.1%}",
            f"{each['co_raters']:.0f}",
        )
        for name, each in found.items()
    ]
    header = "measure", "movies with 10 neighbours", "neighbours in the most rated tenth"
    return _table((*header, "median co-raters"), rows)


def _examples(found: Mapping[str, Mapping[str, Sequence[str]]]) -> str:
    return "\n\n".join(
        f"**{title}**\n\n"
        + "\n".join(f"- {measure}: {'; '.join(of) or 'none'}" for measure, of in by.items())
        for title, by in found.items()
    )


def _numbers(values: Sequence[float]) -> list[str]:
    return [f"{value:.4f}" for value in values]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
