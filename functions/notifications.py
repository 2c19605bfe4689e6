"""The messages about runs and drops that people receive: subject and text."""

from collections.abc import Mapping, Sequence
from typing import Any

from quality_gate import rejects_text
from runs import Run
from runs.item import QualityItem
from runs.states import State
from waiting import WaitingItem

NOTIFIED = frozenset({State.LIVE, State.FAILED})
MAX_SUBJECT = 99  # maximum number of characters; SNS allows no control characters
MAX_LISTED = 50  # folders in a message; SNS takes 256 KB


def run_message(run: Run, stack: str) -> tuple[str, str]:
    """Write the message about a run that went live or failed.

    Args:
        run: the run.
        stack: name of the stack.

    Returns:
        Subject and text of the message.
    """
    run_id, state = run["run_id"], run["state"]
    lines = [f"Run {run_id} of {run['folder']} is {state}.", ""]
    if state == State.FAILED:
        lines += [
            f"Reason: {run.get('reason', 'unknown')}",
            "The API still serves the previous run.",
            "",
            "What to do: fix the data and drop the folder again. See docs/runbook.md.",
            *_rejects(run),
        ]
        if run.get("held_back"):
            lines.append(f"To make it live anyway: make promote RUN={run_id} STACK={stack}")
        elif "request" in run:
            lines.append(f"To run it again unchanged: make rerun RUN={run_id} STACK={stack}")
        if "log_uri" in run:
            lines.append(f"Logs: {run['log_uri']}")
    else:
        counts = run.get("counts", {})
        lines += [
            f"{counts.get('ratings', 0):,} ratings, {counts.get('pairs', 0):,} pairs; "
            f"{counts.get('movies_with_neighbours', 0):,} of {counts.get('movies', 0):,} movies "
            "have neighbours.",
            *_rejects(run),
            *_quality(run.get("quality")),
            *_comparison(run.get("comparison")),
            "",
            f"To go back to the previous run: make rollback STACK={stack}",
        ]
    if first := run.get("failed_start"):
        lines.append(
            f"It used a second cluster, because the first one, {first['cluster_id']}, did not "
            f"start: {first['reason']}."
        )
    cost = run.get("actual_cost") or run.get("estimated_cost")
    if cost and cost.get("usd") is not None:
        lines.append(f"Cost: about {cost['usd']:.2f} USD, {cost['node_hours']:.2f} node-hours.")
    return subject(f"{stack}: {state} {run['folder']}"), "\n".join(lines)


def subject(text: str) -> str:
    """Make a text valid as an SNS subject; folder names may contain anything."""
    return "".join(each if each.isprintable() else "?" for each in text)[:MAX_SUBJECT]


def _quality(quality: QualityItem | None) -> list[str]:
    if not quality:
        return []
    return [
        f"Quality: for {quality['users']} users, {quality['measure']} finds "
        f"{quality['lift']:.2f} times as many hidden liked movies as the most rated movies do "
        f"(recall@20 {quality['recall']:.3f})."
    ]


def _rejects(run: Run) -> list[str]:
    if not run.get("rejects"):
        return []
    return [f"Left out: {rejects_text(run['rejects'])}. The lines: {run.get('rejects_uri')}"]


def _comparison(comparison: Mapping[str, Any] | None) -> list[str]:
    """What changed from the run before: titles, lists and causes."""
    if not comparison:
        return []
    before, titles, lists = (comparison[name] for name in ("before", "titles", "lists"))
    if not titles:
        return [f"Not compared with the run before: {comparison['unreadable']}."]
    overlap = lists["median_overlap"]
    moved = "" if overlap is None else f"; median overlap of the lists {overlap:.2f}"
    return [
        f"Against run {before['run_id']}: {titles['gained']:,} titles with neighbours gained, "
        f"{titles['lost']:,} lost{moved}. Causes: {'; '.join(comparison['causes']) or 'none'}."
    ]


def sweep_message(reason: str, run_id: str, stack: str) -> tuple[str, str]:
    """Write the message about a cluster that the sweep terminated."""
    text = (
        f"The sweep terminated a cluster of run {run_id}: {reason}.\n\n"
        "It no longer costs anything. If you need such clusters for longer, raise StartMinutes or "
        "DeadlineMinutes, or set Interactive."
    )
    return subject(f"{stack}: SWEPT {run_id}"), text


def waiting_message(waiting: Sequence[WaitingItem], stack: str) -> tuple[str, str]:
    """Write the message about folders that have waited for long."""
    first, more = waiting[0]["folder"], len(waiting) - MAX_LISTED
    name = first if len(waiting) == 1 else f"{len(waiting)} folders"
    lines = [
        "These folders look like a data set, but they have no run:",
        "",
        *(
            f"{item['folder']}, since {item['since']}: {item['waits_for']}"
            for item in waiting[:MAX_LISTED]
        ),
        *([f"and {more} more, see `similar-titles status`"] if more > 0 else []),
        "",
        "A folder gets its run when it is complete. If it is not meant to be a data set, delete it "
        "or ignore this message; it is not repeated.",
    ]
    return subject(f"{stack}: WAITING {name}"), "\n".join(lines)
