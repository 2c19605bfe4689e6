"""The operator's command line: `./similar-titles --help`. The make targets call it, too."""

import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import click
from botocore.exceptions import BotoCoreError, ClientError
from rich import box
from rich.console import Console
from rich.table import Table

from cli.diffs import print_diff
from cli.stack import STACK, Stack, StackError
from cli.teardown import Teardown
from datasets import ARCHIVE
from local.drops import drop as upload
from local.up import FOLDER
from quality_gate import rejects_text
from runs.states import State
from tools.command_line import HELP_OPTIONS, errors_as_exit_status, examples
from tools.data_sets import NoDataSetError, folder_of
from tools.progress import StageProgress

RUN = "20261123T120500000Z-5f2a9c01"
LATER_RUN = "20261124T090000000Z-0b7d11e4"
ACCOUNT_HELP = """
The AWS account and region come from the same settings as the AWS CLI's. With --local, commands
work on the cloud that `make local` keeps up.
"""
# The attributes of one run that `status` shows, in this order; absent ones are left out.
DETAILS = (
    "run_id", "folder", "state", "reason", "waits_for", "attempt", "rerun_of", "timeline",
    "cluster_id", "log_uri", "failed_start", "estimated_cost", "actual_cost", "counts", "quality",
    "held_back", "rejects", "rejects_uri",
)  # fmt: skip
ERRORS = (StackError, NoDataSetError, BotoCoreError, ClientError)

type Command = Callable[..., Any]


def with_stack(command: Command) -> Command:
    """Add the options --stack and --json to a command, and show its errors as one line."""
    stack = click.option("--stack", default=STACK, show_default=True, help="Name of the stack.")
    as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
    return stack(as_json(errors_as_exit_status(*ERRORS)(command)))


@click.group(
    context_settings=HELP_OPTIONS,
    epilog=examples(
        "similar-titles status",
        "similar-titles drop ~/ml-10M100K",
        f"similar-titles promote {RUN} --stack similar-titles-prod",
        "similar-titles --local status --json",
    )
    + f"\n{ACCOUNT_HELP}",
)
@click.option("--local", "is_local", is_flag=True, help="Use the cloud that `make local` keeps up.")
def cli(is_local: bool) -> None:
    """Operate a deployed similar-titles stack."""
    if is_local:
        os.environ.update(local_environment(FOLDER / "env"))


@cli.command(epilog=examples("similar-titles status", f"similar-titles status {RUN}"))
@click.argument("run_id", required=False, metavar="[RUN]")
@click.option(
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(1, 100),
    help="Number of runs to show.",
)
@with_stack
def status(run_id: str | None, limit: int, stack: str, as_json: bool) -> None:
    """Show the latest runs and the folders that wait, or the details of one run."""
    deployed = Stack.find(stack)
    if run_id:
        run: Mapping[str, Any] = deployed.run(run_id)
        details = {name: run[name] for name in DETAILS if run.get(name)}
        click.echo(as_text(details)) if as_json else print_run(details)
    else:
        runs = deployed.latest_runs(limit)
        click.echo(as_text(runs)) if as_json else print_runs(runs)
        for drop in deployed.waiting():
            line = f"{drop['folder']} waits since {_time(drop['since'])}: {drop['waits_for']}"
            click.echo(line, err=as_json)
        print_endpoint_costs(deployed)


@cli.command(epilog=examples("similar-titles drop ~/ml-10M100K --name ml-10M100K"))
@click.argument("dataset")
@click.option("--name", help="Name of the folder in the bucket; by default the data set's own.")
@with_stack
def drop(dataset: str, name: str | None, stack: str, as_json: bool) -> None:
    """Upload a MovieLens folder, which starts a run.

    DATASET: a folder or its zip, a release (ml-latest-small) or a generated set (sample, 1m, 10m).
    """
    bucket = Stack.find(stack).physical_id("DatasetsBucket")
    path = Path(dataset).expanduser()
    is_zip = path.is_file() and path.suffix.lower() == ARCHIVE
    source = path if is_zip else folder_of(dataset)
    name = (name or source.name).strip("/")
    if is_zip and not name.lower().endswith(ARCHIVE):
        name += ARCHIVE
    with StageProgress() as progress:
        progress.stage("drop", f"{source} to s3://{bucket}/{name}")
        upload(boto3.client("s3"), bucket, source, name, progress.transferred)
    print_done(f"{name} is uploaded; `similar-titles status` shows its run", as_json)


@cli.command(epilog=examples(f"similar-titles rerun {RUN}"))
@click.argument("run_id", metavar="RUN")
@with_stack
def rerun(run_id: str, stack: str, as_json: bool) -> None:
    """Repeat a run on a new cluster, with the same input and code."""
    print_done(Stack.find(stack).control("rerun", run_id), as_json)


@cli.command(epilog=examples(f"similar-titles promote {RUN}"))
@click.argument("run_id", metavar="RUN")
@with_stack
def promote(run_id: str, stack: str, as_json: bool) -> None:
    """Make a run live that was superseded, or held back by the quality gate."""
    print_done(Stack.find(stack).control("promote", run_id), as_json)


@cli.command(epilog=examples(f"similar-titles diff {RUN} {LATER_RUN}"))
@click.argument("run_a", metavar="RUN_A")
@click.argument("run_b", metavar="RUN_B")
@with_stack
def diff(run_a: str, run_b: str, stack: str, as_json: bool) -> None:
    """Compare two runs: titles gained and lost, lists that moved, quality, and why.

    Reads both results from the results bucket.
    """
    found = Stack.find(stack).diff(run_a, run_b)
    click.echo(as_text(asdict(found))) if as_json else print_diff(found)


@cli.command(epilog=examples("similar-titles rollback"))
@with_stack
def rollback(stack: str, as_json: bool) -> None:
    """Return to the run that was live before, at once."""
    print_done(Stack.find(stack).control("rollback"), as_json)


@cli.command(epilog=examples("similar-titles rebuild"))
@with_stack
def rebuild(stack: str, as_json: bool) -> None:
    """Load the live run's result into the index again."""
    print_done(Stack.find(stack).control("rebuild"), as_json)


@cli.command(epilog=examples("similar-titles redrive"))
@with_stack
def redrive(stack: str, as_json: bool) -> None:
    """Move messages from the dead-letter queues back to their queues."""
    for done in Stack.find(stack).redrive():
        print_done(done, as_json)


@cli.command(epilog=examples("similar-titles destroy", "similar-titles destroy --with-data"))
@click.option("--with-data", is_flag=True, help="Also delete the buckets and the runs table.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@with_stack
def destroy(with_data: bool, yes: bool, stack: str, as_json: bool) -> None:
    """Delete a stack and everything else of it that costs money."""
    teardown = Teardown.find(stack)
    question = f"This will delete {teardown.summary(with_data)}. Type the stack's name to confirm"
    if not yes and click.prompt(question, default="", show_default=False) != stack:
        raise StackError("nothing was deleted")
    for done in teardown.run(with_data):
        print_done(done, as_json)


@cli.command(epilog=examples("similar-titles preflight --zone us-east-1a"))
@click.option("--zone", default="", help="Zone of the subnet; by default AvailabilityZone.")
@with_stack
def preflight(zone: str, stack: str, as_json: bool) -> None:
    """Check that an account is ready for a first deployment. Changes nothing.

    The parameters are those of `make deploy`: the template's defaults, overridden by
    samconfig.toml. The exit status is 1 if something is missing.
    """
    # PyYAML, which no other command needs.
    from cli.preflight import Plan, Verdict, findings

    missing = False
    for finding in findings(Plan.read(stack, zone)):
        missing |= finding.verdict is Verdict.MISSING
        if as_json:
            click.echo(as_text(asdict(finding)))
        else:
            click.echo(f"{finding.verdict:12} {finding.subject:20} {finding.told}")
    if missing:
        sys.exit(1)


@cli.command(
    epilog=examples(
        "similar-titles evaluate ml-latest-small --json",
        "similar-titles evaluate ~/ml-25m --judgements ~/more-like-this/ratings.tsv",
    )
)
@click.argument("dataset", default="ml-1m")
@click.option(
    "--judgements",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="People's judgements of which movies are alike: tabs or commas between title_1, year_1, "
    "title_2, year_2, rating (OK or NOT_OK), or between movie_id_1, movie_id_2, rating.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
@errors_as_exit_status(*ERRORS)
def evaluate(dataset: str, judgements: Path | None, as_json: bool) -> None:
    """Measure the quality of the neighbours and write docs/quality.md.

    DATASET: a folder, a release or a generated set. The default is ml-1m, for which others have
    published figures. Takes minutes and runs on this machine, with or without --local.
    """
    # Spark and SciPy take a second to import, and no other command needs them.
    from evaluation.measuring import measure

    figures = measure(dataset, judgements)
    click.echo(as_text(figures) if as_json else "written to docs/quality.md")


def local_environment(path: Path) -> Mapping[str, str]:
    """Return the variables in the file that `local.up` writes for shells.

    Raises:
        click.ClickException: the file does not exist, so no local cloud is up.
    """
    if not path.exists():
        raise click.ClickException("no local cloud is up: `make local` starts one")
    words = shlex.split(path.read_text())
    return dict(word.split("=", 1) for word in words if "=" in word)


def print_done(done: str, as_json: bool) -> None:
    """Print what a command has done."""
    click.echo(as_text({"done": done}) if as_json else done)


def as_text(value: object) -> str:
    """Return items of the runs table as JSON."""
    return json.dumps(value, default=_plain, ensure_ascii=False, indent=None)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, set):
        return sorted(value)
    raise TypeError(f"a run contains a {type(value)}")


def print_runs(runs: Sequence[Mapping[str, Any]]) -> None:
    """Print runs as a table and mark the live one."""
    if not runs:
        click.echo("no runs yet: drop a MovieLens folder")
        return
    table = Table("", "run", "folder", "state", "since", "ratings", "pairs", "USD", box=box.SIMPLE)
    for name in ("ratings", "pairs", "USD"):
        table.columns[[column.header for column in table.columns].index(name)].justify = "right"
    for run in runs:
        counts = run.get("counts", {})
        cost = (run.get("actual_cost") or run.get("estimated_cost") or {}).get("usd")
        table.add_row(
            "●" if run["state"] == "LIVE" else "",
            *(run[name] for name in ("run_id", "folder", "state")),
            _time(run["updated_at"]),
            *(f"{counts[name]:,}" if name in counts else "" for name in ("ratings", "pairs")),
            f"{cost:.2f}" if cost is not None else "",
        )
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table, markup=False)
    for run in runs:
        if "waits_for" in run:
            console.print(f"{run['run_id']}: {run['waits_for']}", markup=False, soft_wrap=True)
        if run["state"] == "FAILED":
            console.print(f"{run['run_id']}: {run.get('reason')}", markup=False, soft_wrap=True)
        elif run.get("rejects"):
            told = f"{rejects_text(run['rejects'])}; the lines: {run['rejects_uri']}"
            console.print(f"{run['run_id']}: {told}", markup=False, soft_wrap=True)


def _time(stamp: str) -> str:
    return stamp.replace("T", " ")[:19]


def print_endpoint_costs(deployed: Stack) -> None:
    """Print to standard error what EMR's endpoints cost while no cluster runs."""
    try:
        for line in deployed.endpoint_costs():
            click.echo(line, err=True)
    except (BotoCoreError, ClientError) as error:
        click.echo(f"EMR's endpoints, which cost money, could not be listed: {error}", err=True)


def print_run(details: Mapping[str, Any]) -> None:
    """Print the details of one run, one attribute a line."""
    for name, value in details.items():
        if name == "rejects":
            click.echo(f"{name:15} {rejects_text(value)}")
        elif isinstance(value, Mapping):
            inner = ", ".join(f"{each} {value[each]}" for each in value)
            click.echo(f"{name:15} {inner}")
        else:
            meaning = f" ({State[value].label})" if name == "state" else ""
            click.echo(f"{name:15} {value}{meaning}")
