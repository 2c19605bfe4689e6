"""AWS in process: moto with the template's own tables, and builders for drops and results."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.builders.aws import Cloud, account
from tests.unit.dynalite import Dynalite, UnavailableError, running
from tests.unit.runbook import errors_for_operators, has_row


@pytest.fixture(autouse=True)
def raised() -> Iterator[set[str]]:
    """The errors for operators that the code raises in the test; the runbook has a row for each."""
    with errors_for_operators() as messages:
        yield messages
    for message in sorted(messages):
        assert has_row(message), f"docs/runbook.md has no row for: {message}"


@pytest.fixture
def database() -> str:
    """What plays DynamoDB; a module that imports dynalite's fixture of this name has it be both."""
    return "moto"


@pytest.fixture(scope="session")
def dynalite() -> Iterator[Dynalite]:
    """See its module; the test skips where it cannot be had."""
    with ExitStack() as stack:
        try:
            started = stack.enter_context(running())
        except UnavailableError as error:
            pytest.skip(str(error))
        yield started


@pytest.fixture
def cloud(database: str, request: pytest.FixtureRequest) -> Iterator[Cloud]:
    """See `account`."""
    second = request.getfixturevalue("dynalite") if database == "dynalite" else None
    with account(second) as made:
        yield made
