"""What all command lines of the project share: help with examples, errors as one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

HELP_OPTIONS: dict[str, Any] = {"help_option_names": ["-h", "--help"]}


def examples(*lines: str) -> str:
    """The end of a command's help: its examples, one per line."""
    heading = "example:" if len(lines) == 1 else "examples:"
    return "\n".join(["\b", heading, *(f"  {line}" for line in lines)])


def module_examples(module: str, *arguments: str, environment: str = ".venv") -> str:
    """The end of a module's help: examples with these arguments, ready to paste."""
    run = f"PYTHONPATH=functions {environment}/bin/python -m {module}"
    return examples(*(f"{run} {each}".rstrip() for each in arguments))


@contextmanager
def errors_as_exit_status(*errors: type[Exception]) -> Iterator[None]:
    """Turn errors that a user can act on into one line and exit status 1.

    Args:
        errors: the types to turn; all others pass.
    """
    try:
        yield
    except errors as error:
        raise click.ClickException(str(error)) from error
