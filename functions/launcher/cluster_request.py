"""The request for the transient EMR cluster of a run."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from launcher.containers import containers
from launcher.job_settings import JobSettings
from s3_keys import code_prefix, environment_key, input_prefix, run_prefix

JOB = "similarity_job.py"
PACKAGE = "job.zip"  # the package `spark`
BOOTSTRAP = "bootstrap.sh"
PYTHON = "/usr/bin/python3.13"
# Folders in each container into which YARN unpacks the archives.
PACKAGE_FOLDER = "job"
ENVIRONMENT = "environment"
TASKS_PER_CORE = 2
DISK_GIB = 64  # minimum per node, for Spark, its logs and the archive
SHUFFLE_PER_BYTE = 12  # bytes of disk on all nodes per byte of ratings; docs/scale.md, with room
# Encryption of traffic between nodes and of data on their disks. YARN's shuffle service is another
# process and needs the same settings.
ENCRYPTION = {
    "spark-defaults": {
        "spark.authenticate": "true",
        "spark.network.crypto.enabled": "true",
        "spark.io.encryption.enabled": "true",
    },
    "yarn-site": {"spark.authenticate": "true", "spark.network.crypto.enabled": "true"},
}


@dataclass(frozen=True)
class ClusterSettings:
    """Settings of clusters, mostly template parameters.

    Attributes:
        stack: prefix of cluster names.
        region: region of the buckets.
        release_label: EMR release.
        instance_type: type of all nodes.
        core_nodes: number of core nodes, besides the one primary node.
        core_market: `ON_DEMAND` or `SPOT`, for the core nodes.
        service_role: role (name or ARN) that EMR assumes.
        instance_profile: instance profile of the nodes.
        subnet: subnet id.
        primary_group: security group of the primary node.
        core_group: security group of the core nodes.
        access_group: security group through which EMR reaches the nodes of a private subnet.
        disk_key: ARN of the KMS key for the nodes' disks, or empty for the default of EBS.
        idle_minutes: EMR terminates a cluster that has been idle for this long.
        interactive: keep the cluster after its step until it is idle.
        cost_tag: value of the cost allocation tag `project`.
        max_run_cost: maximum estimated cost of a run in US dollars, or None.
        results_bucket: bucket of the input, code, output and logs of runs.
        environment: SHA-256 of the archive of the job's native dependencies.
        job: the settings of the job.
    """

    stack: str
    region: str
    release_label: str
    instance_type: str
    core_nodes: int
    core_market: Literal["ON_DEMAND", "SPOT"]
    service_role: str
    instance_profile: str
    subnet: str
    primary_group: str
    core_group: str
    access_group: str
    disk_key: str
    idle_minutes: int
    interactive: bool
    cost_tag: str
    max_run_cost: Decimal | None
    results_bucket: str
    environment: str
    job: JobSettings


def cluster_name(stack: str, run_id: str) -> str:
    """Return the name of a run's cluster and step, by which retries and events find the run."""
    return f"{stack}-{run_id}"


def log_uri(settings: ClusterSettings, run_id: str) -> str:
    """Return the folder of a run's EMR logs."""
    return f"s3://{settings.results_bucket}/logs/{run_id}/"


def step_arguments(settings: ClusterSettings, run_id: str) -> list[str]:
    """Return the step's spark-submit command; all its files are under the run's prefix."""
    results = f"s3://{settings.results_bucket}/"
    code = results + code_prefix(run_id)
    archives = {
        results + environment_key(settings.environment): ENVIRONMENT,
        code + PACKAGE: PACKAGE_FOLDER,
    }
    conf = _spark_conf(settings)
    return [
        "spark-submit",
        "--deploy-mode",
        "cluster",
        *(argument for key, value in conf.items() for argument in ("--conf", f"{key}={value}")),
        "--archives",
        ",".join(f"{uri}#{folder}" for uri, folder in archives.items()),
        code + JOB,
        "--dataset",
        results + input_prefix(run_id),
        "--output",
        results + run_prefix(run_id),
        *settings.job.arguments(),
    ]


def _spark_conf(settings: ClusterSettings) -> dict[str, str]:
    """Return the Spark settings of a step; it depends on no default of EMR."""
    sized = containers(settings.instance_type, settings.core_nodes)
    tasks = TASKS_PER_CORE * sized.executor_cores * sized.executors
    path = f"./{PACKAGE_FOLDER}:./{ENVIRONMENT}"
    return {
        "spark.pyspark.python": PYTHON,
        "spark.yarn.appMasterEnv.PYSPARK_PYTHON": PYTHON,
        "spark.executorEnv.PYSPARK_PYTHON": PYTHON,
        "spark.yarn.appMasterEnv.PYTHONPATH": path,
        "spark.executorEnv.PYTHONPATH": path,
        "spark.yarn.appMasterEnv.AWS_REGION": settings.region,
        "spark.executorEnv.AWS_REGION": settings.region,
        # Otherwise the job would count cores when it starts, before there are executors.
        "spark.default.parallelism": str(tasks),
        "spark.driver.memory": f"{sized.driver_memory}m",
        "spark.driver.memoryOverhead": f"{sized.driver_overhead}m",
        "spark.executor.instances": str(sized.executors),
        "spark.executor.cores": str(sized.executor_cores),
        "spark.executor.memory": f"{sized.executor_memory}m",
        "spark.executor.memoryOverhead": f"{sized.executor_overhead}m",
        # The cluster runs only this job, so its executors have a fixed number.
        "spark.dynamicAllocation.enabled": "false",
        "spark.shuffle.service.enabled": "false",
        "spark.yarn.heterogeneousExecutors.enabled": "false",
        # With fewer than four core nodes EMR keeps one copy of files on HDFS. If that node were
        # lost, executors that start later would not find the archives.
        "spark.yarn.submit.file.replication": str(min(3, settings.core_nodes)),
        "spark.yarn.maxAppAttempts": "1",  # a failed job would only cost and fail again
    }


def security_configuration(settings: ClusterSettings) -> str:
    """Return the EMR security configuration: IMDSv2 on the nodes, and the disk key."""
    document: dict[str, Any] = {
        "InstanceMetadataServiceConfiguration": {
            "MinimumInstanceMetadataServiceVersion": 2,
            "HttpPutResponseHopLimit": 1,
        }
    }
    if settings.disk_key:
        document["EncryptionConfiguration"] = {
            "EnableInTransitEncryption": False,  # see ENCRYPTION, which needs no certificates
            "EnableAtRestEncryption": True,
            "AtRestEncryptionConfiguration": {
                "LocalDiskEncryptionConfiguration": {
                    "EncryptionKeyProviderType": "AwsKms",
                    "AwsKmsKey": settings.disk_key,
                    "EnableEbsEncryption": True,
                },
            },
        }
    return json.dumps(document, sort_keys=True)


def security_configuration_name(settings: ClusterSettings) -> str:
    """Return the name of the security configuration, derived from its content."""
    digest = hashlib.sha256(security_configuration(settings).encode()).hexdigest()
    return f"{settings.stack}-{digest[:12]}"


def cluster_request(settings: ClusterSettings, run_id: str, ratings_bytes: int) -> dict[str, Any]:
    """Build the RunJobFlow request: a primary node and the core nodes, one step, then termination.

    Args:
        settings: settings of clusters and job.
        run_id: the run.
        ratings_bytes: size of the ratings file, which determines the size of the disks.

    Raises:
        UnknownInstanceTypeError: the instance type is not in the table.
    """
    interactive = ["Livy", "JupyterEnterpriseGateway"] if settings.interactive else []
    return {
        "Name": cluster_name(settings.stack, run_id),
        "ReleaseLabel": settings.release_label,
        "Applications": [{"Name": application} for application in ["Spark", *interactive]],
        "LogUri": log_uri(settings, run_id),
        "ServiceRole": settings.service_role,
        "JobFlowRole": settings.instance_profile,
        "SecurityConfiguration": security_configuration_name(settings),
        "BootstrapActions": [
            {
                "Name": "Python of the job",
                "ScriptBootstrapAction": {
                    "Path": f"s3://{settings.results_bucket}/{code_prefix(run_id)}{BOOTSTRAP}"
                },
            }
        ],
        "Configurations": [
            {"Classification": name, "Properties": properties}
            for name, properties in ENCRYPTION.items()
        ],
        "Instances": _instances(settings, ratings_bytes),
        "AutoTerminationPolicy": {"IdleTimeout": 60 * settings.idle_minutes},
        "VisibleToAllUsers": True,
        "Tags": [
            # AmazonEMRServicePolicy_v2 allows EMR to use only resources with this tag.
            {"Key": "for-use-with-amazon-emr-managed-policies", "Value": "true"},
            {"Key": "similar-titles:stack", "Value": settings.stack},
            {"Key": "similar-titles:run-id", "Value": run_id},
            {"Key": "project", "Value": settings.cost_tag},
        ],
        "Steps": [_step(settings, run_id)],
    }


def _instances(settings: ClusterSettings, ratings_bytes: int) -> dict[str, Any]:
    disk = disk_gib(ratings_bytes, settings.core_nodes)
    return {
        "InstanceGroups": [
            _instance_group("MASTER", settings.instance_type, 1, "ON_DEMAND", DISK_GIB),
            _instance_group(
                "CORE", settings.instance_type, settings.core_nodes, settings.core_market, disk
            ),
        ],
        "Ec2SubnetId": settings.subnet,
        "EmrManagedMasterSecurityGroup": settings.primary_group,
        "EmrManagedSlaveSecurityGroup": settings.core_group,
        "ServiceAccessSecurityGroup": settings.access_group,
        "KeepJobFlowAliveWhenNoSteps": settings.interactive,
        "TerminationProtected": False,
    }


def _step(settings: ClusterSettings, run_id: str) -> dict[str, Any]:
    return {
        "Name": cluster_name(settings.stack, run_id),
        "ActionOnFailure": "CONTINUE" if settings.interactive else "TERMINATE_CLUSTER",
        "HadoopJarStep": {
            "Jar": "command-runner.jar",
            "Args": step_arguments(settings, run_id),
        },
    }


def disk_gib(ratings_bytes: int, core_nodes: int) -> int:
    """Return the disk size of a core node in GiB, with room for shuffles."""
    return DISK_GIB + math.ceil(SHUFFLE_PER_BYTE * ratings_bytes / core_nodes / 2**30)


def cluster_size(request: Mapping[str, Any]) -> tuple[str, int]:
    """Return the instance type and number of nodes in a request."""
    groups = request["Instances"]["InstanceGroups"]
    return groups[0]["InstanceType"], sum(group["InstanceCount"] for group in groups)


def idle_seconds(request: Mapping[str, Any]) -> int:
    """Return the minimum time for which a requested cluster is kept after its step."""
    if not request["Instances"]["KeepJobFlowAliveWhenNoSteps"]:
        return 0
    return request["AutoTerminationPolicy"]["IdleTimeout"]


def _instance_group(
    role: str, instance_type: str, count: int, market: str, disk: int
) -> dict[str, Any]:
    volume = {"VolumeType": "gp3", "SizeInGB": disk}
    return {
        "Name": role.lower(),
        "InstanceRole": role,
        "InstanceType": instance_type,
        "InstanceCount": count,
        "Market": market,
        "EbsConfiguration": {
            "EbsBlockDeviceConfigs": [{"VolumeSpecification": volume, "VolumesPerInstance": 1}]
        },
    }
