"""The transient EMR cluster of a run: what is asked of EMR, and how a lost answer is found."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from layout import code_prefix, environment_key, input_prefix, prefix

if TYPE_CHECKING:
    from mypy_boto3_emr import EMRClient

JOB = "similarity_job.py"
MODULES = "modules.zip"
PYTHON = "/usr/bin/python3.13"
ENVIRONMENT = "environment"  # the folder into which YARN unpacks the archive, beside the job
TASKS_PER_NODE = 8  # two for each vCPU of an m5.xlarge
IDLE_SECONDS = 3600  # a backstop: the cluster ends itself after its step


@dataclass(frozen=True)
class ClusterSettings:
    """What a deployer chooses about clusters.

    Attributes:
        stack: prefix of cluster names.
        region: of the buckets.
        release_label: of EMR.
        instance_type: of the primary and the core nodes.
        core_nodes: beside the one primary node.
        service_role: role (name or ARN) that EMR assumes.
        instance_profile: instance profile of the nodes.
        subnet: subnet id, or empty for the account's default VPC.
        results_bucket: where input, code, output and logs of runs stand.
        environment: SHA-256 of the archive of the job's native dependencies.
        min_co_raters: least number of co-raters of a pair.
        min_score: least score of a pair.
        neighbours: at most so many per movie.
        max_ratings_per_user: of a user with more only the latest so many count; None for all.
    """

    stack: str
    region: str
    release_label: str
    instance_type: str
    core_nodes: int
    service_role: str
    instance_profile: str
    subnet: str
    results_bucket: str
    environment: str
    min_co_raters: int
    min_score: float
    neighbours: int
    max_ratings_per_user: int | None


def cluster_name(stack: str, run_id: str) -> str:
    """The name of a run's cluster and of its step: what a retry and EMR's events know it by."""
    return f"{stack}-{run_id}"


def log_uri(settings: ClusterSettings, run_id: str) -> str:
    """Where EMR puts a run's logs."""
    return f"s3://{settings.results_bucket}/logs/{run_id}/"


def step_arguments(settings: ClusterSettings, run_id: str) -> list[str]:
    """The command that the step runs: spark-submit with everything from the run's own prefix."""
    results = f"s3://{settings.results_bucket}/"
    code = results + code_prefix(run_id)
    conf = {
        "spark.pyspark.python": PYTHON,
        "spark.yarn.appMasterEnv.PYSPARK_PYTHON": PYTHON,
        "spark.executorEnv.PYSPARK_PYTHON": PYTHON,
        "spark.yarn.appMasterEnv.PYTHONPATH": f"./{ENVIRONMENT}",
        "spark.executorEnv.PYTHONPATH": f"./{ENVIRONMENT}",
        "spark.yarn.appMasterEnv.AWS_REGION": settings.region,
        "spark.executorEnv.AWS_REGION": settings.region,
        # Else the job would see as many cores as there are executors when it starts: none yet.
        "spark.default.parallelism": str(TASKS_PER_NODE * settings.core_nodes),
        # The arithmetic is done by Python workers, whose memory YARN counts as overhead.
        "spark.executor.memoryOverheadFactor": "0.5",
        "spark.yarn.maxAppAttempts": "1",  # a second attempt of a failed job costs and fails again
    }
    most = settings.max_ratings_per_user
    return [
        "spark-submit",
        "--deploy-mode",
        "cluster",
        *(argument for key, value in conf.items() for argument in ("--conf", f"{key}={value}")),
        "--archives",
        f"{results}{environment_key(settings.environment)}#{ENVIRONMENT}",
        "--py-files",
        code + MODULES,
        code + JOB,
        "--dataset",
        results + input_prefix(run_id),
        "--output",
        results + prefix(run_id),
        "--min-co-raters",
        str(settings.min_co_raters),
        "--min-score",
        str(settings.min_score),
        "--neighbours",
        str(settings.neighbours),
        *([] if most is None else ["--max-ratings-per-user", str(most)]),
    ]


def cluster_request(settings: ClusterSettings, run_id: str) -> dict[str, Any]:
    """The whole RunJobFlow request: one primary and the core nodes, one step, then the end."""
    name = cluster_name(settings.stack, run_id)
    instances: dict[str, Any] = {
        "InstanceGroups": [
            _instance_group("MASTER", settings.instance_type, 1),
            _instance_group("CORE", settings.instance_type, settings.core_nodes),
        ],
        "KeepJobFlowAliveWhenNoSteps": False,
        "TerminationProtected": False,
    }
    if settings.subnet:
        instances["Ec2SubnetId"] = settings.subnet
    return {
        "Name": name,
        "ReleaseLabel": settings.release_label,
        "Applications": [{"Name": "Spark"}],
        "LogUri": log_uri(settings, run_id),
        "ServiceRole": settings.service_role,
        "JobFlowRole": settings.instance_profile,
        "Instances": instances,
        "AutoTerminationPolicy": {"IdleTimeout": IDLE_SECONDS},
        "VisibleToAllUsers": True,
        "Tags": [
            # AmazonEMRServicePolicy_v2 lets EMR touch only what carries this tag.
            {"Key": "for-use-with-amazon-emr-managed-policies", "Value": "true"},
            {"Key": "similar-titles:stack", "Value": settings.stack},
            {"Key": "similar-titles:run-id", "Value": run_id},
        ],
        "Steps": [
            {
                "Name": name,
                "ActionOnFailure": "TERMINATE_CLUSTER",
                "HadoopJarStep": {
                    "Jar": "command-runner.jar",
                    "Args": step_arguments(settings, run_id),
                },
            }
        ],
    }


def find_cluster(emr: "EMRClient", name: str, since: datetime) -> str | None:
    """The id of the cluster of a name, whatever its state, or None.

    RunJobFlow takes no idempotency token: a launcher that did not hear its answer looks here
    before it asks again.

    Args:
        emr: client.
        name: of the cluster.
        since: no cluster of that name can be older.
    """
    pages = emr.get_paginator("list_clusters").paginate(CreatedAfter=since)
    return next(
        (item["Id"] for page in pages for item in page["Clusters"] if item["Name"] == name), None
    )


def _instance_group(role: str, instance_type: str, count: int) -> dict[str, Any]:
    return {
        "Name": role.lower(),
        "InstanceRole": role,
        "InstanceType": instance_type,
        "InstanceCount": count,
        "Market": "ON_DEMAND",
    }
