"""Runs the command line: `./similar-titles --help`."""

from cli.commands import cli

cli(prog_name="similar-titles")
