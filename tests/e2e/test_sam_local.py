"""Each file in events/ does what its function promises, under what runs Lambda functions locally.

Under two runtimes, which the tests name: `emulator` is the real runtime interface emulator with
awslambdaric (see rie.py); `container` is `sam local invoke` and `sam local start-api` themselves,
where a container engine can be reached; `.ci/engine` brings one up. Both run the folders of `sam
build`, with the deployed functions' variables, against the local cloud.
"""

import gzip
import hashlib
import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Protocol

import boto3
import pytest
import yaml

import index_table
import runs
from local.access import clean_environment
from local.cloud import STACK, Cloud, free_ports
from local.emr.cluster import ENDED, Behaviour
from local.supervised import SupervisedProcess
from local.up import HOST_FOR_CONTAINERS, for_containers
from runs import Run
from runs.states import State
from s3_keys import failure_key, manifest_key, run_prefix
from spark.contracts.manifest import Manifest, Part
from tests.builders.indexed import line_in
from tests.builders.lines import as_text
from tests.builders.world import LIMIT_SECONDS, World
from tests.conftest import ROOT
from tests.e2e import rie
from tests.e2e.test_operations import Inbox
from tests.e2e.test_pipeline import files, ratings

pytestmark = pytest.mark.e2e

EVENTS = ROOT / "events"
SAM_SECONDS = 300  # the first time, `sam local` may have to pull an image
# What the events name.
RUN = "20261123T120500000Z-5f2a9c01"
CLUSTER = "j-1ABCDEFGHIJKL"
BUCKET = "similar-titles-datasetsbucket-1a2b3c4d5e6f"
PART = "neighbours/part-00000.json.gz"
LATER = "20261123T130500000Z-0a1b2c3d"
FOLDER = "ml-10M100K"
LAUNCHED_AT = "2026-11-23T12:06:00.000Z"
TITLES = "titles/part-00000.json.gz"
# What the indexer notes of a run's manifest.
LOADED = {
    "measure": "cosine",
    "measures": ["cosine"],
    "min_co_raters": 10,
    "min_score": "0.95",
    "titles": run_prefix(RUN) + TITLES,
}
NO_FAILURES = {"batchItemFailures": []}

OTHER = {
    "movie_id": 2,
    "title": "Toy Story 2 (1999)",
    "year": 1999,
    "genres": ["Animation"],
    "imdb_id": "tt0120363",
    "tmdb_id": 863,
    "series": "Toy Story",
}
EVIDENCE = {"co_raters": 17, "cosine": 0.975, "based_on": "ratings"}
WHY = {
    "sentence": "Both are animation movies of the 1990s; 17 people rated both.",
    "series": None,
    "genres": ["Animation"],
    "decade": 1990,
    "tags": [],
    "co_raters": 17,
    "lift": None,
}
NEIGHBOUR = {**OTHER, "ratings": None, "score": 0.975, "strength": None, **EVIDENCE, "why": WHY}
MOVIE = {
    "movie_id": 1,
    "title": "Toy Story (1995)",
    "year": 1995,
    "genres": ["Animation"],
    "ratings": 20,
    "imdb_id": "tt0114709",
    "tmdb_id": 862,
}
LINE = MOVIE | {"others": [OTHER], "neighbours": {"cosine": [[0, 0.975, 17, 0.975]]}}


class Runtime(Protocol):
    """What runs a function locally."""

    def invoke(self, function: str, event: str) -> Any:
        """A function's answer to an event, given as JSON; an error of it is an exception."""


@dataclass(frozen=True)
class Emulator:
    """The runtime interface emulator without a container."""

    cloud: Cloud
    folder: Path

    def invoke(self, function: str, event: str) -> Any:
        built = self.cloud.folder / "build" / function
        configuration = deployed(self.cloud, function)
        environment = self.cloud.access.environment
        with rie.function(built, configuration, environment, self.folder) as answer:
            return answer(event.encode())


@dataclass(frozen=True)
class SamLocal:
    """`sam local`, with a file of variables as `make local` writes it."""

    cloud: Cloud
    folder: Path
    variables: Path

    def invoke(self, function: str, event: str) -> Any:
        path, out, err = (self.folder / name for name in ("event.json", "answer", "log"))
        path.write_text(event)
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = self.start(stdout, stderr, "invoke", function, "--event", str(path))
            try:
                status = process.wait(SAM_SECONDS)
            finally:
                process.stop()
        log = err.read_text(errors="replace")
        assert status == 0, log
        return rie.result(out.read_bytes(), log)

    def start(self, stdout: IO[bytes], stderr: IO[bytes], *arguments: str) -> SupervisedProcess:
        """Start `sam local` with these arguments."""
        tools = ROOT / ".venv-sam" / "bin"
        command = [str(tools / "sam"), "local", *arguments]
        command += ["--template-file", str(self.cloud.folder / "build" / "template.yaml")]
        command += ["--config-file", str(ROOT / "samconfig.toml")]
        command += ["--env-vars", str(self.variables)]
        environment = clean_environment() | self.cloud.access.environment
        environment |= {"SAM_CLI_TELEMETRY": "0", "TMPDIR": str(self.folder)}
        return SupervisedProcess(
            command, env=environment, cwd=self.folder, stdout=stdout, stderr=stderr
        )


def require_engine() -> None:
    """Skip the test where `sam local` finds no container engine that can reach this machine."""
    python = ROOT / ".venv-sam" / "bin" / "python"
    ask = [python, "-c", "import docker; docker.from_env().ping()"]
    answer = subprocess.run(ask, capture_output=True, text=True, check=False)
    is_announced = HOST_FOR_CONTAINERS in os.environ
    if answer.returncode and is_announced:
        pytest.fail(f"{HOST_FOR_CONTAINERS} is set, but there is no engine:\n{answer.stderr}")
    if answer.returncode:
        pytest.skip("no container engine can be reached; .ci/engine brings one up")
    if sys.platform == "linux" and not is_announced:
        pytest.skip(f"{HOST_FOR_CONTAINERS} does not say where containers find this machine")


def deployed(cloud: Cloud, function: str) -> Any:
    """The configuration of a deployed function, given its logical id."""
    resource = cloud.client("cloudformation").describe_stack_resource(
        StackName=STACK, LogicalResourceId=function
    )["StackResourceDetail"]
    return cloud.client("lambda").get_function_configuration(
        FunctionName=resource["PhysicalResourceId"]
    )


@dataclass(frozen=True)
class Stage:
    """The local cloud with nobody on it but the function under test.

    Attributes:
        world: the local cloud.
        runtime: what the function runs under.
    """

    world: World
    runtime: Runtime

    def invoke(self, name: str, *filled: tuple[str, str]) -> Any:
        """The answer of a file's function to it.

        Args:
            name: of the file in events/, without its suffix.
            *filled: what the file has as an example, and what to put in its place.
        """
        event = (EVENTS / f"{name}.json").read_text()
        for example, real in filled:
            assert example in event
            event = event.replace(example, real)
        return self.runtime.invoke(function_of(name), event)

    @property
    def runs(self) -> Any:
        """The runs table."""
        return self._table("RunsTable")

    @property
    def index(self) -> Any:
        """The index table."""
        return self._table("IndexTable")

    def _table(self, output: str) -> Any:
        access = self.world.cloud.access
        name = self.world.cloud.outputs[output]
        resource = boto3.resource(
            "dynamodb",
            endpoint_url=access.endpoint,
            region_name="eu-central-1",
            aws_access_key_id=access.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=access.secret,
        )
        return resource.Table(name)

    @property
    def live(self) -> dict[str, Any]:
        """The live pointer."""
        return self.index.get_item(Key=dict(index_table.LIVE_KEY))["Item"]

    @property
    def run(self) -> Run:
        """The run that the events name."""
        found = runs.get(self.runs, RUN)
        assert found is not None
        return found

    def all_runs(self) -> list[Run]:
        """The runs of the folder that the events name, the newest first."""
        return [each for each in runs.latest(self.runs, 100) if each["folder"] == FOLDER]

    def put_run(self, state: State, run_id: str = RUN, **fields: object) -> None:
        """Note a run as it would be in a state."""
        fingerprint = run_id.partition("-")[2] * 8
        dataset = {"pk": "DATASET", "sk": fingerprint, "run_id": run_id}
        self.runs.put_item(Item=dataset)
        self.runs.put_item(
            Item={
                **runs.run_key(run_id),
                "run_id": run_id,
                "folder": FOLDER,
                "fingerprint": fingerprint,
                "state": state.value,
                "attempt": 1,
                "created_at": "2026-11-23T12:05:00.000Z",
                "updated_at": "2026-11-23T12:06:00.000Z",
                "timeline": {"CHECKING": "2026-11-23T12:05:00.000Z", "LAUNCHING": LAUNCHED_AT},
                "lease_until": "2026-11-23T12:09:00.000Z",
                **fields,
            }
        )

    def put_live(self, run_id: str = RUN, previous: str | None = None) -> None:
        """Point readers at a run."""
        moved = {"previous": previous, "retired": None, "promoted_at": LAUNCHED_AT}
        self.index.put_item(Item={**index_table.LIVE_KEY, "run_id": run_id, **LOADED, **moved})

    def make_live(self) -> None:
        """Make the run, its result and its index what readers are answered from."""
        self.put_result()
        self.index.put_item(Item=index_table.to_item(RUN, as_text(LINE)))
        self.put_run(State.LIVE, **LOADED)
        self.put_live()

    def put_lines(self, name: str, *lines: dict[str, Any]) -> Part:
        """Write a part of the run's result."""
        blob = gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode())
        self.put(run_prefix(RUN) + name, blob)
        return Part(name, len(lines), len(blob), hashlib.sha256(blob).hexdigest())

    def put_result(self) -> Part:
        """Write the run's whole result; returns its one part of neighbours."""
        part = self.put_lines(PART, LINE)
        manifest = Manifest(
            measure="cosine",
            measures={"cosine": {}},
            coverage={"cosine": 1.0},
            dataset={"format": "dat"},
            parameters={
                "min_co_raters": 10,
                "min_score": 0.95,
                "neighbours": 50,
                "max_ratings_per_user": None,
            },
            counts={"ratings": 40, "users": 20, "movies": 1},
            rejects={},
            neighbours=[part],
            titles=self.put_lines(TITLES, MOVIE),
            similar_users=[],
            quality=None,
            timings={},
            created_at="2026-11-23T12:14:00.000Z",
        )
        self.put(manifest_key(RUN), manifest.to_json().encode())
        return part

    def put(self, key: str, body: bytes) -> None:
        """Put an object into the results bucket."""
        bucket = self.world.cloud.outputs["ResultsBucket"]
        self.world.cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=body)

    def messages(self, queue: str) -> list[Any]:
        """The messages that wait in a queue."""
        sqs, url = self.world.cloud.client("sqs"), self.world.cloud.outputs[queue]
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        return [json.loads(each["Body"]) for each in answer.get("Messages", [])]

    def set_aside(self) -> list[Run]:
        """Take other tests' runs off the stage: who looks for the live run sees ours."""
        items = self.runs.scan()["Items"]
        for each in items:
            self.runs.delete_item(Key={"pk": each["pk"], "sk": each["sk"]})
        return items

    def clear(self) -> None:
        """Remove what a test of this module leaves."""
        items = self.runs.scan()["Items"]
        ours = {each.get("run_id") for each in items if each.get("folder") == FOLDER}
        for each in items:
            if each.get("run_id") in ours:
                self.runs.delete_item(Key={"pk": each["pk"], "sk": each["sk"]})
        s3, bucket = self.world.cloud.client("s3"), self.world.cloud.outputs["ResultsBucket"]
        for each in s3.list_objects_v2(Bucket=bucket, Prefix=run_prefix(RUN)).get("Contents", []):
            s3.delete_object(Bucket=bucket, Key=each["Key"])
        self.index.delete_item(Key=dict(index_table.LIVE_KEY))
        for queue in ("LaunchQueue", "IndexQueue"):
            self.world.cloud.client("sqs").purge_queue(QueueUrl=self.world.cloud.outputs[queue])


@pytest.fixture(scope="module")
def quiet(cloud: Cloud) -> Iterator[None]:
    """The deployed functions leave the queues to the tests of this module."""
    functions = cloud.client("lambda")
    sources = [
        each["UUID"]
        for each in functions.list_event_source_mappings()["EventSourceMappings"]
        if ":sqs:" in each["EventSourceArn"]
    ]
    for source in sources:
        functions.update_event_source_mapping(UUID=source, Enabled=False)
    yield
    for source in sources:
        functions.update_event_source_mapping(UUID=source, Enabled=True)


@pytest.fixture(scope="module")
def dropped(cloud: Cloud) -> datetime:
    """The bucket and the folder that an event names; returns when the last file was put."""
    s3 = cloud.client("s3")
    s3.create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    for name, text in files(ratings(seed=21)).items():
        s3.put_object(Bucket=BUCKET, Key=f"{FOLDER}/{name}", Body=text.encode())
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def variables(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file that `make local` writes for `sam local`, while containers can reach the cloud."""
    require_engine()
    built = yaml.safe_load((cloud.folder / "build" / "template.yaml").read_text())
    declared = built["Globals"]["Function"]["Environment"]["Variables"]
    assert "AWS_ENDPOINT_URL" in declared, "`sam local` passes on only what the template declares"
    path = tmp_path_factory.mktemp("variables") / "env.json"
    with for_containers(cloud) as functions:
        path.write_text(json.dumps(functions))
        yield path


@pytest.fixture
def sam_local(cloud: Cloud, variables: Path, tmp_path: Path) -> SamLocal:
    """`sam local`, where an engine can be reached."""
    return SamLocal(cloud, tmp_path, variables)


@pytest.fixture
def emulator(cloud: Cloud, tmp_path: Path) -> Emulator:
    """The runtime interface emulator, where it runs."""
    if not rie.IS_POSSIBLE:
        pytest.skip("the functions are built for Linux on x86-64")
    return Emulator(cloud, tmp_path)


@pytest.fixture(
    params=[
        pytest.param("emulator", id="emulator"),
        pytest.param("sam_local", id="container"),
    ]
)
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """What runs the function."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def stage(world: World, runtime: Runtime, quiet: None) -> Iterator[Stage]:  # noqa: ARG001
    """The stage; afterwards the cloud is as it was."""
    made = Stage(world, runtime)
    pointer = made.index.get_item(Key=dict(index_table.LIVE_KEY)).get("Item")
    made.clear()
    others = made.set_aside()
    yield made
    made.clear()
    for each in others:
        made.runs.put_item(Item=each)
    if pointer:
        made.index.put_item(Item=pointer)


def function_of(name: str) -> str:
    """The logical id of the function that a file in events/ is for."""
    return f"{name.partition('-')[0].capitalize()}Function"


def test_every_sample_event_is_tried_and_documented() -> None:
    here, documented = Path(__file__).read_text(), (EVENTS / "README.md").read_text()
    for name in (path.stem for path in EVENTS.glob("*.json")):
        assert f'"{name}"' in here
        assert f"`sam local invoke {function_of(name)} -e events/{name}.json` |" in documented


def test_a_dropped_folder_gets_a_run_and_a_cluster(stage: Stage, dropped: datetime) -> None:
    stage.world.cloud.emr.behaviour = Behaviour(step="hangs", events="lost")
    settled = dropped + timedelta(seconds=2)
    stage.world.wait_until(lambda: datetime.now(UTC) > settled, "the folder has settled")
    assert stage.invoke("launcher-dataset-dropped") == NO_FAILURES
    (run,) = stage.all_runs()
    assert run["state"] == "STARTING"
    cluster = stage.world.wait_for_cluster(run["run_id"], "RUNNING")
    assert cluster["Id"] == run["cluster_id"]
    stage.world.cloud.client("emr").terminate_job_flows(JobFlowIds=[cluster["Id"]])
    stage.world.wait_for_cluster(run["run_id"], *ENDED)


def test_a_rerun_whose_input_is_gone_fails_in_these_words(stage: Stage) -> None:
    stage.put_run(State.LIVE, request="{}")
    assert stage.invoke("launcher-rerun") == NO_FAILURES
    again, model = stage.all_runs()
    assert (model["run_id"], again["rerun_of"], again["state"]) == (RUN, RUN, "FAILED")
    assert again["reason"].endswith(
        f"/{run_prefix(RUN)}input/ no longer exists: drop the folder again"
    )


def test_a_written_manifest_is_handed_out_part_by_part(stage: Stage) -> None:
    part = stage.put_result()
    stage.put_run(State.RUNNING)
    assert stage.invoke("indexer-manifest-written") == NO_FAILURES
    assert stage.run["state"] == "INDEXING"
    assert stage.run["counts"]["ratings"] == 40
    task = {"action": "load", "run_id": RUN, "part": asdict(part)}
    assert task in stage.messages("IndexQueue")


def test_the_last_part_makes_a_run_live(stage: Stage) -> None:
    part = stage.put_result()
    stage.put_run(State.INDEXING, parts=1, **LOADED)
    answer = stage.invoke(
        "indexer-part",
        ("2000", str(part.records)),
        ("1048576", str(part.bytes)),
        (hashlib.sha256().hexdigest(), part.sha256),
    )
    assert answer == NO_FAILURES
    assert stage.run["state"] == "LIVE"
    assert stage.live["run_id"] == RUN
    item = stage.index.get_item(Key=index_table.movie_key(RUN, 1))["Item"]
    assert line_in(item) == LINE


def test_a_step_that_runs_moves_its_run(stage: Stage) -> None:
    stage.put_run(State.STARTING)
    assert stage.invoke("monitor-step-running") is None
    assert (stage.run["state"], stage.run["cluster_id"]) == ("RUNNING", CLUSTER)


def test_a_step_that_failed_fails_its_run_in_the_jobs_words(stage: Stage) -> None:
    stage.put(failure_key(RUN), b'{"message": "ratings.dat has no ratings"}')
    stage.put_run(State.RUNNING)
    assert stage.invoke("monitor-step-failed") is None
    assert (stage.run["state"], stage.run["reason"]) == ("FAILED", "ratings.dat has no ratings")


def test_a_cluster_that_died_fails_its_run_in_emrs_words(stage: Stage) -> None:
    stage.put_run(State.RUNNING)
    assert stage.invoke("monitor-cluster-failed") is None
    assert stage.run["state"] == "FAILED"
    assert stage.run["reason"] == (
        "the cluster TERMINATED_WITH_ERRORS: "
        "INSTANCE_FAILURE: The master node was terminated by EC2."
    )


def test_a_cluster_that_ended_has_its_cost_noted(stage: Stage) -> None:
    stage.put_run(State.INDEXING, instance_type="m5.xlarge", nodes=4)
    assert stage.invoke("monitor-cluster-ended") is None
    assert stage.run["state"] == "INDEXING"
    # Four nodes from 12:06, see put_run, to the event's 12:16.
    assert float(stage.run["actual_cost"]["node_hours"]) == pytest.approx(4 / 6, abs=0.001)


def test_a_run_gone_live_is_reported(stage: Stage) -> None:
    inbox = Inbox(stage.world)
    assert stage.invoke("notifier-run-live") == NO_FAILURES
    subject = f"similar-titles: LIVE {FOLDER}"
    stage.world.wait_until(lambda: inbox.has(subject), subject)
    assert "10,000,054 ratings, 22,245,920 pairs" in inbox.text(subject)


def test_the_sweep_fails_a_run_whose_launcher_died(stage: Stage) -> None:
    stage.put_run(State.CHECKING, updated_at="2020-01-01T00:00:00.000Z")
    assert stage.invoke("sweeper-schedule") is None
    assert stage.run["state"] == "FAILED"
    assert stage.run["reason"].startswith("the launcher did not finish")


def test_a_rollback_answers_from_the_run_before(stage: Stage) -> None:
    stage.put_run(State.SUPERSEDED, **LOADED)
    stage.put_run(State.LIVE, LATER)
    stage.put_live(LATER, previous=RUN)
    assert stage.invoke("control-rollback") == {"done": f"{RUN} is live again; {LATER} is kept"}
    assert stage.live["run_id"] == RUN
    assert stage.run["state"] == "LIVE"


def test_a_promoted_run_is_indexed_anew(stage: Stage) -> None:
    stage.put_result()
    stage.put_run(State.SUPERSEDED, **LOADED)
    assert stage.invoke("control-promote") == {
        "done": f"{RUN} is being indexed and will then go live"
    }
    assert stage.run["state"] == "INDEXING"
    # Beside the event of the manifest that the stage has put there.
    (message,) = [each for each in stage.messages("IndexQueue") if "source" not in each]
    assert message["detail"]["object"]["key"] == manifest_key(RUN)


def test_a_lost_index_is_loaded_anew(stage: Stage) -> None:
    stage.put_result()
    stage.put_run(State.LIVE, **LOADED)
    assert stage.invoke("control-rebuild") == {
        "done": f"{RUN} is being indexed again from its result"
    }
    assert stage.run["state"] == "INDEXING"
    # Beside the event of the manifest that the stage has put there.
    (message,) = [each for each in stage.messages("IndexQueue") if "source" not in each]
    assert message["detail"]["object"]["key"] == manifest_key(RUN)


def test_a_rerun_is_handed_to_the_launcher(stage: Stage) -> None:
    stage.put_run(State.LIVE, request="{}")
    assert stage.invoke("control-rerun") == {"done": f"a rerun of {RUN} has been requested"}
    stage.world.wait_until(lambda: stage.messages("LaunchQueue") == [{"rerun": RUN}], "a message")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("query-similar", {"movie": MOVIE, "limit": 5, "similar": [{"rank": 1, **NEIGHBOUR}]}),
        ("query-title", {"movie": MOVIE, "did_you_mean": [], "total": 1}),
        (
            "query-many",
            {
                "run_id": RUN,
                "movies": [
                    {
                        "movie_id": 1,
                        "movie": MOVIE,
                        "measure": "cosine",
                        "total": 1,
                        "matched": 1,
                        "similar": [{"rank": 1, **NEIGHBOUR}],
                        "reason": None,
                    },
                    *(
                        {
                            "movie_id": unknown,
                            "movie": None,
                            "measure": "cosine",
                            "total": 0,
                            "matched": 0,
                            "similar": [],
                            "reason": f"no movie {unknown} in run {RUN}",
                        }
                        for unknown in ("tmdb:863", 99)
                    ),
                ],
            },
        ),
        (
            "query-recommendations",
            {
                "run_id": RUN,
                "recommendations": [
                    {
                        "rank": 1,
                        **OTHER,
                        "score": 0.975,
                        "because": [
                            {
                                "movie_id": 1,
                                "title": MOVIE["title"],
                                "imdb_id": "tt0114709",
                                "tmdb_id": 862,
                                "score": 0.975,
                                "strength": None,
                                "weight": 1.0,
                                "share": 1.0,
                            }
                        ],
                    }
                ],
            },
        ),
        ("query-movie", MOVIE | {"run_id": RUN}),
        ("query-search", {"run_id": RUN, "movies": [MOVIE]}),
        ("query-runs", {"live_run_id": RUN}),
        ("query-run", {"run_id": RUN, "state": "LIVE", "folder": FOLDER}),
        ("query-health", {"status": "ok", "live_run_id": RUN}),
        ("query-openapi", {"openapi": "3.1.0"}),
    ],
)
def test_a_request_is_answered_from_the_live_run(
    stage: Stage, name: str, told: dict[str, Any]
) -> None:
    stage.make_live()
    answer = stage.invoke(name)
    assert answer["statusCode"] == 200
    assert answer["headers"]["Content-Type"] == "application/json"
    assert json.loads(answer["body"]).items() >= told.items()


def test_the_documentation_is_a_page(stage: Stage) -> None:
    answer = stage.invoke("query-docs")
    assert answer["statusCode"] == 200
    assert answer["headers"]["Content-Type"].startswith("text/html")


def test_llms_txt_describes_the_api(stage: Stage) -> None:
    answer = stage.invoke("query-llms")
    assert answer["statusCode"] == 200
    assert answer["body"].startswith("# similar-titles\n")


@pytest.mark.parametrize("runtime", [pytest.param("sam_local", id="container")], indirect=True)
def test_start_api_answers_from_the_live_run(stage: Stage, tmp_path: Path) -> None:
    assert isinstance(stage.runtime, SamLocal)
    stage.make_live()
    (port,) = free_ports(1)
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = stage.runtime.start(out, out, "start-api", "--port", str(port))
    try:
        stage.world.wait_until(
            lambda: process.poll() is not None or is_listening(port), "somebody listens"
        )
        url = f"http://127.0.0.1:{port}/movies/1/similar?limit=5"
        with urllib.request.urlopen(url, timeout=LIMIT_SECONDS) as answer:
            assert json.load(answer)["similar"] == [{"rank": 1, **NEIGHBOUR}]
    except OSError as error:
        raise AssertionError(log.read_text(errors="replace")) from error
    finally:
        process.stop()


def is_listening(port: int) -> bool:
    """Whether somebody listens at a port of loopback."""
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0
