"""The operator's command line: `./similar-titles --help`; the make targets call it, too."""

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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

from cli.stack import STACK, Stack, StackError
from cli.teardown import Teardown
from local.demo import mebibytes
from local.drops import drop as upload
from local.progress import Screen
from local.up import FOLDER
from runs import State
from tools.data_sets import NoDataSetError, bar, folder_of

RUN = "20261123T120500000Z-5f2a9c01"
EXAMPLES = f"""
\b
examples:
  similar-titles status
  similar-titles drop ~/ml-10M100K
  similar-titles promote {RUN} --stack similar-titles-prod
  similar-titles --local status --json

An AWS account is found as the AWS CLI finds it; --local is the cloud that `make local` keeps up.
"""
# What `status` tells of one run, in this order; what a run has not is left out.
DETAILS = (
    "run_id", "folder", "state", "reason", "attempt", "rerun_of", "timeline", "cluster_id",
    "log_uri", "failed_start", "estimated_cost", "actual_cost", "counts", "quality", "held_back",
)  # fmt: skip

type Command = Callable[..., Any]


def with_stack(command: Command) -> Command:
    """Give a command the options that all have."""
    stack = click.option("--stack", default=STACK, show_default=True, help="The stack's name.")
    as_json = click.option("--json", "as_json", is_flag=True, help="Answer as JSON, for programs.")
    return stack(as_json(command))


@click.group(epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--local", "is_local", is_flag=True, help="Work on the cloud that `make local` keeps."
)
def cli(is_local: bool) -> None:
    """Operate a deployed similar-titles."""
    if is_local:
        os.environ.update(local_environment(FOLDER / "env"))


@cli.command(epilog=f"\b\nexample:\n  similar-titles status {RUN}")
@click.argument("run_id", required=False, metavar="[RUN]")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100))
@with_stack
def status(run_id: str | None, limit: int, stack: str, as_json: bool) -> None:
    """Show the latest runs, or all that is known of one."""
    with errors_as_exit_status():
        deployed = Stack.find(stack)
        if run_id:
            run: Mapping[str, Any] = deployed.run(run_id)
            known = {name: run[name] for name in DETAILS if run.get(name)}
            click.echo(as_text(known)) if as_json else print_run(known)
        else:
            runs = deployed.latest_runs(limit)
            click.echo(as_text(runs)) if as_json else print_runs(runs)
            print_endpoint_costs(deployed)


@cli.command(epilog="\b\nexample:\n  similar-titles drop ~/ml-10M100K --name ml-10M100K")
@click.argument("dataset")
@click.option("--name", help="Of the folder in the bucket; the data set's own if not given.")
@with_stack
def drop(dataset: str, name: str | None, stack: str, as_json: bool) -> None:
    """Upload a MovieLens folder, which starts its run.

    DATASET: a folder, a release (ml-latest-small) or a generated set (sample, 1m, 10m).
    """
    with errors_as_exit_status():
        bucket = Stack.find(stack).physical_id("DatasetsBucket")
        folder = folder_of(dataset, bar(dataset))
        name = (name or folder.name).strip("/")
        with Screen() as screen:
            screen.stage("drop", f"{folder} to s3://{bucket}/{name}/")
            upload(
                boto3.client("s3"),
                bucket,
                folder,
                name,
                lambda done, total: screen.note(mebibytes(done, total), done, total),
            )
        print_done(f"{name} is dropped; `similar-titles status` shows its run", as_json)


@cli.command(epilog=f"\b\nexample:\n  similar-titles rerun {RUN}")
@click.argument("run_id", metavar="RUN")
@with_stack
def rerun(run_id: str, stack: str, as_json: bool) -> None:
    """Launch a run's cluster once more, on the same input and code."""
    control("rerun", stack, as_json, run_id)


@cli.command(epilog=f"\b\nexample:\n  similar-titles promote {RUN}")
@click.argument("run_id", metavar="RUN")
@with_stack
def promote(run_id: str, stack: str, as_json: bool) -> None:
    """Make a run live that is superseded or was held back for its quality."""
    control("promote", stack, as_json, run_id)


@cli.command(epilog="\b\nexample:\n  similar-titles rollback")
@with_stack
def rollback(stack: str, as_json: bool) -> None:
    """Answer readers from the run before the live one, at once."""
    control("rollback", stack, as_json)


@cli.command(epilog="\b\nexample:\n  similar-titles rebuild")
@with_stack
def rebuild(stack: str, as_json: bool) -> None:
    """Load the live run's result into the index once more."""
    control("rebuild", stack, as_json)


@cli.command(epilog="\b\nexample:\n  similar-titles redrive")
@with_stack
def redrive(stack: str, as_json: bool) -> None:
    """Send messages that failed for good to their queues again."""
    with errors_as_exit_status():
        for done in Stack.find(stack).redrive():
            print_done(done, as_json)


@cli.command(epilog="\b\nexample:\n  similar-titles destroy --with-data")
@click.option("--with-data", is_flag=True, help="Also buckets and runs, with all that is in them.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_stack
def destroy(with_data: bool, yes: bool, stack: str, as_json: bool) -> None:
    """Delete all of a stack that costs; asks first."""
    with errors_as_exit_status():
        teardown = Teardown.find(stack)
        question = f"This will delete {teardown.summary(with_data)}. Type its name to go on"
        if not yes and click.prompt(question, default="", show_default=False) != stack:
            raise StackError("nothing was done")
        for done in teardown.run(with_data):
            print_done(done, as_json)


@cli.command("preflight", epilog="\b\nexample:\n  similar-titles preflight --zone us-east-1a")
@click.option("--zone", default="", help="Of the stack's subnet; AvailabilityZone if not given.")
@with_stack
def check_account(zone: str, stack: str, as_json: bool) -> None:
    """Check what a first deploy needs of the account; changes nothing.

    The parameters are those of `make deploy`: the template's, and what samconfig.toml gives. Exit
    status 1 if something is missing.
    """
    # YAML, which no other command needs.
    from cli.preflight import Plan, Verdict, preflight

    missing = False
    for found in preflight(Plan.read(stack, zone)):
        missing |= found.verdict is Verdict.MISSING
        if as_json:
            click.echo(as_text(asdict(found)))
        else:
            click.echo(f"{found.verdict:12} {found.subject:20} {found.told}")
    if missing:
        sys.exit(1)


@cli.command(epilog="\b\nexample:\n  similar-titles evaluate ml-latest-small --json")
@click.argument("dataset", default="ml-1m")
@click.option("--json", "as_json", is_flag=True, help="Answer with all figures as JSON.")
def evaluate(dataset: str, as_json: bool) -> None:
    """Measure how good the neighbours are and write docs/quality.md.

    DATASET: a folder, a release or a generated set; ml-1m, which others published figures of, if
    none is named. It takes minutes and works on this machine, whatever --local says.
    """
    with errors_as_exit_status():
        # Spark and SciPy, whose import takes a second that no other command needs.
        from evaluation.measuring import measure

        figures = measure(dataset)
        click.echo(as_text(figures) if as_json else "written to docs/quality.md")


def control(command: str, stack: str, as_json: bool, run_id: str | None = None) -> None:
    """Have the stack's control function do something, and say what it did."""
    with errors_as_exit_status():
        print_done(Stack.find(stack).control(command, run_id), as_json)


@contextmanager
def errors_as_exit_status() -> Iterator[None]:
    """Turn what goes wrong into one line and exit status 1."""
    try:
        yield
    except (StackError, NoDataSetError, BotoCoreError, ClientError) as error:
        raise click.ClickException(str(error)) from error


def local_environment(path: Path) -> Mapping[str, str]:
    """The variables of a local cloud, from the file that `local.up` writes for shells.

    Raises:
        click.ClickException: there is no such file: no local cloud is up.
    """
    if not path.exists():
        raise click.ClickException("no local cloud is up: `make local` starts one")
    words = shlex.split(path.read_text())
    return dict(word.split("=", 1) for word in words if "=" in word)


def print_done(done: str, as_json: bool) -> None:
    """Tell what was done."""
    click.echo(as_text({"done": done}) if as_json else done)


def as_text(value: object) -> str:
    """JSON of what the runs table has."""
    return json.dumps(value, default=_plain, ensure_ascii=False, indent=None)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, set):
        return sorted(value)
    raise TypeError(f"{type(value)} is not expected in a run")


def print_runs(runs: Sequence[Mapping[str, Any]]) -> None:
    """Print runs as a table, the live one marked."""
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
            run["updated_at"].replace("T", " ")[:19],
            *(f"{counts[name]:,}" if name in counts else "" for name in ("ratings", "pairs")),
            f"{cost:.2f}" if cost is not None else "",
        )
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table, markup=False)
    for run in runs:
        if run["state"] == "FAILED":
            console.print(f"{run['run_id']}: {run.get('reason')}", markup=False, soft_wrap=True)


def print_endpoint_costs(deployed: Stack) -> None:
    """Tell on stderr, beside what programs read, what costs while nothing runs."""
    try:
        for line in deployed.costs_of_endpoints():
            click.echo(line, err=True)
    except (BotoCoreError, ClientError) as error:
        click.echo(f"EMR's endpoints, which cost, could not be looked for: {error}", err=True)


def print_run(known: Mapping[str, Any]) -> None:
    """Print what is known of one run, a line for each thing."""
    for name, value in known.items():
        if isinstance(value, Mapping):
            inner = ", ".join(f"{each} {value[each]}" for each in value)
            click.echo(f"{name:15} {inner}")
        else:
            meaning = f" ({State[value].label})" if name == "state" else ""
            click.echo(f"{name:15} {value}{meaning}")
