"""The plots of docs/quality.md: small SVG files; the same figures give the same files."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from evaluation import published
from evaluation.runs import Figures

mpl.use("agg")
mpl.rcParams |= {"svg.hashsalt": "similar-titles", "font.size": 9, "axes.axisbelow": True}
OURS, OTHERS = "#3465a4", "#c17d11"


def draw(everything: Sequence[Figures], folder: Path) -> None:
    """Draw all plots.

    Args:
        everything: the figures of each data set; at least one.
        folder: for the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for figures in everything:
        if figures["dataset"] == published.DATASET:
            _save(_against_published(figures), folder / "quality-published.svg")
    _save(_trade_off(everything), folder / "quality-measures.svg")
    _save(_by_regularisation(everything), folder / "quality-lambda.svg")


def _against_published(figures: Figures) -> Figure:
    """Recall@20 of each published model: ours and as published."""
    figure, axes = plt.subplots(figsize=(6, 2.6))
    names = list(published.PUBLISHED)
    places = range(len(names))
    here = [figures["published"][name]["recall@20"] for name in names]
    errors = [2 * figures["published"][name]["error"] for name in names]
    there = [each.recall for each in published.PUBLISHED.values()]
    axes.barh(places, here, xerr=errors, color=OURS, height=0.6, label="ours, ± 2 standard errors")
    axes.plot(there, places, "D", color=OTHERS, label="published")
    axes.set_yticks(places, names)
    axes.set_xlabel("recall@20, five stars only")
    axes.set_xlim(0.15, 0.34)
    axes.legend(loc="lower right")
    return figure


def _trade_off(everything: Sequence[Figures]) -> Figure:
    """Recall of the lists against their share of popular movies."""
    figure, all_axes = plt.subplots(
        1, len(everything), figsize=(4.5 * len(everything), 3.2), squeeze=False
    )
    for axes, figures in zip(all_axes[0], everything, strict=True):
        for name, lists in figures["lists"].items():
            point = lists["well_known"], figures["liked"][name]["kept recall@20"]
            axes.plot(*point, "o", color=OURS)
            axes.annotate(name, point, xytext=(4, 4), textcoords="offset points")
        popularity = figures["liked"]["popularity"]["recall@20"]
        axes.axhline(popularity, color=OTHERS, linestyle=":", label="popularity")
        axes.set_title(figures["dataset"])
        axes.set_xlabel("share of neighbours in the most rated tenth")
        axes.set_ylabel("recall@20 with the lists of 50")
        axes.set_xlim(-0.05, 1.2)
        axes.legend(loc="lower left")
    return figure


def _by_regularisation(everything: Sequence[Figures]) -> Figure:
    """Recall@20 of EASE for several λ."""
    figure, axes = plt.subplots(figsize=(6, 2.8))
    for number, figures in enumerate(everything):
        values = [int(value) for value in figures["lambda"]]
        for metric, style in (("recall@20", "o-"), ("kept recall@20", "o:")):
            recall = [each[metric] for each in figures["lambda"].values()]
            label = f"{figures['dataset']}, {'whole' if metric == 'recall@20' else 'lists of 50'}"
            axes.plot(values, recall, style, color=f"C{number}", label=label, markersize=4)
    axes.set_xscale("log")
    axes.set_xlabel("λ")
    axes.set_ylabel("recall@20, liked movies")
    axes.legend(fontsize=8)
    return figure


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
