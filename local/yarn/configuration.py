"""The configuration of a YARN on one machine: what EMR says to its nodes, in Hadoop's own files."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from local.access import REGION, Access
from local.emr.metadata import InstanceMetadata
from local.emr.step import NodesError

LOOPBACK = "127.0.0.1"
PYSPARK = Path(sys.prefix) / "lib" / "python3.13" / "site-packages" / "pyspark"
S3A = "org.apache.hadoop.fs.s3a"
# What EMR's own spark-defaults.conf says on an m5.xlarge, as far as Apache's Spark knows it: what a
# request leaves unsaid is filled in as EMR would.
# https://docs.aws.amazon.com/emr/latest/ReleaseGuide/emr-spark-configure.html
EMR_SPARK_DEFAULTS = {
    "spark.master": "yarn",
    "spark.driver.memory": "2048M",
    "spark.executor.memory": "9486M",
    "spark.executor.cores": "4",
    "spark.dynamicAllocation.enabled": "true",
    "spark.shuffle.service.enabled": "true",
    "spark.hadoop.yarn.timeline-service.enabled": "false",
    "spark.driver.defaultJavaOptions": "-XX:OnOutOfMemoryError='kill -9 %p'",
    "spark.executor.defaultJavaOptions": "-XX:OnOutOfMemoryError='kill -9 %p'",
    "spark.files.fetchFailure.unRegisterOutputOnHost": "true",
}
RESOURCE_MANAGER = "", "scheduler.", "resource-tracker.", "admin.", "webapp."
NODE_MANAGER = "", "localizer.", "webapp.", "collector-service."
CAPACITY = {
    "yarn.scheduler.capacity.root.queues": "default",
    "yarn.scheduler.capacity.root.default.capacity": "100",
}
LOG4J = """log4j.rootLogger=INFO, console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{HH:mm:ss} %p %c{1}: %m%n
"""


@dataclass(frozen=True)
class Configuration:
    """What all servers and the client of one YARN are told.

    Attributes:
        core: of core-site.xml.
        yarn: of yarn-site.xml; a NodeManager is told more.
        spark: of spark-defaults.conf.
    """

    core: Mapping[str, str]
    yarn: Mapping[str, str]
    spark: Mapping[str, str]

    @property
    def web(self) -> str:
        """URL of the ResourceManager's REST API."""
        return f"http://{self.yarn['yarn.resourcemanager.webapp.address']}/ws/v1/cluster"

    def write(self, folder: Path, more: Mapping[str, str] | None = None) -> None:
        """Write the files into a folder.

        Args:
            folder: new.
            more: of yarn-site.xml.
        """
        folder.mkdir(parents=True)
        (folder / "core-site.xml").write_text(xml(self.core))
        (folder / "yarn-site.xml").write_text(xml({**self.yarn, **(more or {})}))
        (folder / "capacity-scheduler.xml").write_text(xml(CAPACITY))
        (folder / "log4j.properties").write_text(LOG4J)
        rows = "".join(f"{name} {value}\n" for name, value in self.spark.items())
        (folder / "spark-defaults.conf").write_text(rows)


def configuration(
    request: Mapping[str, Any],
    access: Access,
    metadata: InstanceMetadata,
    folder: Path,
    ports: Iterator[int],
    node: Mapping[str, str],
) -> Configuration:
    """What EMR makes of a request's Configurations, and where this machine has things.

    Args:
        request: of RunJobFlow.
        access: to the local cloud.
        metadata: what the nodes have their rights from.
        folder: of the YARN.
        ports: that nobody listens on.
        node: from `node_size`.

    Raises:
        NodesError: a classification that is not known here.
    """
    given = {each["Classification"]: each["Properties"] for each in request["Configurations"]}
    if unknown := sorted(given.keys() - {"spark-defaults", "yarn-site"}):
        raise NodesError(f"this cluster does not know the classification {unknown[0]}")
    addresses = {
        f"yarn.resourcemanager.{name}address": f"{LOOPBACK}:{next(ports)}"
        for name in RESOURCE_MANAGER
    }
    return Configuration(
        _core(access, folder),
        addresses | dict(node) | _yarn(access, metadata) | dict(given.get("yarn-site", {})),
        EMR_SPARK_DEFAULTS | _spark(folder) | dict(given.get("spark-defaults", {})),
    )


def node_size(memory_mb: int, vcpus: int) -> dict[str, str]:
    """What YARN has of each node, and so the most that a container may have."""
    return {
        "yarn.nodemanager.resource.memory-mb": str(memory_mb),
        "yarn.nodemanager.resource.cpu-vcores": str(vcpus),
        "yarn.scheduler.maximum-allocation-mb": str(memory_mb),
        "yarn.scheduler.maximum-allocation-vcores": str(vcpus),
    }


def of_node_manager(folder: Path, ports: Iterator[int]) -> dict[str, str]:
    """What one NodeManager is told beside what all are."""
    addresses = {
        f"yarn.nodemanager.{name}address": f"{LOOPBACK}:{next(ports)}" for name in NODE_MANAGER
    }
    return addresses | {
        "yarn.nodemanager.hostname": LOOPBACK,
        "yarn.nodemanager.local-dirs": str(folder / "local"),
        "yarn.nodemanager.log-dirs": str(folder / "logs"),
    }


def xml(properties: Mapping[str, str]) -> str:
    """Properties as Hadoop reads them."""
    rows = (
        f"<property><name>{escape(name)}</name><value>{escape(value)}</value></property>\n"
        for name, value in properties.items()
    )
    return f"<configuration>\n{''.join(rows)}</configuration>\n"


def _core(access: Access, folder: Path) -> dict[str, str]:
    """Local files in place of HDFS; `s3://` by S3A, with the nodes' rights."""
    return {
        "fs.defaultFS": "file:///",
        "hadoop.tmp.dir": str(folder / "tmp"),
        "fs.s3.impl": f"{S3A}.S3AFileSystem",
        "fs.s3a.endpoint": access.endpoint,
        "fs.s3a.endpoint.region": REGION,
        "fs.s3a.path.style.access": "true",
        "fs.s3a.connection.ssl.enabled": "false",
        "fs.s3a.aws.credentials.provider": f"{S3A}.auth.IAMInstanceCredentialsProvider",
    }


def _yarn(access: Access, metadata: InstanceMetadata) -> dict[str, str]:
    """EMR's own settings, and what lets several nodes live on one machine."""
    environment = {  # a container has nothing of its NodeManager's own environment
        "AWS_ENDPOINT_URL": access.endpoint,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.endpoint,
        "NUMBA_DEBUG_CACHE": "1",  # its log tells what was compiled, and where it is kept
    }
    return {
        "yarn.resourcemanager.hostname": LOOPBACK,
        "yarn.scheduler.minimum-allocation-mb": "32",
        "yarn.nodemanager.pmem-check-enabled": "true",
        "yarn.nodemanager.resource.memory.enforced": "false",  # else that is left to cgroups
        "yarn.nodemanager.vmem-check-enabled": "false",
        # EMR's is /home/, which its containers may not write; here they may write everything else.
        "yarn.nodemanager.user-home-dir": "/proc/",
        "yarn.nodemanager.admin-env": ",".join(f"{k}={v}" for k, v in environment.items()),
        "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": "99",
        "yarn.nm.liveness-monitor.expiry-interval-ms": "15000",  # EMR hears of a lost node from EC2
        "yarn.resourcemanager.nm.liveness-monitor.interval-ms": "1000",
    }


def _spark(folder: Path) -> dict[str, str]:
    """Where the client and the containers find things on this machine."""
    return {
        "spark.yarn.jars": f"local:{PYSPARK}/jars/*",
        "spark.yarn.stagingDir": (folder / "staging").as_uri(),
        "spark.yarn.appMasterEnv.SPARK_LOCAL_IP": LOOPBACK,  # which hands it to executors
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": (folder / "events").as_uri(),
    }
