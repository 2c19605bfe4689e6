"""Every command in the documents and in messages exists.

Nothing is run: make's targets are looked up, the operator's command line parses, and what is for
the AWS CLI is held against botocore's models, from which that CLI is made.
"""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore import xform_name
from botocore.exceptions import UnknownServiceError
from botocore.session import get_session

from cli.commands import cli
from tests.conftest import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = sorted(
    path for room in ("cli", "local", "tools", "pictures") for path in (ROOT / room).rglob("*.py")
)
# Options of every command of the AWS CLI.
GLOBAL = {"query", "output", "region", "profile"}
# Commands that the AWS CLI has beside its services' operations, with the options that we name.
CUSTOM = {
    ("emr", "terminate-clusters"): {"cluster-ids"},
    ("emr", "list-clusters"): {"active"},
    ("s3", "cp"): {"recursive"},
    ("s3", "ls"): {"recursive"},
    ("s3", "rm"): {"recursive"},
    ("s3", "mv"): {"recursive"},
    ("s3", "sync"): {"delete"},
    ("sso", "login"): set(),
}
# Options that the operation lacks, or names differently.
ADDED = {
    ("sns", "subscribe"): {"notification-endpoint"},
    ("ec2", "authorize-security-group-ingress"): {"protocol", "port", "cidr"},
}
SESSION = get_session()


def commands(path: Path) -> Iterator[str]:
    """The command lines of a document: in indented blocks, and between backquotes."""
    text = re.sub(r"\\\n\s*", " ", path.read_text())
    if path.suffix == ".py":
        # The messages; their pieces are on several lines.
        text = "\n".join(messages(text))
    for line in text.splitlines():
        if line.startswith(("    ", "  similar-titles ")):  # the latter in a command's help
            yield from pieces(line)
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)  # its quotes are not pairs
    for quoted in re.findall(r"`([^`]+)`", text):
        yield from pieces(" ".join(quoted.split()))


def messages(source: str) -> Iterator[str]:
    """The strings of a program, with X for the parts that are filled in."""
    tree = ast.parse(source)
    joined = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    pieces_of = {id(each) for node in joined for each in node.values}
    for node in ast.walk(tree):
        match node:
            case ast.JoinedStr(values=values):
                yield "".join(
                    str(each.value) if isinstance(each, ast.Constant) else "X" for each in values
                )
            case ast.Constant(value=str(text)) if id(node) not in pieces_of:
                yield text


def pieces(line: str) -> Iterator[str]:
    """The commands in a line of shell, with X for the parts that are filled in."""
    line = re.sub(r"\$\([^()]*\)", "X", re.sub(r"(^|\s)#.*", "", line))
    for piece in re.split(r"&&|\|\||;| \| ", line):
        if re.match(r"(make|aws|(\./)?similar-titles) ", piece.strip()):
            yield piece.strip()


def all_of(program: str) -> list[tuple[str, str]]:
    """The commands of one program, each with the name of its file."""
    found = {
        (str(path.relative_to(ROOT)), each)
        for path in [*DOCUMENTS, *PROGRAMS]
        for each in commands(path)
        if each.removeprefix("./").startswith(f"{program} ")
        and not re.search(r"\.\.\.|--help", each)
    }
    return sorted(found)


@pytest.mark.parametrize(("where", "command"), all_of("make"))
def test_make_has_the_target_with_its_variables(where: str, command: str) -> None:
    target, *given = shlex.split(command)[1:]
    rule = re.search(rf"^{re.escape(target)}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert rule, f"{where}: make has no target {target}"
    for each in given:
        if "=" in each:
            name = each.split("=")[0]
            assert re.search(rf"\b{name}\b", rule[1]), f"{where}: make {target} takes no {name}"


@pytest.mark.parametrize(("where", "command"), all_of("similar-titles"))
def test_the_command_line_accepts_it(where: str, command: str) -> None:
    group = cli.make_context("similar-titles", shlex.split(command)[1:])
    name, found, rest = cli.resolve_command(group, [*group._protected_args, *group.args])
    assert found, where
    found.make_context(name, rest)


@pytest.mark.parametrize(("where", "command"), all_of("aws"))
def test_the_aws_cli_has_the_operation_and_its_options(where: str, command: str) -> None:
    _, service, *rest = shlex.split(command)
    if service == "configure" or not rest:
        return
    operation, options = rest[0], {each[2:].split("=")[0] for each in rest[1:] if each[:2] == "--"}
    if (service, operation) in CUSTOM:
        assert options - GLOBAL <= CUSTOM[service, operation], where
        return
    try:
        model = SESSION.get_service_model(service.replace("s3api", "s3"))
    except UnknownServiceError:
        pytest.fail(f"{where}: the AWS CLI has no service {service}")
    names = {xform_name(each, "-"): each for each in model.operation_names}
    assert operation in names, f"{where}: {service} has no {operation}"
    shape = model.operation_model(names[operation]).input_shape
    known = {xform_name(each, "-") for each in shape.members} if shape else set()
    known |= ADDED.get((service, operation), set())
    assert options - GLOBAL <= known | {f"no-{each}" for each in known}, f"{where}: {command}"
