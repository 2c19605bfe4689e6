"""Prepares a program for running a local cloud: no other AWS account, an orderly exit."""

import os
import select
import signal
import sys
import threading
from types import FrameType

from local.access import clean_environment
from tools.setup.java import java_home


def prepare_process() -> None:
    """Prepare this process to run a local cloud.

    Raises:
        NoJavaError: Spark would find no Java.
    """
    _forget_the_users_account()
    install_signal_handlers()
    java_home()


def install_signal_handlers() -> None:
    """End in good order on Ctrl-C, on SIGTERM, and when the terminal is closed."""
    signals = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup ignores SIGHUP
        signals.append(signal.SIGHUP)
        if sys.stdin and sys.stdin.isatty():
            threading.Thread(target=_watch_terminal, daemon=True).start()
    for number in signals:
        signal.signal(number, _exit)


def _watch_terminal() -> None:
    """Send SIGHUP to this process when its terminal is closed.

    The kernel sends SIGHUP only to the first program of a terminal. If that is make, make waits
    for this process and does not pass the signal on.
    """
    terminal = select.poll()
    terminal.register(sys.stdin, 0)  # poll reports POLLHUP even if no event is requested
    if any(event & select.POLLHUP for _, event in terminal.poll()):
        os.kill(os.getpid(), signal.SIGHUP)


def _exit(number: int, _: FrameType | None) -> None:
    """Exit, and let no further signal interrupt the cleanup."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def _forget_the_users_account() -> None:
    """Keep this process away from the AWS account that the user is signed in to."""
    kept = clean_environment()
    for name in os.environ.keys() - kept.keys():
        if name.startswith("AWS_"):
            del os.environ[name]
    os.environ.update(
        {name: kept[name] for name in kept if name.startswith(("AWS_", "NO_", "no_"))}
    )
