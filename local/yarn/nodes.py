"""A real YARN on one machine: one ResourceManager and a NodeManager for each core node.

They are configured as EMR configures its nodes (yarn_conf.py) and live with all their containers in
namespaces of their own, where /usr/bin/python3.13 is a bare Python. When the block ends, or this
program dies in whatever way, nothing of them is left.
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
from local.access import REGION, Access, clean_environment
from local.cloud import free_ports
from local.emr.metadata import InstanceMetadata
from local.emr.step import MakeStep, NodesError, StepRun, bootstrap_scripts, node_environment
from local.supervised import SupervisedProcess
from local.yarn import configuration
from tools.hadoop import jars
from tools.java import java_home
from tools.paths import ROOT

START_SECONDS = 120
POLL_SECONDS = 0.2
SERVERS = "org.apache.hadoop.yarn.server"
# Hadoop reaches into the JDK's own packages; Java 17 opens them only when asked.
OPENED = ("java.lang", "java.net", "java.util", "java.util.concurrent", "sun.net.dns")
_APPLICATION = re.compile(r"Submitted application (application_\w+)")


@dataclass(frozen=True)
class NodeManager:
    """One node that runs containers.

    Attributes:
        name: of its folder.
        folder: its configuration, logs and containers.
    """

    name: str
    folder: Path

    def processes(self) -> list[psutil.Process]:
        """The NodeManager and everything that its containers run, as this machine sees them."""
        return [each for each in psutil.process_iter() if self._is_mine(each)]

    def kill(self) -> int:
        """Kill it with its containers, as a machine's end does; returns how many processes."""
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
        folder: everything of it on disk.
        web: URL of the ResourceManager's REST API.
        nodes: its NodeManagers.
    """

    folder: Path
    web: str
    nodes: Sequence[NodeManager]

    def get(self, path: str) -> Any:
        """Ask the ResourceManager, such as for `metrics` or `apps/ID`."""
        return json.load(_open(urllib.request.Request(f"{self.web}/{path}")))  # noqa: S310

    def kill(self, application: str) -> None:
        """Have YARN end an application."""
        request = urllib.request.Request(  # noqa: S310
            f"{self.web}/apps/{application}/state?user.name=hadoop",
            data=b'{"state": "KILLED"}',
            headers={"Content-Type": "application/json"},
            method="PUT",
        )
        _open(request).close()

    def logs(self, application: str) -> list[Path]:
        """The log folders of an application's containers, on all nodes."""
        return sorted(self.folder.glob(f"node*/logs/{application}/container_*"))

    def wait(self, servers: SupervisedProcess) -> None:
        """Return when all nodes are there.

        Raises:
            NodesError: they do not come.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and servers.poll() is None:
            with suppress(OSError):
                if self.get("metrics")["clusterMetrics"]["activeNodes"] == len(self.nodes):
                    return
            time.sleep(POLL_SECONDS)
        logs = [self.folder / "nodes.log", *self.folder.rglob("server.log")]
        said = "\n".join(path.read_text(errors="replace")[-2000:] for path in logs if path.exists())
        raise NodesError(f"YARN did not start:\n{said}")


@contextmanager
def yarn_nodes(
    request: Mapping[str, Any], access: Access, metadata: InstanceMetadata, folder: Path
) -> Iterator[tuple[Yarn, MakeStep]]:
    """The nodes of a cluster as a real YARN; see `local.emr.step.local_nodes`.

    Yields:
        The YARN, and what runs a step.

    Raises:
        NodesError: it does not come up.
        HadoopError: Hadoop cannot be had.
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
    """Start the servers, wait until all nodes are there, and end everything afterwards.

    Args:
        request: of RunJobFlow.
        access: to the local cloud.
        metadata: what the nodes have their rights from.
        folder: for everything of it.
        count: how many NodeManagers.
        node: their size, from `yarn_conf.node_size`.

    Raises:
        NodesError: it does not come up.
        HadoopError: Hadoop cannot be had.
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
    plan = {
        "python": _bare_python(folder),
        "overlay": str(folder / "overlay"),
        "bootstrap": [str(path) for path in bootstrap_scripts(request, access, metadata, folder)],
        "servers": servers,
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    yarn = Yarn(folder, settings.web, nodes)
    with (folder / "nodes.log").open("wb") as out:
        first = str(ROOT / "local" / "yarn" / "first_process.py")
        servers_process = SupervisedProcess(
            [*_unshare(), sys.executable, first, str(folder / "plan.json")],
            env=clean_environment(),
            cwd=folder,
            stdout=out,
        )
    try:
        yarn.wait(servers_process)
        yield yarn
    finally:
        servers_process.stop()
        for unpacked in (folder / "staging", *folder.glob("node*/local")):  # a GB; the logs stay
            shutil.rmtree(unpacked, ignore_errors=True)


@dataclass
class YarnStep(StepRun):
    """A step that is submitted to a YARN as EMR's primary node does it: its Args, verbatim.

    Attributes:
        yarn: that runs it.
    """

    yarn: Yarn = field(kw_only=True)

    def start(self) -> None:
        """Submit it; see `StepRun`."""
        self.folder.mkdir(parents=True)
        program, *rest = self.arguments
        conf = str(self.yarn.folder / "conf")
        environment = node_environment(self.access, self.metadata) | {
            "JAVA_HOME": str(java_home()),
            "SPARK_HOME": str(configuration.PYSPARK),
            "HADOOP_CONF_DIR": conf,
            "YARN_CONF_DIR": conf,
            "SPARK_CONF_DIR": conf,
            "SPARK_DIST_CLASSPATH": f"{jars()}/*",  # S3A: spark-submit looks at what it hands on
            "SPARK_LOCAL_IP": configuration.LOOPBACK,
            "HADOOP_USER_NAME": "hadoop",
            "AWS_REGION": REGION,
        }
        self.submit([str(configuration.PYSPARK / "bin" / program), *rest], environment, self.folder)

    @property
    def application(self) -> str | None:
        """The application's id, or None while YARN has given none."""
        found = _APPLICATION.search(self.said("stderr"))
        return found and found[1]

    def stop(self) -> None:
        """End spark-submit and its application; see `StepRun`."""
        is_running = self.poll() is None
        super().stop()
        if is_running and self.application:
            self.yarn.kill(self.application)


def _server(main: str, folder: Path) -> dict[str, Any]:
    """How a server is started: its class, in its folder, with the configuration that is there."""
    home = java_home()
    return {
        "command": [
            str(home / "bin" / "java"),
            "-Xmx256m",
            "-XX:TieredStopAtLevel=1",
            "-XX:-UsePerfData",
            *(f"--add-opens=java.base/{each}=ALL-UNNAMED" for each in OPENED),
            *("-cp", f"{folder / 'conf'}{os.pathsep}{jars()}/*", main),
        ],
        "environment": clean_environment() | {"JAVA_HOME": str(home), "USER": "hadoop"},
        "folder": str(folder),
    }


def _bare_python(folder: Path) -> str:
    """A Python 3.13 that has nothing installed."""
    base = Path(sys.base_prefix) / "bin" / "python3.13"
    command = [str(base), "-m", "venv", "--without-pip", str(folder / "python")]
    subprocess.run(command, check=True)
    return str(folder / "python" / "bin" / "python3.13")


def _unshare() -> list[str]:
    """Namespaces for mounts and processes; of a user that is not root, one for users as well."""
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *own, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def _open(request: urllib.request.Request) -> Any:
    """Open a URL of this machine, whatever proxy the environment names."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10)
