"""The operator's command line, for people and programs."""

import base64
import json
import re
import shlex
import subprocess
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result

import runs
from cli import commands as module
from cli.commands import cli
from cli.stack import Stack
from launcher import handler as launcher
from runs.states import State
from tests.builders.aws import CONTEXT, Cloud, movie_line, quality
from tests.builders.indexed import finish_run, start_run
from tests.conftest import ROOT
from tools.sample_events import dropped

COMMANDS = sorted(cli.commands)
RESOURCES = {
    "RunsTable": "RunsTable",
    "DatasetsBucket": "datasets",
    "ResultsBucket": "results",
}


def operate(*arguments: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(cli, [*arguments], catch_exceptions=False)


@pytest.fixture
def deployed(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """An account with the stack."""
    monkeypatch.setattr(Stack, "find", lambda name: Stack(name, RESOURCES))
    return cloud


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_that_parses(command: str) -> None:
    answer = operate(command, "--help")
    assert answer.exit_code == 0
    assert "--json" in answer.output
    given = re.findall(r"^ +similar-titles (.+)$", answer.output, re.MULTILINE)
    assert any(command in shlex.split(example) for example in given)
    for example in given:
        parses(example)


def test_the_examples_of_the_whole_program_parse() -> None:
    given = re.findall(r"^ +similar-titles (.+)$", operate("--help").output, re.MULTILINE)
    assert len(given) == 4
    for example in given:
        parses(example)


def parses(example: str) -> None:
    """Parse a command without running it; click raises an error on unknown names."""
    group = cli.make_context("similar-titles", shlex.split(example))
    name, command, rest = cli.resolve_command(group, [*group._protected_args, *group.args])
    assert command
    command.make_context(name, rest)


def test_every_make_target_that_operates_names_an_existing_command() -> None:
    called = {
        shlex.split(line.replace("$", ""))[1]
        for line in (ROOT / "Makefile").read_text().splitlines()
        if "./similar-titles " in line
    }
    assert called
    assert called <= set(COMMANDS)


def test_status_marks_the_live_run_and_gives_the_reason_of_a_failed_one(deployed: Cloud) -> None:
    live, waiting, failed = finish_run(deployed, 0), start_run(deployed, 1), start_run(deployed, 2)
    runs.fail(deployed.runs, failed, "the step ran out of memory", datetime.now(UTC))
    output = operate("status").output
    (marked,) = [line for line in output.splitlines() if "●" in line]
    assert live in marked
    assert waiting in output
    assert f"{failed}: the step ran out of memory" in output


def test_status_as_json_is_the_runs_tables_items(deployed: Cloud) -> None:
    older, newer = finish_run(deployed, 0), finish_run(deployed, 1)
    listed = json.loads(operate("status", "--json").output)
    assert [run["run_id"] for run in listed] == [newer, older]
    assert [run["state"] for run in listed] == [State.LIVE, State.SUPERSEDED]
    assert json.loads(operate("status", newer, "--json").output)["run_id"] == newer
    assert len(json.loads(operate("status", "--limit", "1", "--json").output)) == 1


def test_status_says_what_dropped_folders_wait_for(deployed: Cloud) -> None:
    deployed.put("ml/ratings.csv", "userId,movieId,rating,timestamp\n")
    launcher.lambda_handler(dropped("ml/ratings.csv"), CONTEXT)
    waits = ": movies.csv is missing: upload it into the same folder"
    assert waits in operate("status").output
    as_json = operate("status", "--json")
    assert json.loads(as_json.stdout) == []
    assert waits in as_json.stderr


def test_status_of_one_run_explains_its_state(deployed: Cloud) -> None:
    run = finish_run(deployed)
    assert "LIVE (serving the API)" in operate("status", run).output
    unknown = operate("status", "none")
    assert (unknown.exit_code, "there is no run none" in unknown.output) == (1, True)


def test_status_names_the_rejected_lines_of_a_live_run_and_where_they_are(deployed: Cloud) -> None:
    rejects = {"ratings.dat": {"columns": 2, "rating": 5}, "movies.dat": {}}
    dataset = {"format": "dat", "lines": {"ratings.dat": 1000, "movies.dat": 3}}
    run_id = finish_run(deployed, rejects=rejects, dataset=dataset)
    told = "ratings.dat: 7 of 1,000 lines are malformed (columns 2, rating 5)"
    where = f"s3://results/runs/{run_id}/rejects/"
    assert f"{run_id}: {told}; the lines: {where}" in operate("status").output
    details = operate("status", run_id).output
    assert f"rejects         {told}\n" in details
    assert f"rejects_uri     {where}\n" in details


def two_runs(deployed: Cloud) -> tuple[str, str]:
    """Two runs: movie 3 has lost its neighbours, 9 has gained some, those of 2 are others."""
    before = [movie_line(1, 2, 3), movie_line(2, 1, 3), movie_line(3, 1), movie_line(9)]
    after = [movie_line(1, 2, 3), movie_line(2, 8, 9), movie_line(3), movie_line(9, 1)]
    first = finish_run(deployed, 0, [before], quality=quality(2.0))
    counts = {"ratings": 50, "users": 20, "movies": 4}
    second = finish_run(deployed, 1, [after], quality=quality(1.9), counts=counts)
    return first, second


def test_diff_shows_what_changed_between_two_runs_and_why(deployed: Cloud) -> None:
    first, second = two_runs(deployed)
    deployed.put(f"runs/{first}/input/ratings.dat", "1", "results")
    deployed.put(f"runs/{second}/input/ratings.dat", "2", "results")
    answer = operate("diff", first, second)
    assert answer.exit_code == 0
    for line in (
        f"{first} -> {second}",
        "Titles with neighbours: 3 -> 3",
        "  gained 1: Movie 9 (1995)",
        "  lost   1: Movie 3 (1995)",
        "Lists by cosine of 2 common titles",
        "  median rank-biased overlap 0.50 (1 is the same, 0 has nothing in common); unchanged 1",
        "  0.00  Movie 2 (1995) (2)",
        "        before: Movie 1 (1995); Movie 3 (1995)",
        "        after:  movie 8; Movie 9 (1995)",
        f"  {first}  damped: recall@20 0.400, lift 2.00 (standard error 0.01), 500 users",
        f"  {second}  damped: recall@20 0.380, lift 1.90 (standard error 0.01), 500 users",
        "  other ratings.dat",
        "  other data: ratings 40 -> 50",
    ):
        assert line in answer.output.splitlines(), line


def test_diff_as_json_has_the_same_figures_as_the_indexers(deployed: Cloud) -> None:
    first, second = two_runs(deployed)
    found = json.loads(operate("diff", first, second, "--json").output)
    stored = runs.get(deployed.runs, second)
    assert stored is not None
    assert found == json.loads(module.as_text(stored["comparison"]))
    assert found["lists"]["movers"][0]["movie_id"] == 2


def test_diff_with_a_result_that_is_gone_says_so_and_compares_the_rest(deployed: Cloud) -> None:
    first, second = two_runs(deployed)
    deployed.s3.delete_object(Bucket="results", Key=f"runs/{first}/manifest.json")
    answer = operate("diff", first, second)
    assert answer.exit_code == 0
    assert (
        f"the result of run {first} cannot be read: manifest.json does not exist" in answer.output
    )
    assert "lift 2.00" in answer.output


def test_diff_with_a_run_without_a_result_is_refused_in_one_line(deployed: Cloud) -> None:
    first, running = finish_run(deployed), start_run(deployed, 1)
    for other, reason in ((running, "is RUNNING and has no result"), ("x", "there is no run x")):
        answer = operate("diff", first, other)
        assert answer.exit_code == 1
        assert reason in answer.output
        assert len(answer.output.strip().splitlines()) == 1


def test_status_also_shows_what_emrs_endpoint_costs(
    deployed: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finish_run(deployed, 0)
    ec2 = boto3.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/24")["Vpc"]["VpcId"]
    made = ec2.create_vpc_endpoint(
        VpcId=vpc, ServiceName="com.amazonaws.eu-central-1.emr", VpcEndpointType="Interface"
    )
    network = RESOURCES | {"ClusterVpc": vpc}
    monkeypatch.setattr(Stack, "find", lambda name: Stack(name, network))
    answer = operate("status", "--json")
    assert [each["run_id"] for each in json.loads(answer.stdout)] == [run]
    assert made["VpcEndpoint"]["VpcEndpointId"] in answer.stderr
    assert "7.30 USD a month" in answer.stderr


def test_status_works_without_permission_to_list_endpoints(
    deployed: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finish_run(deployed, 0)
    refusal = {"Error": {"Code": "UnauthorizedOperation", "Message": "not authorized"}}

    def refuse(_: Stack) -> None:
        raise ClientError(refusal, "DescribeVpcEndpoints")

    monkeypatch.setattr(Stack, "endpoints", refuse)
    answer = operate("status")
    assert (answer.exit_code, run in answer.stdout) == (0, True)
    assert "DescribeVpcEndpoints" in answer.stderr


@pytest.mark.usefixtures("deployed")
def test_without_runs_status_says_what_to_do() -> None:
    assert "drop a MovieLens folder" in operate("status").output
    assert json.loads(operate("status", "--json").output) == []


def test_a_dropped_folder_is_in_the_bucket_under_its_name(deployed: Cloud, tmp_path: Path) -> None:
    folder = tmp_path / "my films"
    folder.mkdir()
    (folder / "ratings.dat").write_text("1::1::5::1\n")
    (folder / "movies.dat").write_text("1::One (1999)::Drama\n")
    answer = operate("drop", str(folder), "--json")
    assert answer.exit_code == 0, answer.output
    assert "my films is uploaded" in json.loads(answer.stdout)["done"]
    listed = deployed.s3.list_objects_v2(Bucket="datasets")["Contents"]
    assert sorted(each["Key"] for each in listed) == ["my films/movies.dat", "my films/ratings.dat"]


@pytest.mark.parametrize("name", [[], ["--name", "films/ml-0m"], ["--name", "films/ml-0m.zip"]])
def test_a_dropped_zip_is_in_the_bucket_as_it_is(
    deployed: Cloud, tmp_path: Path, name: list[str]
) -> None:
    path = tmp_path / "ml-0m.zip"
    path.write_bytes(b"a zip")
    answer = operate("drop", str(path), *name)
    assert answer.exit_code == 0, answer.output
    (listed,) = deployed.s3.list_objects_v2(Bucket="datasets")["Contents"]
    assert listed["Key"] == ("films/ml-0m.zip" if name else "ml-0m.zip")
    assert listed["ChecksumAlgorithm"] == ["CRC32"]


def test_a_file_that_was_uploaded_in_parts_has_the_checksum_of_the_whole_file(
    deployed: Cloud, tmp_path: Path
) -> None:
    path = tmp_path / "ml-0m.zip"
    path.write_bytes(b"0123456789" * 10**6)  # boto3 uploads more than 8 MiB in parts
    assert operate("drop", str(path)).exit_code == 0
    head = deployed.s3.head_object(Bucket="datasets", Key="ml-0m.zip", ChecksumMode="ENABLED")
    assert "-2" in head["ETag"]
    checksum = base64.b64encode(zlib.crc32(path.read_bytes()).to_bytes(4)).decode()
    assert (head["ChecksumCRC32"], head["ChecksumType"]) == (checksum, "FULL_OBJECT")


def test_a_folder_that_is_not_movielens_is_not_dropped(deployed: Cloud, tmp_path: Path) -> None:
    answer = operate("drop", str(tmp_path))
    assert answer.exit_code == 1
    assert answer.output.startswith("Error: ")
    assert "Contents" not in deployed.s3.list_objects_v2(Bucket="datasets")


def test_local_without_a_local_cloud_says_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    answer = operate("--local", "status")
    assert (answer.exit_code, "`make local` starts one" in answer.output) == (1, True)


def test_local_reads_the_file_for_shells(tmp_path: Path) -> None:
    env = tmp_path / "env"
    env.write_text("export AWS_ENDPOINT_URL=http://127.0.0.1:1\nexport ODD='a b=c'\n")
    assert module.local_environment(env) == {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "ODD": "a b=c",
    }


def test_the_program_works_from_any_folder(tmp_path: Path) -> None:
    answer = subprocess.run(
        [ROOT / "similar-titles", "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "similar-titles drop ~/ml-10M100K" in answer.stdout


def test_evaluate_gives_the_figures_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {"dataset": "ml-1m", "liked": {"ease": {"recall@20": 0.5}}}
    monkeypatch.setattr(
        "evaluation.measuring.measure",
        lambda dataset, judgements: figures | {"of": dataset, "by": judgements and judgements.name},
    )
    assert json.loads(operate("evaluate", "--json").stdout) == figures | {"of": "ml-1m", "by": None}
    judged = operate("evaluate", "ml-1m", "--judgements", "they.tsv", "--json")
    assert json.loads(judged.stdout) == figures | {"of": "ml-1m", "by": "they.tsv"}
    assert operate("evaluate", "sample").stdout == "written to docs/quality.md\n"


def test_evaluate_refuses_judgements_before_it_opens_the_data_set(tmp_path: Path) -> None:
    file = tmp_path / "judgements.csv"
    file.write_text("movie_id_1,movie_id_2\n1,2\n")
    answer = operate("evaluate", "nonsense", "--judgements", str(file))
    assert answer.exit_code == 1
    assert "judgements.csv: expected the columns title_1" in answer.output
    assert "nonsense" not in answer.output


def test_evaluate_lists_the_known_data_sets_if_one_is_unknown() -> None:
    answer = operate("evaluate", "nonsense")
    assert answer.exit_code == 1
    assert "nonsense is neither a folder nor one of sample, 1m" in answer.output
