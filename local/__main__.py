"""`python -m local`: what `make demo` and `make local` call."""

import argparse
import os
import select
import signal
import sys
import threading
from types import FrameType

from local.access import clean_environment
from local.cloud import CloudError
from local.demo import DemoError, demo
from local.drops import RunError
from local.up import up
from pictures.browser import NoBrowserError
from pictures.screenshots import screenshots
from tools.data_sets import RELEASES, SYNTHETIC, NoDataSetError
from tools.java import NoJavaError, java_home
from tools.job_archive import ArchiveError

EXAMPLES = """examples:
  python -m local demo
  python -m local demo --dataset ml-latest-small --movie "Matrix, The (1999)"
  python -m local demo --dataset ~/ml-10M100K --movie 1
  python -m local up --dataset sample
"""
ERRORS = (
    NoDataSetError, CloudError, ArchiveError, RunError, DemoError, NoJavaError, NoBrowserError,
)  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parser().parse_args(arguments)
    _forget_the_users_account()
    install_signal_handlers()
    try:
        java_home()
        if options.command == "up":
            up(options.dataset)
        elif options.command == "screenshots":
            screenshots()
        else:
            demo(options.dataset, options.movie)
    except ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ended", file=sys.stderr)
        return 0 if options.command == "up" else 130
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    whole = argparse.ArgumentParser(
        prog="python -m local",
        description="The whole of AWS that similar-titles needs, on this machine.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = whole.add_subparsers(dest="command", required=True)
    show = commands.add_parser("demo", help="run the pipeline on a data set and ask the API")
    known = ", ".join([*SYNTHETIC, *RELEASES])
    show.add_argument("--dataset", default="sample", help=f"{known}, or a folder")
    show.add_argument("--movie", help="id or title of the movie to find similar titles of")
    keep = commands.add_parser("up", help="start a cloud and keep it up until Ctrl-C")
    keep.add_argument("--dataset", help="one to drop at once, as of demo")
    commands.add_parser("screenshots", help="write the explorer's pictures to docs/images")
    return whole


def install_signal_handlers() -> None:
    """Make Ctrl-C, a kill and the closing of the terminal an end in good order."""
    ends = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # else it was started by nohup
        ends.append(signal.SIGHUP)
        if sys.stdin and sys.stdin.isatty():
            threading.Thread(target=_watch_terminal, daemon=True).start()
    for number in ends:
        signal.signal(number, _end)


def _watch_terminal() -> None:
    """Notice that the terminal is closed.

    The system tells it only to the first program in a terminal. Where that is make, it waits for
    this one and does not pass it on.
    """
    terminal = select.poll()
    terminal.register(sys.stdin, 0)  # a hang-up is told without being asked for
    if any(event & select.POLLHUP for _, event in terminal.poll()):
        os.kill(os.getpid(), signal.SIGHUP)


def _end(number: int, _: FrameType | None) -> None:
    """End in good order; whoever is impatient does not interrupt the tidying up."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def _forget_the_users_account() -> None:
    """Make this process reach the local cloud only, whatever account the user is logged in to."""
    kept = clean_environment()
    for name in os.environ.keys() - kept.keys():
        if name.startswith("AWS_"):
            del os.environ[name]
    os.environ.update(
        {name: kept[name] for name in kept if name.startswith(("AWS_", "NO_", "no_"))}
    )


if __name__ == "__main__":
    sys.exit(main())
