"""Shows the diff of two runs as text."""

from collections.abc import Sequence

import click

from runs.diff import Diff, Lists, Side, Titles
from runs.item import QualityItem


def print_diff(found: Diff) -> None:
    """Print what changed from one run to another."""
    click.echo(f"{found.before.run_id} -> {found.after.run_id}")
    if found.titles:
        print_titles(found.titles)
    if found.lists:
        print_lists(found.lists, found.before.measure, found.after.measure)
    if found.unreadable:
        click.echo(f"\nTitles and lists are not compared: {found.unreadable}")
    click.echo("\nQuality")
    for side in (found.before, found.after):
        click.echo(f"  {side.run_id}  {_quality(side)}")
    click.echo("\nCauses")
    causes = found.causes + [f"{name} seems to be cut off" for name in found.cut]
    for cause in causes or ["none found: same input, code and parameters"]:
        click.echo(f"  {cause}")


def print_titles(titles: Titles) -> None:
    """Print the titles that changed, with examples."""
    click.echo(f"\nTitles with neighbours: {titles.before:,} -> {titles.after:,}")
    click.echo(f"  gained {titles.gained:,}{_examples(titles.gained_examples)}")
    click.echo(f"  lost   {titles.lost:,}{_examples(titles.lost_examples)}")
    click.echo(f"Titles with another text: {titles.renamed:,} of {titles.common:,}")
    for old, new in titles.renamed_examples:
        click.echo(f"  {old or '(none)'} -> {new or '(none)'}")


def print_lists(lists: Lists, before: str, after: str) -> None:
    """Print how far the lists moved and those that moved most.

    Args:
        lists: what changed.
        before: the measure of the earlier lists.
        after: the measure of the later lists.
    """
    measure = before if before == after else f"{before} and {after}"
    click.echo(f"\nLists by {measure} of {lists.common:,} common titles")
    if lists.median_overlap is not None:
        click.echo(
            f"  median rank-biased overlap {lists.median_overlap:.2f} (1 is the same, 0 has "
            f"nothing in common); unchanged {lists.unchanged:,}"
        )
    for mover in lists.movers:
        click.echo(f"  {mover.overlap:.2f}  {mover.title} ({mover.movie_id})")
        click.echo(f"        before: {'; '.join(mover.before)}")
        click.echo(f"        after:  {'; '.join(mover.after)}")


def _examples(titles: Sequence[str]) -> str:
    return f": {'; '.join(titles)}" if titles else ""


def _quality(side: Side) -> str:
    quality: QualityItem | None = side.quality
    if not quality:
        return "no figures"
    return (
        f"{quality['measure']}: recall@20 {quality['recall']:.3f}, lift {quality['lift']:.2f} "
        f"(standard error {quality['lift_error']:.2f}), {quality['users']} users"
    )
