"""A real YARN on one machine: one ResourceManager, and a NodeManager for each core node.

The servers have EMR's configuration (configuration.py) and run with all their containers in their
own namespaces, in which /usr/bin/python3.13 is a bare Python. When the block ends, or this program
dies for any reason, all of these processes end.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from instance_types import INSTANCE_TYPES
from local.access import REGION, Access, clean_environment, open_url
from local.cloud import free_ports
from local.emr.metadata import InstanceMetadata
from local.emr.step import (
    JAVA_OPTIONS,
    MakeStep,
    NodesError,
    StepRun,
    bootstrap_scripts,
    node_environment,
)
from local.supervised import SupervisedProcess
from local.yarn import configuration
from tools.paths import ROOT
from tools.setup.hadoop import jars
from tools.setup.java import java_home

START_SECONDS = 120
POLL_SECONDS = 0.2
TIMEOUT_SECONDS = 10
SERVERS = "org.apache.hadoop.yarn.server"
# Internal packages of the JDK that Hadoop uses, and that Java 17 keeps closed by default.
OPENED = ("java.lang", "java.net", "java.util", "java.util.concurrent", "sun.net.dns")
_APPLICATION = re.compile(r"Submitted application (application_\w+)")


@dataclass(frozen=True)
class NodeManager:
    """One node that runs containers.

    Attributes:
        name: the name of its folder.
        folder: its configuration, logs and containers.
    """

    name: str
    folder: Path

    def processes(self) -> list[psutil.Process]:
        """Return the NodeManager's process and all processes of its containers."""
        return [each for each in psutil.process_iter() if self._is_mine(each)]

    def kill(self) -> int:
        """Kill these processes, as the loss of a machine would, and return their number."""
        found = self.processes()
        for process in found:
            with suppress(psutil.Error):
                process.kill()
        return len(found)

    def _is_mine(self, process: psutil.Process) -> bool:
        try:
            return Path(process.cwd()).is_relative_to(self.folder)
        except psutil.Error:
            return False


@dataclass(frozen=True)
class Yarn:
    """A running YARN.

    Attributes:
        folder: all its files.
        web: URL of the ResourceManager's REST API.
        nodes: its NodeManagers.
    """

    folder: Path
    web: str
    nodes: Sequence[NodeManager]

    def get(self, path: str) -> Any:
        """Send the ResourceManager a GET request, for example for `metrics` or `apps/ID`."""
        return json.load(open_url(f"{self.web}/{path}", TIMEOUT_SECONDS))

    def kill(self, application: str) -> None:
        """Kill an application through YARN."""
        request = urllib.request.Request(  # noqa: S310
            f"{self.web}/apps/{application}/state?user.name=hadoop",
            data=b'{"state": "KILLED"}',
            headers={"Content-Type": "application/json"},
            method="PUT",
        )
        open_url(request, TIMEOUT_SECONDS).close()

    def logs(self, application: str) -> list[Path]:
        """Return the log folders of an application's containers on all nodes."""
        return sorted(self.folder.glob(f"node*/logs/{application}/container_*"))

    def wait(self, servers: SupervisedProcess) -> None:
        """Wait until all nodes have registered.

        Raises:
            NodesError: the nodes did not register in time.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and servers.poll() is None:
            with suppress(OSError):
                if self.get("metrics")["clusterMetrics"]["activeNodes"] == len(self.nodes):
                    return
            time.sleep(POLL_SECONDS)
        logs = [self.folder / "nodes.log", *self.folder.rglob("server.log")]
        texts = [path.read_text(errors="replace")[-2000:] for path in logs if path.exists()]
        raise NodesError("\n".join(["YARN did not start:", *texts]))


@contextmanager
def yarn_nodes(
    request: Mapping[str, Any], access: Access, metadata: InstanceMetadata, folder: Path
) -> Iterator[tuple[Yarn, MakeStep]]:
    """Start the nodes of a cluster as a real YARN; see `local.emr.step.local_nodes`.

    Yields:
        The YARN, and a function that makes a step from its Args and its folder.

    Raises:
        NodesError: YARN did not start.
        HadoopError: Hadoop cannot be downloaded.
    """
    core = request["Instances"]["InstanceGroups"][1]
    node = INSTANCE_TYPES[core["InstanceType"]]
    with start(request, access, metadata, folder, core["InstanceCount"],
               configuration.node_size(node.yarn_mb, node.vcpus)) as yarn:  # fmt: skip
        yield yarn, lambda arguments, own: YarnStep(access, metadata, arguments, own, yarn=yarn)


@contextmanager
def start(
    request: Mapping[str, Any],
    access: Access,
    metadata: InstanceMetadata,
    folder: Path,
    count: int,
    node: Mapping[str, str],
) -> Iterator[Yarn]:
    """Start the servers, wait for all nodes, and stop everything when the block ends.

    Args:
        request: the RunJobFlow request.
        access: to the local cloud.
        metadata: the nodes' instance metadata service.
        folder: folder for all files.
        count: number of NodeManagers.
        node: size of a node, from `configuration.node_size`.

    Raises:
        NodesError: YARN did not start.
        HadoopError: Hadoop cannot be downloaded.
    """
    each_port = len(configuration.NODE_MANAGER)
    ports = iter(free_ports(len(configuration.RESOURCE_MANAGER) + each_port * count))
    settings = configuration.configuration(request, access, metadata, folder, ports, node)
    settings.write(folder / "conf")
    (folder / "events").mkdir()
    servers = {
        "resourcemanager": _server(f"{SERVERS}.resourcemanager.ResourceManager", folder),
    }
    nodes = [
        NodeManager(f"node{number + 1}", folder / f"node{number + 1}") for number in range(count)
    ]
    for each in nodes:
        settings.write(each.folder / "conf", configuration.of_node_manager(each.folder, ports))
        servers[each.name] = _server(f"{SERVERS}.nodemanager.NodeManager", each.folder)
    scripts = bootstrap_scripts(request, access, metadata, folder)
    yarn = Yarn(folder, settings.web, nodes)
    servers_process = _run_servers(folder, servers, scripts)
    try:
        yarn.wait(servers_process)
        yield yarn
    finally:
        servers_process.stop()
        # About 1 GB; the logs are kept.
        for unpacked in (folder / "staging", *folder.glob("node*/local")):
            shutil.rmtree(unpacked, ignore_errors=True)


@dataclass
class YarnStep(StepRun):
    """A step submitted to a YARN as EMR's primary node does: its Args, verbatim.

    Attributes:
        yarn: the YARN that runs it.
    """

    yarn: Yarn = field(kw_only=True)

    def start(self) -> None:
        """Submit the step; see `StepRun`."""
        self.folder.mkdir(parents=True)
        program, *rest = self.arguments
        conf = str(self.yarn.folder / "conf")
        environment = node_environment(self.access, self.metadata) | {
            "JAVA_HOME": str(java_home()),
            "SPARK_HOME": str(configuration.PYSPARK),
            "HADOOP_CONF_DIR": conf,
            "YARN_CONF_DIR": conf,
            "SPARK_CONF_DIR": conf,
            "SPARK_DIST_CLASSPATH": f"{jars()}/*",  # S3A, for s3:// URIs
            "SPARK_SUBMIT_OPTS": JAVA_OPTIONS,
            "SPARK_LOCAL_IP": configuration.LOOPBACK,
            "HADOOP_USER_NAME": "hadoop",
            "AWS_REGION": REGION,
        }
        self.submit([str(configuration.PYSPARK / "bin" / program), *rest], environment, self.folder)

    @property
    def application(self) -> str | None:
        """The application's id, or None before YARN has assigned one."""
        found = _APPLICATION.search(self.output("stderr"))
        return found and found[1]

    def stop(self) -> None:
        """Stop spark-submit and kill its application; see `StepRun`."""
        is_running = self.poll() is None
        super().stop()
        if is_running and self.application:
            self.yarn.kill(self.application)


def _run_servers(
    folder: Path, servers: Mapping[str, Any], scripts: Sequence[Path]
) -> SupervisedProcess:
    """Run bootstrap scripts and servers in new namespaces."""
    plan = {
        "python": _bare_python(folder),
        "overlay": str(folder / "overlay"),
        "bootstrap": [str(path) for path in scripts],
        "servers": servers,
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    first = str(ROOT / "local" / "yarn" / "first_process.py")
    command = [*_unshare(), sys.executable, first, str(folder / "plan.json")]
    with (folder / "nodes.log").open("wb") as out:
        return SupervisedProcess(command, env=clean_environment(), cwd=folder, stdout=out)


def _server(main: str, folder: Path) -> dict[str, Any]:
    """Return how to start a server: its class, with the configuration in its folder."""
    home = java_home()
    return {
        "command": [
            str(home / "bin" / "java"),
            "-Xmx256m",
            *JAVA_OPTIONS.split(),
            # Without Hadoop's native library, which EMR has, chmod runs for each unpacked file.
            "-Djdk.lang.Process.launchMechanism=VFORK",
            "-XX:-UsePerfData",
            f"-Djava.io.tmpdir={folder}",  # it unpacks its web pages, and leaves them if killed
            *(f"--add-opens=java.base/{each}=ALL-UNNAMED" for each in OPENED),
            *("-cp", f"{folder / 'conf'}{os.pathsep}{jars()}/*", main),
        ],
        "environment": clean_environment() | {"JAVA_HOME": str(home), "USER": "hadoop"},
        "folder": str(folder),
    }


def _bare_python(folder: Path) -> str:
    """Create a Python 3.13 without packages and return its path."""
    base = Path(sys.base_prefix) / "bin" / "python3.13"
    command = [str(base), "-m", "venv", "--without-pip", str(folder / "python")]
    subprocess.run(command, check=True)
    return str(folder / "python" / "bin" / "python3.13")


def _unshare() -> list[str]:
    """Return the command for mount and PID namespaces, and a user namespace if not root."""
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *own, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
