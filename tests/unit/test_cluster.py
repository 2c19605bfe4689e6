"""The cluster request: what EMR is asked for, held against botocore's own model of it."""

from dataclasses import replace

import boto3
import pytest
from botocore.validate import ParamValidator

import cluster
from cluster import ClusterSettings, cluster_request

RUN = "20261123T120500000Z-5f2a9c01"
SETTINGS = ClusterSettings(
    stack="similar-titles",
    region="eu-central-1",
    release_label="emr-spark-8.1.0",
    instance_type="m5.xlarge",
    core_nodes=3,
    service_role="arn:aws:iam::123456789012:role/service",
    instance_profile="nodes",
    subnet="",
    results_bucket="results",
    environment="ab" * 32,
    min_co_raters=10,
    max_ratings_per_user=None,
    min_score=0.95,
    neighbours=50,
)


@pytest.mark.parametrize("subnet", ["", "subnet-0abc"])
def test_the_request_fits_the_model_of_the_service(subnet: str) -> None:
    shape = boto3.client("emr").meta.service_model.operation_model("RunJobFlow").input_shape
    request = cluster_request(replace(SETTINGS, subnet=subnet), RUN)
    report = ParamValidator().validate(request, shape)
    assert not report.has_errors(), report.generate_report()
    assert request["Instances"].get("Ec2SubnetId", "") == subnet


def test_four_nodes_run_one_step_and_end() -> None:
    request = cluster_request(SETTINGS, RUN)
    groups = {
        group["InstanceRole"]: (group["InstanceType"], group["InstanceCount"])
        for group in request["Instances"]["InstanceGroups"]
    }
    assert groups == {"MASTER": ("m5.xlarge", 1), "CORE": ("m5.xlarge", 3)}
    assert request["Instances"]["KeepJobFlowAliveWhenNoSteps"] is False
    (step,) = request["Steps"]
    assert step["ActionOnFailure"] == "TERMINATE_CLUSTER"
    assert request["Name"] == step["Name"] == f"similar-titles-{RUN}"


def test_the_step_reads_and_writes_only_under_its_run_and_its_environment() -> None:
    (step,) = cluster_request(SETTINGS, RUN)["Steps"]
    arguments = step["HadoopJarStep"]["Args"]
    archive = f"s3://results/environments/{'ab' * 32}.tar.gz#environment"
    assert arguments[arguments.index("--archives") + 1] == archive
    assert all(
        argument.startswith(f"s3://results/runs/{RUN}/")
        for argument in arguments
        if argument.startswith("s3://") and argument != archive
    )
    assert arguments[arguments.index("--min-score") + 1] == "0.95"


def test_the_job_knows_its_region_and_how_many_tasks_keep_the_nodes_busy() -> None:
    (step,) = cluster_request(replace(SETTINGS, core_nodes=5), RUN)["Steps"]
    arguments = step["HadoopJarStep"]["Args"]
    for process in ("executorEnv", "yarn.appMasterEnv"):
        assert f"spark.{process}.AWS_REGION=eu-central-1" in arguments
    assert "spark.default.parallelism=40" in arguments


def test_a_cap_on_ratings_per_user_is_asked_for_only_where_one_is_set() -> None:
    (step,) = cluster_request(SETTINGS, RUN)["Steps"]
    assert "--max-ratings-per-user" not in step["HadoopJarStep"]["Args"]
    (step,) = cluster_request(replace(SETTINGS, max_ratings_per_user=500), RUN)["Steps"]
    assert step["HadoopJarStep"]["Args"][-2:] == ["--max-ratings-per-user", "500"]


def test_a_cluster_is_found_by_name_on_any_page() -> None:
    class Pages:
        """ListClusters with more than one page."""

        def get_paginator(self, name: str) -> "Pages":
            assert name == "list_clusters"
            return self

        def paginate(self, **_: object) -> list[dict]:
            named = ({"Id": "j-1", "Name": "a"}, {"Id": "j-2", "Name": "b"})
            return [{"Clusters": [cluster]} for cluster in named]

    assert cluster.find_cluster(Pages(), "b", since=None) == "j-2"
    assert cluster.find_cluster(Pages(), "c", since=None) is None
