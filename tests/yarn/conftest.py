"""A local cloud whose clusters are real YARNs."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from local.cloud import Cloud
from local.emr.step import StepRun
from local.yarn.nodes import Yarn, YarnStep, yarn_nodes
from spark.contracts.manifest import Manifest
from spark.measures.registry import DEFAULT
from tests.builders.world import World
from tests.e2e.conftest import UNRELATED
from tests.spark import oracle
from tests.spark.test_measures import write
from tools.setup import hadoop

LIMIT_SECONDS = 480  # of a run, on a busy two-core machine

COMPARED = range(1, 41)  # movies with enough ratings

type Rewrite = Callable[[Sequence[str]], Sequence[str]]


def as_they_are(arguments: Sequence[str]) -> Sequence[str]:
    """Return a step's Args verbatim."""
    return arguments


@dataclass
class Clusters:
    """EMR's clusters, each a separate YARN.

    Attributes:
        rewrite: changes the steps' Args; set by drills.
        yarn: the newest cluster's YARN.
        step: the newest step.
        metadata: the newest cluster's instance metadata service.
    """

    rewrite: Rewrite = as_they_are
    yarn: Yarn = field(init=False)
    step: YarnStep = field(init=False)
    metadata: Any = field(init=False)

    @contextmanager
    def __call__(
        self, request: Any, access: Any, metadata: Any, folder: Path
    ) -> Iterator[Callable[[Sequence[str], Path], StepRun]]:
        """Start the nodes of a cluster; see `local.emr.step.local_nodes`."""
        self.metadata = metadata
        with yarn_nodes(request, access, metadata, folder) as (self.yarn, make):

            def remembered(arguments: Sequence[str], folder: Path) -> YarnStep:
                self.step = make(self.rewrite(arguments), folder)
                return self.step

            yield remembered

    @property
    def driver_log(self) -> str:
        """The driver's log so far."""
        return "".join(path.read_text(errors="replace") for path in self._driver("stdout"))

    def node_of_driver(self) -> str:
        """Return the name of the driver's node."""
        (log,) = self._driver("stdout")
        return log.relative_to(self.yarn.folder).parts[0]

    def executors(self) -> list[psutil.Process]:
        """Return the JVMs of the executors."""
        return self._processes("YarnCoarseGrainedExecutorBackend")

    def driver(self) -> psutil.Process:
        """Return the driver's JVM."""
        (process,) = self._processes("deploy.yarn.ApplicationMaster")
        return process

    def _processes(self, main: str) -> list[psutil.Process]:
        return [
            process
            for node in self.yarn.nodes
            for process in node.processes()
            if process.name() == "java" and any(main in word for word in process.cmdline())
        ]

    def _driver(self, name: str) -> list[Path]:
        return [*self.yarn.folder.glob(f"node*/logs/*/container_*_000001/{name}")]


@dataclass(frozen=True)
class OnYarn(World):
    """A test's access to the cloud and its clusters.

    Attributes:
        clusters: the cloud's clusters.
    """

    clusters: Clusters

    def drop_ratings(self, folder: str, path: Path, ratings: list[oracle.Rating]) -> None:
        """Drop a folder of ratings and of the rated movies."""
        local = write(path, ratings)
        self.drop(folder, {each.name: each.read_text() for each in local.iterdir()})

    def result(self, run_id: str, path: Path) -> Path:
        """Download a run's result to a folder, and check its checksums."""
        s3, bucket = self.cloud.client("s3"), self.cloud.outputs["ResultsBucket"]
        prefix = f"runs/{run_id}/"
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        items = [item for page in pages for item in page["Contents"]]
        for item in items:
            if item["Key"].endswith("/"):
                continue  # Arrow's marker of a folder
            target = path / item["Key"].removeprefix(prefix)
            target.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(bucket, item["Key"], str(target))
        manifest = Manifest.from_json((path / "manifest.json").read_text())
        parts = [*manifest.neighbours, manifest.titles, manifest.quality]
        assert len(parts) > 2
        for part in parts:
            assert hashlib.sha256((path / part.name).read_bytes()).hexdigest() == part.sha256
        return path


@pytest.fixture(scope="session")
def cloud() -> Iterator[tuple[Cloud, Clusters]]:
    """The local cloud, whose clusters are YARNs."""
    if lacking := hadoop.missing():
        pytest.skip(lacking)
    clusters = Clusters()
    with Cloud.start(nodes=clusters, parameters=UNRELATED) as cloud:
        yield cloud, clusters


@pytest.fixture
def on_yarn(cloud: tuple[Cloud, Clusters]) -> Iterator[OnYarn]:
    """A test's access to the cloud; steps are verbatim again afterwards."""
    world = OnYarn(*cloud, limit=LIMIT_SECONDS)
    yield world
    world.clusters.rewrite = as_they_are


@dataclass(frozen=True)
class Verbatim:
    """A run whose step was submitted exactly as the launcher requested it.

    Attributes:
        run: the run from the API; it is LIVE.
        output: folder of the run's result.
        logs: logs of the containers, by their number.
        answers: the API's answers while the run was live, status and body by movie.
    """

    run: dict[str, Any]
    output: Path
    logs: dict[str, str]
    answers: dict[int, tuple[int, Any]]


@pytest.fixture(scope="session")
def verbatim(
    cloud: tuple[Cloud, Clusters],
    ratings: list[oracle.Rating],
    tmp_path_factory: pytest.TempPathFactory,
) -> Verbatim:
    """A run from the dropped folder to the index, without changes to the step."""
    on_yarn, path = OnYarn(*cloud, limit=LIMIT_SECONDS), tmp_path_factory.mktemp("verbatim")
    on_yarn.drop_ratings("verbatim", path / "d", ratings)
    run = on_yarn.wait_for_run("verbatim", "LIVE", "FAILED")
    assert run["state"] == "LIVE", run["reason"]
    application = on_yarn.clusters.step.application
    assert application is not None
    logs = {
        folder.name[-6:]: "".join(
            (folder / name).read_text(errors="replace") for name in ("stdout", "stderr")
        )
        for folder in on_yarn.clusters.yarn.logs(application)
    }
    answers = {
        movie: on_yarn.cloud.get(f"/movies/{movie}/similar?limit=50&measure={DEFAULT}")
        for movie in COMPARED
    }
    return Verbatim(run, on_yarn.result(run["run_id"], path / "result"), logs, answers)


@pytest.fixture(scope="session")
def ratings() -> list[oracle.Rating]:
    """Ratings of 40 movies by 150 users: one half likes even movies, the other half odd ones.

    1,600 more movies have one rating each. So the broadcast contains arrays above 64 KiB, which
    pickle treats differently, and which PySpark cannot write if Spark encrypts its files.
    """
    draw = np.random.default_rng(20)
    compared = [
        (user, movie, int(min(10, 5 + 3 * ((user + movie) % 2) + draw.integers(0, 3))) / 2)
        for user in range(1, 151)
        for movie in COMPARED
        if draw.random() < 0.8 - movie / 60
    ]
    return compared + [(1 + movie % 150, movie, 4.0) for movie in range(2000, 3600)]
