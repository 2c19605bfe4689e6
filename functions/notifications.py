"""What a person is told of a run: the message's subject and text."""

from run_item import QualityItem
from runs import Run, State

NOTIFIED = frozenset({State.LIVE, State.FAILED})
MAX_SUBJECT = 99  # characters that SNS takes at the most, none of them a control character


def run_message(run: Run, stack: str) -> tuple[str, str]:
    """What to tell of a run that went live or failed.

    Args:
        run: its item in the runs table.
        stack: which deployment it is.

    Returns:
        Subject and text of the message.
    """
    run_id, state = run["run_id"], run["state"]
    lines = [f"Run {run_id} of {run['folder']} is {state}.", ""]
    if state == State.FAILED:
        lines += [
            f"Why: {run.get('reason', 'it did not say')}",
            "The API goes on answering from the run before.",
            "",
            "What to do: mend the data and drop the folder again; docs/runbook.md has the reasons.",
        ]
        if run.get("held_back"):
            lines.append(f"To make it live as it is: make promote RUN={run_id} STACK={stack}")
        elif "request" in run:
            lines.append(f"To run it again as it is: make rerun RUN={run_id} STACK={stack}")
        if "log_uri" in run:
            lines.append(f"Logs: {run['log_uri']}")
    else:
        counts = run.get("counts", {})
        lines += [
            f"{counts.get('ratings', 0):,} ratings gave {counts.get('pairs', 0):,} pairs; "
            f"{counts.get('movies_with_neighbours', 0):,} of {counts.get('movies', 0):,} movies "
            "have neighbours.",
            *_quality(run.get("quality")),
            "",
            f"To go back to the run before: make rollback STACK={stack}",
        ]
    if first := run.get("failed_start"):
        lines.append(
            f"It had a second cluster, because the first one, {first['cluster_id']}, did not "
            f"start: {first['reason']}."
        )
    cost = run.get("actual_cost") or run.get("estimated_cost")
    if cost and cost.get("usd") is not None:
        lines.append(f"Cost: about {cost['usd']:.2f} USD, {cost['node_hours']:.2f} node-hours.")
    return subject(f"{stack}: {state} {run['folder']}"), "\n".join(lines)


def subject(text: str) -> str:
    """A text as SNS takes it for a subject; a folder may be called anything."""
    return "".join(each if each.isprintable() else "?" for each in text)[:MAX_SUBJECT]


def _quality(quality: QualityItem | None) -> list[str]:
    if not quality:
        return []
    return [
        f"Of {quality['users']} users' hidden liked movies {quality['measure']} finds "
        f"{quality['lift']:.2f} times what the most rated movies find "
        f"(recall@20 {quality['recall']:.3f})."
    ]


def sweep_message(reason: str, run_id: str, stack: str) -> tuple[str, str]:
    """What to tell of a cluster that the sweep has ended."""
    text = (
        f"The sweep ended a cluster of run {run_id}: {reason}.\n\n"
        "It costs nothing any more. If it was wanted, raise StartMinutes or DeadlineMinutes, or "
        "set Interactive."
    )
    return subject(f"{stack}: SWEPT {run_id}"), text
