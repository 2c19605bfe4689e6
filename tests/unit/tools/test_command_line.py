"""The command lines of the tools: help with an example for each command, errors as one line."""

import re
import shlex

import click
import pytest
from click.testing import CliRunner

import local.__main__
from pictures import charts, notebook, screenshots
from tools import job_archive, synthetic
from tools.command_line import errors_as_exit_status
from tools.setup import hadoop

PROGRAMS: dict[str, click.Command] = {
    "local": local.__main__.cli,
    "pictures.charts": charts.main,
    "pictures.notebook": notebook.cli,
    "pictures.screenshots": screenshots.main,
    "tools.setup.hadoop": hadoop.main,
    "tools.job_archive": job_archive.main,
    "tools.synthetic": synthetic.main,
}
COMMANDS = [
    (program, name)
    for program, command in PROGRAMS.items()
    for name in ["", *(command.commands if isinstance(command, click.Group) else ())]
]


@pytest.mark.parametrize(("program", "name"), COMMANDS)
def test_every_command_has_help_with_an_example_that_parses(program: str, name: str) -> None:
    command = PROGRAMS[program]
    answer = CliRunner().invoke(command, [*([name] if name else []), "--help"])
    assert answer.exit_code == 0
    examples = re.findall(
        rf"^ +PYTHONPATH=functions \.venv[a-z-]*/bin/python -m {re.escape(program)}(.*)$",
        answer.output,
        re.MULTILINE,
    )
    assert examples
    for example in examples:
        words = shlex.split(example)
        assert not name or words[0] == name
        context = command.make_context(program, words)
        if isinstance(command, click.Group):
            found, inner, rest = command.resolve_command(
                context, [*context._protected_args, *context.args]
            )
            assert inner
            inner.make_context(found, rest)


class ExpectedError(Exception):
    """An error that a user can act on."""


@pytest.mark.parametrize(
    ("error", "status", "output"),
    [(ExpectedError("no network"), 1, "Error: no network\n"), (ValueError("a bug"), 1, "")],
)
def test_only_an_expected_error_is_one_line(error: Exception, status: int, output: str) -> None:
    @click.command
    @errors_as_exit_status(ExpectedError)
    def fail() -> None:
        raise error

    answer = CliRunner().invoke(fail)
    assert (answer.exit_code, answer.output) == (status, output)
    assert isinstance(answer.exception, SystemExit) == isinstance(error, ExpectedError)
