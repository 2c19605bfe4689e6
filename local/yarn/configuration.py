"""The configuration of a YARN on one machine: EMR's settings, in Hadoop's own files."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from local.access import REGION, Access
from local.emr.metadata import InstanceMetadata
from local.emr.step import JAVA_BASICS, NodesError

LOOPBACK = "127.0.0.1"
PYSPARK = Path(sys.prefix) / "lib" / "python3.13" / "site-packages" / "pyspark"
S3A = "org.apache.hadoop.fs.s3a"
# EMR's spark-defaults.conf on an m5.xlarge, without properties unknown to Apache Spark. A request's
# properties override these, as on EMR.
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
# C2 compiles the encryption only. C1, which compiles the rest, is quicker to compile, but does not
# use the processor's instructions for AES; and Spark encrypts all that it stores and sends.
COMPILER = Path(__file__).resolve().with_name("compiler.json")
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
    """The configuration of all servers and of the client of one YARN.

    Attributes:
        core: properties of core-site.xml.
        yarn: properties of yarn-site.xml, without those of a single NodeManager.
        spark: properties of spark-defaults.conf.
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
            folder: a new folder.
            more: further properties of yarn-site.xml.
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
    """Combine EMR's settings, a request's Configurations, and this machine's paths and ports.

    Args:
        request: the RunJobFlow request.
        access: to the local cloud.
        metadata: the nodes' instance metadata service.
        folder: the YARN's folder.
        ports: unused ports.
        node: size of a node, from `node_size`.

    Raises:
        NodesError: the request has a classification that is not supported here.
    """
    given = {each["Classification"]: each["Properties"] for each in request["Configurations"]}
    if unknown := sorted(given.keys() - {"spark-defaults", "yarn-site"}):
        raise NodesError(f"this cluster does not support the classification {unknown[0]}")
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
    """Return YARN's share of a node, which also limits each container."""
    return {
        "yarn.nodemanager.resource.memory-mb": str(memory_mb),
        "yarn.nodemanager.resource.cpu-vcores": str(vcpus),
        "yarn.scheduler.maximum-allocation-mb": str(memory_mb),
        "yarn.scheduler.maximum-allocation-vcores": str(vcpus),
    }


def of_node_manager(folder: Path, ports: Iterator[int]) -> dict[str, str]:
    """Return the properties of one NodeManager."""
    addresses = {
        f"yarn.nodemanager.{name}address": f"{LOOPBACK}:{next(ports)}" for name in NODE_MANAGER
    }
    return addresses | {
        "yarn.nodemanager.hostname": LOOPBACK,
        "yarn.nodemanager.local-dirs": str(folder / "local"),
        "yarn.nodemanager.log-dirs": str(folder / "logs"),
    }


def xml(properties: Mapping[str, str]) -> str:
    """Return properties in Hadoop's XML format."""
    rows = (
        f"<property><name>{escape(name)}</name><value>{escape(value)}</value></property>\n"
        for name, value in properties.items()
    )
    return f"<configuration>\n{''.join(rows)}</configuration>\n"


def _core(access: Access, folder: Path) -> dict[str, str]:
    """Use local files instead of HDFS, and S3A for `s3://`, with the nodes' credentials."""
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
    """Return EMR's settings, and what several nodes on one machine require."""
    environment = {  # a container does not inherit its NodeManager's environment
        "AWS_ENDPOINT_URL": access.endpoint,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.endpoint,
    }
    return {
        "yarn.resourcemanager.hostname": LOOPBACK,
        "yarn.scheduler.minimum-allocation-mb": "32",
        "yarn.nodemanager.pmem-check-enabled": "true",
        "yarn.nodemanager.resource.memory.enforced": "false",  # otherwise cgroups enforce it
        "yarn.nodemanager.vmem-check-enabled": "false",
        "yarn.nodemanager.container-monitor.interval-ms": "1000",  # few jobs here last long
        # EMR has /home/, where containers cannot write. Here they cannot write to /proc/.
        "yarn.nodemanager.user-home-dir": "/proc/",
        "yarn.nodemanager.admin-env": ",".join(f"{k}={v}" for k, v in environment.items()),
        "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": "99",
        "yarn.nm.liveness-monitor.expiry-interval-ms": "15000",  # on EMR, EC2 reports a lost node
        "yarn.resourcemanager.nm.liveness-monitor.interval-ms": "1000",
    }


def _spark(folder: Path) -> dict[str, str]:
    """Return what this machine has for the client and the containers: paths, and few cores."""
    more = f"-XX:+UnlockDiagnosticVMOptions -XX:CompilerDirectivesFile={COMPILER} {JAVA_BASICS}"
    options = {
        name: f"{EMR_SPARK_DEFAULTS[name]} {more}"
        for name in ("spark.driver.defaultJavaOptions", "spark.executor.defaultJavaOptions")
    }
    return options | {
        "spark.yarn.jars": f"local:{PYSPARK}/jars/*",
        "spark.yarn.stagingDir": (folder / "staging").as_uri(),
        "spark.yarn.appMasterEnv.SPARK_LOCAL_IP": LOOPBACK,  # the executors inherit it
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": (folder / "events").as_uri(),
    }
