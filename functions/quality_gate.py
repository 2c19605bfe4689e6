"""Whether a run is good enough to go live: its own figures against those of the live run."""

import math
from decimal import Decimal

from run_item import QualityItem, Run
from spark.contracts.quality import Quality

DIGITS = Decimal("0.0001")
STANDARD_ERRORS = 2  # standard errors of the difference that are taken for chance


def to_item(quality: Quality) -> QualityItem | None:
    """What the runs table keeps of a run's figures; None where too few users could be asked."""
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
    """Why a run must not take the live one's place by itself, or None where it may.

    Compared is what each finds of hidden liked movies, as a multiple of what the most rated movies
    find in the same data: data sets differ in that far less than in the share found. What may
    be chance in the choice of users is no loss.

    Args:
        run: with its `quality`, see `to_item`.
        live: the same of the live run.
        max_loss: share of the live run's figure that may be lost.

    Returns:
        The reason, with the figures; None also where one of the two has none.
    """
    ours, theirs = run.get("quality"), live.get("quality") if live else None
    if live is None or not ours or not theirs:
        return None
    chance = STANDARD_ERRORS * math.hypot(ours["lift_error"], theirs["lift_error"])
    loss = float(theirs["lift"] - ours["lift"])
    if loss - chance <= max_loss * float(theirs["lift"]):
        return None
    return (
        f"quality: by {ours['measure']} it finds {ours['lift']:.2f} times what the most rated "
        f"movies find (recall@20 {ours['recall']:.3f}, {ours['users']} users), the live run "
        f"{live['run_id']} {theirs['lift']:.2f} times by {theirs['measure']} (recall@20 "
        f"{theirs['recall']:.3f}): worse by more than MaxQualityLoss {max_loss:g}"
    )


def _rounded(value: float) -> Decimal:
    return Decimal(value).quantize(DIGITS)
