"""Prose is plain English: habits that make a native speaker stumble, and what to write instead.

Only prose is searched: Markdown without its code, and the comments and strings of a program.
"""

import io
import re
import tokenize
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import ROOT

# The files that are searched, as globs below the root.
CHECKED = [
    "*.md",
    "Makefile",
    "template.yaml",
    "events/*.md",
    "docs/[!rn]*.md",  # reliability.md and notebook.md are written from tests and the notebook
    "docs/runbook.md",
    "docs/decisions/*.md",
    "functions/**/*.py",
    "functions/query/explorer/*.[hcj]*",
    "cli/*.py",
    "local/**/*.py",
    "tools/*.py",
    "pictures/*.py",
    "spark/*.py",
    "spark/[!e]*/*.py",
    "spark/engine/[!k]*.py",  # all but the kernel's derivation
    "evaluation/*.py",
    "evaluation/template.md",
    "benchmarks/*.py",
    "tests/*.py",
    "tests/[!d]*/**/*.py",
    "tests/drills/[!f]*.py",  # findings.py consists of names of tests
]


class Habit(NamedTuple):
    """A turn of phrase to avoid.

    Attributes:
        pattern: finds it, in upper and lower case, where one space separates the words.
        example: a sentence that has it.
        plain: the same sentence without it.
        reason: why to avoid it.
    """

    pattern: str
    example: str
    plain: str
    reason: str


HABITS = [
    Habit(
        r"(?<!there )\b(is|are|was|were) no (?!longer|more|less|fewer|better|worse|one\b)",
        "the body is no JSON",
        "the body is not JSON",
        "a noun is negated by 'not' or 'not a'",
    ),
    Habit(
        r", so that\b",
        "the bucket is public, so that all can read it",
        "the bucket is public, so all can read it",
        "a result is 'so'; 'so that' is a purpose and follows no comma",
    ),
    Habit(
        r"\bwhere (there (is|are)|no|none|nothing|nobody|somebody)\b|\bonly where\b",
        "a default where none is named",
        "a default if none is named",
        "'where' is a place; a condition is 'if' or 'when'",
    ),
    Habit(
        r"\b(of|to|by|for|from|with) whom\b",
        "users of whom nothing is known",
        "users without known ratings",
        "stiff; begin a sentence with the person",
    ),
    Habit(
        r"\bwhoever\b",
        "Whoever deploys needs a role",
        "To deploy, you need a role",
        "a subject that is a clause; write 'if you', 'anyone who' or an infinitive",
    ),
    Habit(
        r"\b(is|are|was|were|be|been) told\b(?! apart)|\btold (of|to|as)\b",
        "the operator is told of a failure",
        "the operator gets a notification of a failure",
        "a machine reports, shows, returns or notifies",
    ),
    Habit(
        r"\b(is|are|was|were|be|been|being) asked\b(?! (to|whether)\b)|\basked (for|of)\b",
        "a cluster is asked for",
        "a cluster is requested",
        "a request is 'requested', a service 'called'",
    ),
    Habit(
        r"\bso (many|much)\b(?! (as|that)\b)",
        "ended after so many minutes",
        "ended after this number of minutes",
        "name the number, or write 'this many', 'at most', 'at least'",
    ),
    Habit(
        r"\bas far as\b",
        "titles, as far as known",
        "titles that are known",
        "write 'if', 'those that'",
    ),
    Habit(
        r"\banew\b", "the run is indexed anew", "the run is indexed again", "dated; write 'again'"
    ),
    Habit(r"\bonce more\b", "it is loaded once more", "it is loaded again", "write 'again'"),
    Habit(
        r"[,;:] for (it|they|he|she|we|there)\b(?! to\b)",
        "it fails, for it has no key",
        "it fails because it has no key",
        "a reason is 'because'",
    ),
    Habit(
        r"\bbesides[.,;:)]",
        "and the tags besides.",
        "and the tags too.",
        "write 'also', 'too', 'as well'",
    ),
    Habit(
        r"\bwhatever (it|they|that|the|was|is|a|an)\b",
        "whatever it is, it fails",
        "it always fails",
        "write 'any', 'always', 'anything that'",
    ),
    Habit(r"\bdearer\b", "a dearer run", "a more expensive run", "dated"),
    Habit(
        r"(?:^|[.:;?!] )(?-i:Of)\b(?! course\b)",
        "Of each run the cost is kept",
        "The cost of each run is kept",
        "put the subject first",
    ),
    Habit(
        r"\bsince (\d+|so)\b \w+",
        "it lives since 121 minutes",
        "it has run for 121 minutes",
        "a span of time is 'for', with the perfect tense",
    ),
    Habit(
        r"\bpassed over\b|\bto pass over\b",
        "an empty file is passed over",
        "an empty file is skipped",
        "write 'skip'",
    ),
    Habit(
        r"\b(stands?|stood) (in(?! for)|there|beside|at|on|under|below)\b",
        "the reason stands in the runbook",
        "the runbook lists the reason",
        "text and data do not stand; they are in a place",
    ),
    Habit(
        r"\bknows? (no|nothing|neither)\b",
        "the emulator knows no routes",
        "the emulator has no routes",
        "a program does not know; it has or supports",
    ),
    Habit(
        r"\bfor good\b(?! reason)", "a run failed for good", "a run failed permanently", "ambiguous"
    ),
    Habit(
        r"\b(he|him|his)\b", "movies that he liked", "movies that they liked", "a user is 'they'"
    ),
    Habit(
        r"\b(can|may|could) be had\b|\bto be had\b|\bhad back\b",
        "a file can be had back",
        "a file can be restored",
        "dated",
    ),
]

type Word = tuple[str, int]  # with its line
STRINGS = {tokenize.STRING, tokenize.FSTRING_START, tokenize.FSTRING_MIDDLE, tokenize.FSTRING_END}


def checked() -> list[Path]:
    """The files that are searched. This one is not, because it lists the habits."""
    found = {path for glob in CHECKED for path in ROOT.glob(glob)}
    return sorted(found - {Path(__file__)})


def pieces(suffix: str, text: str) -> Iterator[list[Word]]:
    """The pieces of prose in a file: paragraphs, list items, table rows, comments, strings."""
    if suffix == ".py":
        yield from _program(text)
    else:
        yield from _lines(_without_code(text) if suffix == ".md" else text)


def _without_code(text: str) -> str:
    """Markdown with its code and the addresses of its links blanked, on the same lines."""
    code = r"^```.*?^```$|^    .*?$|(?<!`)`[^`]+`(?!`)|(?<=\])\([^)]*\)"
    return re.sub(
        code,
        lambda found: re.sub(r"[^\n]+", "X" if found[0].startswith("`") else "", found[0]),
        text,
        flags=re.DOTALL | re.MULTILINE,
    )


def _lines(text: str, first: int = 1) -> Iterator[list[Word]]:
    """The words of a text; a blank line, a heading, a list item or a table row begins a piece."""
    piece: list[Word] = []
    for number, line in enumerate(text.splitlines(), start=first):
        if not line.strip() or re.match(r"\s*(-|\d+\.|\||#+) ", line):
            yield piece
            piece = []
        piece += [(word, number) for word in re.sub(r"[`*_#|\[\]]", " ", line).split()]
    yield piece


def _program(text: str) -> Iterator[list[Word]]:
    """The words of comments and strings; those with no code between them are one piece."""
    piece: list[Word] = []
    kind, depth = None, 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}:
            continue
        depth += (token.type == tokenize.FSTRING_START) - (token.type == tokenize.FSTRING_END)
        comment = token.type == tokenize.COMMENT
        before, kind = kind, comment if comment or depth or token.type in STRINGS else None
        if kind != before:
            yield piece
            piece = []
        if kind is None or token.type in {tokenize.FSTRING_START, tokenize.FSTRING_END}:
            continue
        words = token.string.lstrip("#") if comment or token.type in STRINGS else "X"
        if token.type == tokenize.STRING:
            words = re.sub(r"^\w*([\"']{3}|[\"'])|([\"']{3}|[\"'])$", "", words)
        *whole, last = _lines(re.sub(r"`[^`]+`", "X", words), token.start[0])
        if whole:
            yield [*piece, *whole[0]]
            yield from whole[1:]
            piece = []
        piece += last
    yield piece


def habits_in(piece: list[Word]) -> Iterator[tuple[int, str, Habit]]:
    """The habits in a piece of prose, each with its line and words."""
    starts, length = [], 0
    for word, _ in piece:
        starts.append(length)
        length += len(word) + 1
    text = " ".join(word for word, _ in piece)
    for habit in HABITS:
        for found in re.finditer(habit.pattern, text, re.IGNORECASE):
            yield piece[bisect_right(starts, found.start()) - 1][1], found[0].strip(), habit


@pytest.mark.parametrize("path", checked(), ids=lambda path: str(path.relative_to(ROOT)))
def test_prose_has_no_habit_that_makes_a_native_speaker_stumble(path: Path) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: '{words}': {habit.reason}\n"
        f"    not '{habit.example}' but '{habit.plain}'"
        for piece in pieces(path.suffix, path.read_text())
        for line, words, habit in habits_in(piece)
    ]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("glob", CHECKED)
def test_every_glob_of_the_list_finds_a_file(glob: str) -> None:
    assert list(ROOT.glob(glob))


@pytest.mark.parametrize("habit", HABITS, ids=lambda habit: habit.example)
def test_a_habit_is_found_in_its_example_and_not_in_the_plain_sentence(habit: Habit) -> None:
    def found(sentence: str) -> list[Habit]:
        return [each for *_, each in habits_in([(word, 1) for word in sentence.split()])]

    assert found(habit.example) == [habit]
    assert found(habit.plain) == []


@pytest.mark.parametrize(
    ("suffix", "text", "lines"),
    [
        (".md", "The body\nis no\nJSON.", [2]),
        (".md", "- a body is\n- no JSON", []),
        (".md", "Write `is no JSON`,\n\n    is no JSON\n\n```\nis no JSON\n```\nor anew.", [8]),
        (".py", '"""A body.\n\nIt is\nno JSON.\n"""\n', [3]),
        (".py", "x = 1  # is no\n# JSON\nis_no = JSON\n", [1]),
        (".py", 'raise E(\n    f"{name} is "\n    "no JSON"\n)\n', [2]),
        (".py", 'x = ["is", "no JSON"]\n', []),
        (".yaml", "Description: >-\n  A body that is\n  no JSON\n", [2]),
    ],
)
def test_prose_is_searched_across_lines_and_code_is_not(
    suffix: str, text: str, lines: list[int]
) -> None:
    assert [line for piece in pieces(suffix, text) for line, *_ in habits_in(piece)] == lines
