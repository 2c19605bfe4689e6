"""No process of a YARN outlives the program that started it, nor what its servers unpack."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT, Observed
from tools.setup import hadoop

pytestmark = pytest.mark.yarn

STARTS_ONE = """
import sys, time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from local.access import Access
from local.emr.metadata import Credentials, InstanceMetadata
from local.yarn import configuration
from local.yarn.nodes import start

now = datetime.now(UTC)
keys = Credentials("nobody", "key", "secret", "", now, now + timedelta(hours=1))
nowhere = Access("http://127.0.0.1:9", "http://127.0.0.1:9", "secret")
folder = Path(sys.argv[1])
folder.mkdir()
with (
    InstanceMetadata(lambda: keys) as metadata,
    start({"Configurations": []}, nowhere, metadata, folder, 1, configuration.node_size(4096, 2)),
):
    print("up", flush=True)
    time.sleep(600)
"""


def of(folder: Path) -> list[psutil.Process]:
    """Return the processes whose working directory is in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder):
                found.append(process)
        except psutil.Error:
            continue
    return found


def unpacked() -> set[Path]:
    """Return the folders in which servers unpack their web pages by default."""
    return {*Path(tempfile.gettempdir()).glob("jetty-*")}


@pytest.mark.drill(
    "Clusters",
    injected="the program that started a real YARN is killed",
    promised="no process of it is left, and none of its unpacked web pages",
)
def test_a_yarn_ends_with_the_program_that_started_it(tmp_path: Path, observed: Observed) -> None:
    if lacking := hadoop.missing():
        pytest.skip(lacking)
    folder, unpacked_before = tmp_path / "yarn", unpacked()
    with subprocess.Popen(
        [sys.executable, "-c", STARTS_ONE, folder], cwd=ROOT, stdout=subprocess.PIPE
    ) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"up\n"
        running = of(folder)
        assert len(running) >= 2  # the ResourceManager and a NodeManager
        starter.kill()
    gone, alive = psutil.wait_procs(running, timeout=30)
    assert not alive
    deadline = time.monotonic() + 30
    while of(folder):
        assert time.monotonic() < deadline, of(folder)
    assert unpacked() == unpacked_before
    observed(1, f"{len(gone)} processes gone")
