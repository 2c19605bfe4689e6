"""docs/deploy.md, walked through: what it tells people to type is typed, in its order.

The commands are those of its blocks and of its table of make targets. They run in a copy of the
project, on a local cloud that has nothing deployed, by the AWS CLI. Those in running text, which
are for later or for elsewhere, tests/unit/test_documented_commands.py looks up.
"""

import json
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local import cloud as local_cloud
from local.access import REGION, Access
from local.cloud import Cloud, free_ports
from local.emr.server import FakeEmr
from local.emr.step import local_nodes
from tests.conftest import ROOT
from tests.e2e.test_pipeline import MOVIES_DAT, files, ratings
from tools.job_archive import archive_path, locked_sha256
from tools.setup import environments

GUIDE = ROOT / "docs" / "deploy.md"
COPIED = [
    *("Makefile", "samconfig.toml", "similar-titles", "template.yaml"),
    *("functions", "spark", "cli", "local", "tools", "notebooks", "requirements"),
]
LIMIT_SECONDS = 180
FIRST, SECOND, LAST = "similar-titles", "similar-titles-dev", "similar-titles-prod"

# What of the guide is not run, by how it begins, and why.
NOT_RUN = {
    "aws service-quotas get-service-quota": "the emulator has no quotas",
    "curl -O https://files.grouplens.org": "63 MB from elsewhere; a small folder stands in for it",
    '{"user_id":1': "a line of a result, of tests/spark/test_similar_users.py",
    "%%configure": "a cell for a notebook of EMR Studio",
    "pairs = spark.read.parquet": "a cell for a notebook; tests/spark/test_notebook.py has others",
    ".venv/bin/uv pip install": "fetches wheels from a package index",
}


@dataclass
class Walk:
    """Somebody who follows the guide.

    Attributes:
        cloud: a local cloud; nothing is deployed at first.
        folder: a copy of the project.
        environment: of the shell.
        runs: identifiers of the runs by now, the first one first.
        key: of the API, once it asks for one.
        given: parameters that samconfig.toml has.
    """

    cloud: Cloud
    folder: Path
    environment: dict[str, str]
    runs: list[str] = field(default_factory=list)
    key: str = ""
    given: dict[str, str] = field(default_factory=dict)

    def type(self, command: str, answer: str = "") -> str:
        """Run a command in the shell, which keeps what was defined; returns what it says.

        Args:
            command: one, of one or several lines.
            answer: what is typed where it asks.
        """
        kept = "declare -p STACK API_URL 2>/dev/null; declare -f"
        script = f". ./.shell\n{command}\nstatus=$?\n{{ {kept}; }} > .shell\nexit $status"
        (self.folder / ".shell").touch()
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.environment,
            input=answer,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        said = f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert done.returncode == 0, said
        # What stands before || may fail, but not for that.
        assert not re.search("usage: aws|Unknown options|command not found", done.stderr), said
        return done.stdout

    def ask(self, path: str) -> Any:
        """Ask the API, as the guide does."""
        return json.loads(self.type(f'curl -H "x-api-key: {self.key}" "$API_URL{path}"'))

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Return when a condition holds."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while not holds():
            assert time.monotonic() < deadline, f"not in time: {what}"
            time.sleep(0.5)

    def find_the_api(self) -> None:
        """Have $API_URL be the address of the deployed API on this machine."""
        told = {"ApiUrl": self.type("output ApiUrl").strip()}
        here = Cloud(self.cloud.access, told, self.cloud.emr, self.cloud.folder)
        self.type(f"API_URL={here.api_url}")

    def live(self) -> str | None:
        """The run that answers."""
        live: str | None = self.ask("/health")["live_run_id"]
        return live

    def follow(self) -> None:
        """Wait until the newest run is live."""

        def is_live() -> bool:
            newest = self.ask("/runs")["runs"][:1]
            assert not newest or newest[0]["state"] != "FAILED", newest
            if not newest or newest[0]["state"] != "LIVE" or newest[0]["run_id"] in self.runs:
                return False
            self.runs.append(newest[0]["run_id"])
            return True

        self.until(is_live, "a run is live")

    def configure(self, **parameters: str) -> None:
        """Put parameters into samconfig.toml, in place of those that are there."""
        self.given = parameters
        given = " ".join(f"{name}={value}" for name, value in parameters.items())
        path, section = self.folder / "samconfig.toml", "[default.deploy.parameters]\n"
        text = re.sub(r"parameter_overrides = .*\n", "", path.read_text())
        path.write_text(text.replace(section, f'{section}parameter_overrides = "{given}"\n'))

    def parameters(self) -> dict[str, str]:
        """The first stack's."""
        client = self.cloud.client("cloudformation")
        (stack,) = client.describe_stacks(StackName=FIRST)["Stacks"]
        return {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}


# What has to be there before a command ------------------------------------------------------------


def has_downloaded_a_data_set(walk: Walk) -> None:
    drop_files(walk.folder / "ml-10M100K", seed=31)


def drop_files(folder: Path, seed: int) -> None:
    """Write a folder of the format of ml-10M100K."""
    folder.mkdir(exist_ok=True)
    movies = MOVIES_DAT.replace("Film 1, The (1991)", "Toy Story (1995)")
    for name, text in (files(ratings(seed)) | {"movies.dat": movies}).items():
        (folder / name).write_text(text)


def has_a_second_run(walk: Walk) -> None:
    drop_files(walk.folder / "ml-10M100K", seed=32)
    walk.type('aws s3 cp --recursive ml-10M100K "s3://$(output DatasetsBucket)/ml-10M100K/"')
    walk.follow()


def asks_for_a_key(walk: Walk) -> None:
    walk.configure(**walk.given, RequireApiKey="true")
    walk.type("make deploy", "y\n")
    assert walk.given.items() <= walk.parameters().items()
    assert walk.parameters()["SettleSeconds"] == "1", "a value stays that was given before"
    walk.find_the_api()  # the emulator creates a new one
    assert "Forbidden" in walk.type('curl "$API_URL/movies/1/similar"')


def has_installed_matplotlib(walk: Walk) -> None:
    (walk.folder / "build" / "matplotlib").mkdir()


def the_emulator_forgets_deleted_stacks(walk: Walk) -> None:
    """So that the data of the second one are deleted with it."""
    walk.type(f"export STACK={SECOND}")


# What is seen of a command ------------------------------------------------------------------------


def each_line_has_a_verdict(walk: Walk, said: str) -> None:
    del walk
    assert re.match(r"ok +credentials ", said)
    assert all(re.match(r"ok|note|not checked|missing", line) for line in said.splitlines())


def it_asked_and_the_archive_is_there(walk: Walk, said: str) -> None:
    del walk
    assert "Deploy this changeset? [y/N]" in said
    assert f"environments/{locked_sha256()}.tar.gz" in said


def the_api_has_its_address(walk: Walk, said: str) -> None:
    del said
    address = walk.type('echo "$API_URL"').strip()
    assert re.fullmatch(rf"https://\w+\.execute-api\.{REGION}\.amazonaws\.com/v1", address)
    walk.find_the_api()
    assert walk.type("resource ClusterVpc").startswith("vpc-")


def both_files_are_dropped(walk: Walk, said: str) -> None:
    del walk
    assert {*re.findall(r"upload: (?:\./)?ml-10M100K/(\S+)", said)} == {"ratings.dat", "movies.dat"}


def a_run_becomes_live(walk: Walk, said: str) -> None:
    assert "runs" in json.loads(said)
    walk.follow()


def the_run_tells_what_the_guide_says(walk: Walk, said: str) -> None:
    walk.until(lambda: "actual_cost" in walk.ask(f"/runs/{walk.runs[-1]}"), "the cluster has ended")
    run = json.loads(said)
    states = re.search(r"A run goes through ([A-Z, \n]+)\.", GUIDE.read_text())
    assert states
    assert [*run["timeline"]] == re.findall(r"\w+", states[1])
    assert {"estimated_cost", "cluster_id", "log_uri", "counts"} <= {*run}


def it_names_the_run(walk: Walk, said: str) -> None:
    assert walk.runs[-1] in said


def the_cluster_is_known(walk: Walk, said: str) -> None:
    del walk
    assert json.loads(said)["State"] in {"RUNNING", "TERMINATING", "TERMINATED"}


def a_mail_is_sent(walk: Walk, said: str) -> None:
    del walk
    assert json.loads(said)["SubscriptionArn"]


def the_api_is_well(walk: Walk, said: str) -> None:
    assert json.loads(said)["live_run_id"] == walk.runs[-1]


def toy_story_is_found(walk: Walk, said: str) -> None:
    del walk
    assert json.loads(said)["movies"][0]["title"] == "Toy Story (1995)"


def five_are_similar(walk: Walk, said: str) -> None:
    del walk
    assert len(json.loads(said)["similar"]) == 5


def movies_are_similar(walk: Walk, said: str) -> None:
    del walk
    assert json.loads(said)["similar"]


def there_is_a_key(walk: Walk, said: str) -> None:
    walk.key = said.strip()
    assert walk.key


def it_goes_back_and_forth(walk: Walk, said: str) -> None:
    del said
    assert walk.live() == walk.runs[0]
    walk.type("make rollback")
    assert walk.live() == walk.runs[1]


def the_first_run_is_live_again(walk: Walk, said: str) -> None:
    del said
    walk.until(lambda: walk.live() == walk.runs[0], "the promoted run is live")


def a_rerun_is_requested(walk: Walk, said: str) -> None:
    del walk
    assert "has been requested" in said


def both_runs_are_compared(walk: Walk, said: str) -> None:
    first, last = walk.runs[0], walk.runs[-1]
    assert f"{first} -> {last}" in said
    assert re.search(r"median rank-biased overlap [01]\.", said)


def every_run_is_listed(walk: Walk, said: str) -> None:
    assert all(run in said for run in walk.runs)


def it_is_deployed(walk: Walk, said: str) -> None:
    del walk
    assert LAST in said


def the_archive_is_in_its_bucket(walk: Walk, said: str) -> None:
    del walk
    assert re.search(
        rf"environments/{locked_sha256()}\.tar\.gz (already in|uploaded to) {LAST}-", said
    )


def the_data_are_kept(walk: Walk, said: str) -> None:
    kept = re.search(r"kept with their data: (.*);", said)
    assert kept
    assert len(kept[1].split(", ")) == 3, "both buckets and the runs table"
    buckets = [each["Name"] for each in walk.cloud.client("s3").list_buckets()["Buckets"]]
    assert len({*buckets} & {*kept[1].split(", ")}) == 2


def nothing_is_kept(walk: Walk, said: str) -> None:
    assert "kept" not in said
    buckets = [each["Name"] for each in walk.cloud.client("s3").list_buckets()["Buckets"]]
    assert not [name for name in buckets if name.startswith(SECOND)]


# The lines of the guide ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """What the test does with the commands of the guide that begin like this.

    Attributes:
        begins: the beginning; the longest that fits counts.
        before: prepares what the command needs.
        answer: what is typed when the command asks.
        seen: checks the command's output and effect.
    """

    begins: str
    before: Callable[[Walk], None] | None = None
    answer: str = ""
    seen: Callable[[Walk, str], None] | None = None


LINES = [
    Line("make preflight", seen=each_line_has_a_verdict),
    Line("make deploy", answer="y\n", seen=it_asked_and_the_archive_is_there),
    Line("STACK=similar-titles", seen=the_api_has_its_address),
    Line("aws s3 cp --recursive", has_downloaded_a_data_set, seen=both_files_are_dropped),
    Line('curl "$API_URL/runs"', seen=a_run_becomes_live),
    Line('curl "$API_URL/runs/RUN_ID"', seen=the_run_tells_what_the_guide_says),
    Line("aws emr describe-cluster", seen=the_cluster_is_known),
    Line("aws s3 ls --recursive", seen=it_names_the_run),
    Line("aws sns subscribe", seen=a_mail_is_sent),
    Line('curl "$API_URL/health"', seen=the_api_is_well),
    Line('curl "$API_URL/movies?title', seen=toy_story_is_found),
    Line('curl "$API_URL/movies/1/similar?limit=5', seen=five_are_similar),
    Line("aws apigateway get-api-key", asks_for_a_key, seen=there_is_a_key),
    Line("curl -H", seen=movies_are_similar),
    Line("make rollback", has_a_second_run, seen=it_goes_back_and_forth),
    Line("make promote", seen=the_first_run_is_live_again),
    Line("make rerun", seen=a_rerun_is_requested),
    Line("make diff", seen=both_runs_are_compared),
    Line("make status", seen=every_run_is_listed),
    Line("tar -czf", has_installed_matplotlib),
    Line('PATH="$PWD/.venv-sam/bin:$PATH" sam deploy', answer="y\n", seen=it_is_deployed),
    Line("make environment", seen=the_archive_is_in_its_bucket),
    Line("make destroy", answer=f"{FIRST}\n", seen=the_data_are_kept),
    Line(
        "make destroy DATA=delete",
        the_emulator_forgets_deleted_stacks,
        answer=f"{SECOND}\n",
        seen=nothing_is_kept,
    ),
]


def web_acl(walk: Walk) -> str:
    """The ARN of a new one."""
    answer = walk.cloud.client("wafv2").create_web_acl(
        Name="guide",
        Scope="REGIONAL",
        DefaultAction={"Allow": {}},
        VisibilityConfig={
            "SampledRequestsEnabled": False,
            "CloudWatchMetricsEnabled": False,
            "MetricName": "guide",
        },
    )
    arn: str = answer["Summary"]["ARN"]
    return arn


# What people put in for themselves.
FILLED: dict[str, Callable[[Walk], str]] = {
    "us-east-1a": lambda _: f"{REGION}a",
    "RUN_ID": lambda walk: walk.runs[-1],
    "CLUSTER_ID": lambda walk: walk.ask(f"/runs/{walk.runs[-1]}")["cluster_id"],
    "KEY": lambda walk: walk.key,
    "RUN=ID": lambda walk: f"RUN={walk.runs[0]}",
    "WITH=ID": lambda walk: f"WITH={walk.runs[-1]}",
    "ARN_OF_A_REGIONAL_WEB_ACL": web_acl,
}
SETTINGS = "[default.deploy.parameters]"  # a block that people put into samconfig.toml


def pieces(guide: str) -> Iterator[str]:
    """The commands of the guide's blocks and tables, in its order; a block of others is one."""
    for block in re.findall(r"(?:^ {4,}\S.*\n)+|^\| `make .*\n", guide, re.MULTILINE):
        if in_table := re.match(r"\| `(.*?)`", block):
            yield in_table[1]
            continue
        indent = len(block) - len(block.lstrip())
        lines = "".join(line[indent:] for line in block.splitlines(keepends=True))
        if not re.match(r"(aws|curl|make|tar|\.venv/bin/\w+) |[A-Z]+=", lines):
            yield lines
            continue
        if lines.startswith("STACK="):  # definitions that belong together
            yield lines
            continue
        yield from re.findall(r"^\S.*\n(?:\s.*\n)*", lines, re.MULTILINE)


PIECES = [*pieces(GUIDE.read_text())]


def line_of(piece: str) -> Line:
    """The line for a command; an empty one if there is none."""
    fitting = [line for line in LINES if piece.startswith(line.begins)]
    return max(fitting, key=lambda line: len(line.begins), default=Line(piece))


def is_run(piece: str) -> bool:
    """Whether it is a command that nothing hinders."""
    return not any(piece.startswith(begins) for begins in [*NOT_RUN, SETTINGS])


@pytest.mark.parametrize("begins", [*NOT_RUN, *(line.begins for line in LINES), SETTINGS])
def test_no_row_of_this_test_is_about_what_the_guide_no_longer_has(begins: str) -> None:
    if begins in NOT_RUN or begins == SETTINGS:
        assert any(piece.startswith(begins) for piece in PIECES)
    else:
        assert any(line_of(piece).begins == begins for piece in PIECES if is_run(piece))


@pytest.mark.parametrize("filled", FILLED)
def test_nothing_is_filled_in_that_the_guide_no_longer_has(filled: str) -> None:
    assert any(re.search(rf"\b{filled}\b", piece) for piece in PIECES if is_run(piece))


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    """Somebody with a copy of the project and an account that has nothing."""
    try:
        programs = environments.programs("awscli")
    except environments.UnavailableError as error:
        pytest.skip(str(error))
    copy, folder = tmp_path / "project", tmp_path / "cloud"
    for each in (copy / "build", folder):
        each.mkdir(parents=True)
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy / name)
    for environment in (".venv", ".venv-sam"):
        (copy / environment).symlink_to(ROOT / environment)
    if archive_path(locked_sha256()).exists():
        (copy / "build" / archive_path(locked_sha256()).name).symlink_to(
            archive_path(locked_sha256())
        )
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    make = shutil.which("make")
    # `make test` has made the environments; nobody is to change them in the midst of a test.
    (bin_folder / "make").write_text(f'#!/bin/sh\nexec {make} -o setup "$@"\n')
    (bin_folder / "make").chmod(0o755)
    (bin_folder / "aws").symlink_to(programs / "aws")
    gateway, emr = free_ports(2)
    access = Access(f"http://127.0.0.1:{gateway}", f"http://127.0.0.1:{emr}", secrets.token_hex(20))
    with (
        local_cloud._emulator(access, gateway, folder),
        FakeEmr(access, folder / "emr", None, local_nodes) as emr,
    ):
        environment = local_cloud._sam_environment(access, folder)
        path = environment["PATH"].split(":")
        environment["PATH"] = ":".join([str(bin_folder), *path[1:]])
        for name in ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"):  # of `make test`
            environment.pop(name, None)
        walk = Walk(Cloud(access, {}, emr, folder), copy, environment)
        walk.configure(SettleSeconds="1")
        yield walk
    shutil.rmtree(copy)


@pytest.mark.e2e
def test_the_guide_is_walked_through_from_an_empty_account_to_its_removal(walk: Walk) -> None:
    for piece in PIECES:
        if piece.startswith(SETTINGS):
            given = re.search(r'parameter_overrides = "(.*)"', piece)
            assert given
            walk.configure(**dict(each.split("=") for each in given[1].split()))
        elif is_run(piece):
            line = line_of(piece)
            if line.before:
                line.before(walk)
            command = piece
            for name, value in FILLED.items():
                if re.search(rf"\b{name}\b", command):
                    command = re.sub(rf"\b{name}\b", value(walk), command)
            said = walk.type(command, line.answer)
            if line.seen:
                line.seen(walk, said)
