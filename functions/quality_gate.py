"""The quality gate: may a run go live, judged by what it rejected and by what it would change?

Each figure has its limit, a parameter of the template; 1 switches it off.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from runs.diff import Diff, Lists, Titles
from runs.item import QualityItem, RejectsItem, Run
from spark.contracts.quality import Quality

DIGITS = Decimal("0.0001")
STANDARD_ERRORS = 2  # differences up to this many standard errors count as chance
FEW = 5  # titles with another text, or doubled users, that may be chance
LOST = 2  # titles whose loss says nothing, whatever their share
COMMON_LISTS = 20  # with fewer lists, a median says little


class HeldBackError(Exception):
    """A run must not go live without an operator; the message is the reason with the figures."""


@dataclass(frozen=True)
class Limits:
    """The limits of the gate; each is a share, and 1 switches it off.

    docs/decisions/0013-what-holds-a-run-back.md says how the defaults were chosen.

    Attributes:
        rejected_share: of the lines of a file that may be malformed.
        doubled_users: by how much the share of the users who have exactly the ratings of another
            user may grow.
        quality_loss: share of the live run's lift that may be lost.
        titles_lost: share of the live run's titles with neighbours that may lose them.
        ratings_lost: share of the live run's number of ratings that may be lost; below 1, also
            holds a run back one of whose files seems to be cut off.
        titles_changed: share of the titles whose text may change.
        lists_moved: how far the lists may move: 1 minus the median rank-biased overlap.
    """

    rejected_share: float
    doubled_users: float
    quality_loss: float
    titles_lost: float
    ratings_lost: float
    titles_changed: float
    lists_moved: float


def reasons(run: Run, live: Run | None, diff: Diff | None, limits: Limits) -> list[str]:
    """Explain why a run must not go live without an operator.

    Args:
        run: the new run, with its `counts`, `rejects` and `quality`.
        live: the live run; None before the first one.
        diff: from the live run to the new one; None if there is nothing to compare with.
        limits: of the gate.

    Returns:
        The reasons, each with its figures; empty if the run may go live.
    """
    found = [*_rejected(run.get("rejects", {}), limits.rejected_share)]
    if quality := regression_reason(run, live, limits.quality_loss):
        found.append(quality)
    if diff is not None:
        found += _lost(diff, limits.titles_lost)
        found += _ratings_lost(diff, limits.ratings_lost)
        found += _doubled(diff, limits.doubled_users)
        if diff.titles:
            found += _changed(diff.titles, limits.titles_changed)
        if diff.lists and diff.same_settings:  # otherwise they were meant to move
            found += _moved(diff.lists, limits.lists_moved)
    return found


def to_item(quality: Quality) -> QualityItem | None:
    """Convert a run's quality for the runs table; None if too few users could be evaluated."""
    figures = quality.default
    if figures is None or quality.popularity_recall is None:
        return None
    return {
        "measure": quality.measure,
        "users": quality.users,
        "recall": _rounded(figures.recall),
        "popularity_recall": _rounded(quality.popularity_recall),
        "lift": _rounded(figures.lift),
        "lift_error": _rounded(figures.lift_error),
        "popularity_share": _rounded(figures.popularity_share),
    }


def regression_reason(run: Run, live: Run | None, max_loss: float) -> str | None:
    """Explain why a run must not replace the live run without an operator, or return None.

    Compares the lift of both runs: the recall of hidden liked movies divided by the recall of the
    most rated movies on the same data. Lift varies much less between data sets than recall. A
    difference that may be due to the choice of users does not count.

    Args:
        run: the new run, with its `quality`.
        live: the live run.
        max_loss: share of the live run's lift that may be lost.

    Returns:
        The reason with the figures; None if the run may go live or if a run has no quality.
    """
    ours, theirs = run.get("quality"), live.get("quality") if live else None
    if live is None or not ours or not theirs:
        return None
    chance = STANDARD_ERRORS * math.hypot(ours["lift_error"], theirs["lift_error"])
    loss = float(theirs["lift"] - ours["lift"])
    if loss - chance <= max_loss * float(theirs["lift"]):
        return None
    return (
        f"quality: {ours['measure']} finds {ours['lift']:.2f} times as many hidden liked movies as "
        f"the most rated movies do (recall@20 {ours['recall']:.3f}, {ours['users']} users); in the "
        f"live run {live['run_id']} {theirs['measure']} finds {theirs['lift']:.2f} times as many "
        f"(recall@20 {theirs['recall']:.3f}). The loss exceeds MaxQualityLoss {max_loss:g}"
    )


def rejects_text(rejects: dict[str, RejectsItem]) -> str:
    """Return the rejected lines in words: by file, how many of how many and of which kinds."""
    return "; ".join(
        f"{name}: {int(each['rejected']):,} of {int(each['lines']):,} lines are malformed "
        f"({', '.join(f'{kind} {int(count):,}' for kind, count in each['kinds'].items())})"
        for name, each in rejects.items()
    )


def _rejected(rejects: dict[str, RejectsItem], limit: float) -> Iterator[str]:
    for name, each in rejects.items():
        share = int(each["rejected"]) / max(1, int(each["lines"]))
        if share > limit:
            yield (
                f"rejected lines: {rejects_text({name: each})}, {share:.1%}. That exceeds "
                f"MaxRejectedShare {limit:g}"
            )


def _doubled(diff: Diff, limit: float) -> Iterator[str]:
    before, after = diff.before.counts, diff.after.counts
    if "doubled_users" not in before:
        return  # a run of an earlier version, which did not count them
    doubled, users = int(after.get("doubled_users", 0)), int(after["users"])
    usual = int(before["doubled_users"]) / max(1, int(before["users"])) * users
    if doubled - usual > max(FEW, limit * users):
        yield (
            f"doubled users: {doubled:,} of {users:,} users have exactly the ratings of another "
            f"user; in the live run {diff.before.run_id} {int(before['doubled_users']):,} of "
            f"{int(before['users']):,} do. The increase exceeds MaxDoubledUsers {limit:g}"
        )


def _lost(diff: Diff, limit: float) -> Iterator[str]:
    if diff.titles:
        lost, before, least = diff.titles.lost, diff.titles.before, ""
        examples = f", for example {', '.join(diff.titles.lost_examples)}"
    else:  # the numbers of both runs say how many at least
        before, after = (
            int(side.counts.get("movies_with_neighbours", 0)) for side in (diff.before, diff.after)
        )
        lost, least, examples = max(0, before - after), "at least ", f" ({diff.unreadable})"
    if lost > max(LOST, limit * before):
        yield (
            f"lost titles: {least}{lost:,} of {before:,} titles with neighbours in the live run "
            f"{diff.before.run_id} have none in this run{examples}. That exceeds MaxTitlesLost "
            f"{limit:g}"
        )


def _ratings_lost(diff: Diff, limit: float) -> Iterator[str]:
    before, after = (int(side.counts.get("ratings", 0)) for side in (diff.before, diff.after))
    if before - after > limit * before:
        yield (
            f"lost ratings: {after:,} ratings; the live run {diff.before.run_id} has {before:,}. "
            f"The loss exceeds MaxRatingsLost {limit:g}"
        )
    elif diff.cut and limit < 1:
        yield (
            f"cut file: {' and '.join(diff.cut)} ends within a line and has fewer lines than in "
            f"the live run {diff.before.run_id}; MaxRatingsLost=1 allows this"
        )


def _changed(titles: Titles, limit: float) -> Iterator[str]:
    examples = ", ".join(f"{old!r} is {new!r}" for old, new in titles.renamed_examples)
    if titles.renamed > max(FEW, limit * titles.common) and limit < 1:
        yield (
            f"changed titles: {titles.renamed:,} of {titles.common:,} titles have another text, "
            f"for example {examples}. That exceeds MaxTitlesChanged {limit:g}"
        )
    elif titles.garbled > max(FEW, limit * titles.beyond_ascii) and limit < 1:
        yield (
            f"garbled titles: in {titles.garbled:,} of {titles.beyond_ascii:,} titles with letters "
            f"beyond ASCII these letters are others, for example {examples}: has the file another "
            f"encoding? That exceeds MaxTitlesChanged {limit:g}"
        )


def _moved(lists: Lists, limit: float) -> Iterator[str]:
    if lists.median_overlap is None or lists.common < COMMON_LISTS:
        return
    if 1 - lists.median_overlap > limit:
        yield (
            f"moved lists: the median rank-biased overlap of the lists of {lists.common:,} titles "
            f"with those of the live run is {lists.median_overlap:.2f}. That is less than "
            f"{1 - limit:g}, which MaxListsMoved {limit:g} allows"
        )


def _rounded(value: float) -> Decimal:
    return Decimal(value).quantize(DIGITS)
