"""`python -m local`: the commands behind `make demo` and `make local`."""

import click

from local import demo as pipeline_demo
from local import up as local_cloud
from local.cloud import CloudError
from local.demo import DemoError
from local.drops import RunError
from local.process import prepare_process
from tools.command_line import HELP_OPTIONS, errors_as_exit_status, module_examples
from tools.data_sets import RELEASES, SYNTHETIC, NoDataSetError
from tools.job_archive import ArchiveError
from tools.setup.java import NoJavaError

DATA_SET = f"{', '.join([*SYNTHETIC, *RELEASES])}, or a folder."
ERRORS = (NoDataSetError, CloudError, ArchiveError, RunError, DemoError, NoJavaError)
INTERRUPTED = 130  # exit status of a program that Ctrl-C ended, as shells report it


@click.group(
    context_settings=HELP_OPTIONS,
    epilog=module_examples("local", "demo", "up --dataset sample"),
)
def cli() -> None:
    """Run similar-titles on this machine, with everything that it needs of AWS."""


@cli.command(
    epilog=module_examples(
        "local",
        "demo",
        'demo --dataset ml-latest-small --movie "Matrix, The (1999)"',
        "demo --dataset ~/ml-10M100K --movie 1",
    )
)
@click.option("--dataset", default="sample", show_default=True, help=DATA_SET)
@click.option("--movie", help="Id or title of the movie whose similar titles are shown.")
@errors_as_exit_status(*ERRORS)
def demo(dataset: str, movie: str | None) -> None:
    """Run the pipeline on a data set and show the titles similar to a movie."""
    prepare_process()
    try:
        pipeline_demo.demo(dataset, movie)
    except KeyboardInterrupt:
        click.echo("ended", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None


@cli.command(epilog=module_examples("local", "up", "up --dataset ml-latest-small"))
@click.option("--dataset", help=f"Drop this data set at once: {DATA_SET}")
@errors_as_exit_status(*ERRORS)
def up(dataset: str | None) -> None:
    """Start a local cloud and keep it up until Ctrl-C."""
    prepare_process()
    try:
        local_cloud.up(dataset)
    except KeyboardInterrupt:
        click.echo("ended", err=True)


if __name__ == "__main__":
    cli(prog_name="python -m local")
