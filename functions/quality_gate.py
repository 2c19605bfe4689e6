"""The quality gate: may a run go live, judged by its quality and that of the live run?"""

import math
from decimal import Decimal

from run_item import QualityItem, Run
from spark.contracts.quality import Quality

DIGITS = Decimal("0.0001")
STANDARD_ERRORS = 2  # differences up to this many standard errors count as chance


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


def _rounded(value: float) -> Decimal:
    return Decimal(value).quantize(DIGITS)
