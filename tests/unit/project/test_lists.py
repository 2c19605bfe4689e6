"""Lists in several places agree: measures, states of a run, paths in the documents."""

import re

import pytest

from runs.states import State
from spark.contracts.measures import WORDS
from spark.measures.registry import MEASURES
from tests.conftest import ROOT
from tools.template import template


def rows(document: str) -> set[str]:
    """The first cells of all tables of a document, without backquotes."""
    text = (ROOT / document).read_text()
    return set(re.findall(r"^\| `?([\w-]+)`? \|", text, re.MULTILINE))


def test_every_measure_has_words_for_people() -> None:
    assert WORDS.keys() == MEASURES.keys()


def test_a_deployer_can_choose_every_usual_measure_as_the_default() -> None:
    allowed = template()["Parameters"]["DefaultMeasure"]["AllowedValues"]
    assert allowed == [name for name, measure in MEASURES.items() if measure.is_usual]


@pytest.mark.parametrize("document", ["README.md", "docs/api.md"])
def test_a_document_describes_every_usual_measure(document: str) -> None:
    assert {name for name, measure in MEASURES.items() if measure.is_usual} <= rows(document)


def test_the_architecture_describes_every_state_of_a_run() -> None:
    assert {state.value for state in State} <= rows("docs/architecture.md")


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/architecture.md"])
def test_every_path_that_a_document_names_exists(document: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / document).read_text(), flags=re.DOTALL)
    rooms = "functions|spark|cli|local|tools|pictures|evaluation|benchmarks|tests|docs|events"
    named = set(re.findall(rf"`((?:{rooms})/[\w/.-]*)`", text))
    assert named
    assert not [path for path in sorted(named) if not (ROOT / path).exists()]
