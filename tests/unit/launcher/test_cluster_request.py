"""The cluster request, validated against botocore's service model."""

import json
import os
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import boto3
import msgspec
import pytest
from botocore.validate import ParamValidator

from launcher import cluster_request as cluster
from launcher import clusters, job_settings
from launcher.cluster_request import ClusterSettings, cluster_request
from launcher.containers import containers
from launcher.job_package import JOB_FOLDER
from spark.measures.registry import DEFAULT, MEASURES
from tools.template import template

RUN = "20261123T120500000Z-5f2a9c01"
SIZE = 265_105_635  # bytes of ml-10M100K's ratings
SETTINGS = ClusterSettings(
    stack="similar-titles",
    region="eu-central-1",
    release_label="emr-spark-8.1.0",
    instance_type="m5.xlarge",
    core_nodes=3,
    service_role="arn:aws:iam::123456789012:role/service",
    instance_profile="nodes",
    core_market="ON_DEMAND",
    subnet="subnet-0abc",
    primary_group="sg-0a",
    core_group="sg-0b",
    access_group="sg-0c",
    disk_key="",
    idle_minutes=60,
    interactive=False,
    cost_tag="similar-titles",
    max_run_cost=None,
    results_bucket="results",
    environment="ab" * 32,
    job=job_settings.parse(os.environ["JOB_SETTINGS"]),
)


def with_job(**changes: int) -> ClusterSettings:
    """Return the settings with some settings of the job changed."""
    return replace(SETTINGS, job=msgspec.structs.replace(SETTINGS.job, **changes))


@pytest.mark.parametrize("market", ["ON_DEMAND", "SPOT"])
@pytest.mark.parametrize("interactive", [False, True])
@pytest.mark.parametrize("most", [0, 500])
@pytest.mark.parametrize("disk_key", ["", "arn:aws:kms:eu-central-1:123456789012:key/1"])
def test_the_request_fits_the_model_of_the_service(
    market: str, interactive: bool, most: int, disk_key: str
) -> None:
    settings = replace(
        with_job(max_ratings_per_user=most),
        core_market=market,
        interactive=interactive,
        disk_key=disk_key,
    )
    request = cluster_request(settings, RUN, SIZE)
    model = boto3.client("emr").meta.service_model
    configuration = {
        "Name": request["SecurityConfiguration"],
        "SecurityConfiguration": cluster.security_configuration(settings),
    }
    for operation, asked in (
        ("RunJobFlow", request),
        ("CreateSecurityConfiguration", configuration),
    ):
        report = ParamValidator().validate(asked, model.operation_model(operation).input_shape)
        assert not report.has_errors(), report.generate_report()
    core = request["Instances"]["InstanceGroups"][1]
    assert core["Market"] == market
    assert request["Instances"]["KeepJobFlowAliveWhenNoSteps"] is interactive


def test_an_interactive_cluster_has_what_a_notebook_needs_and_ends_when_idle() -> None:
    request = cluster_request(replace(SETTINGS, interactive=True, idle_minutes=30), RUN, SIZE)
    names = {application["Name"] for application in request["Applications"]}
    assert names == {"Spark", "Livy", "JupyterEnterpriseGateway"}
    assert request["AutoTerminationPolicy"] == {"IdleTimeout": 1800}
    assert cluster.idle_seconds(request) == 1800
    assert cluster.idle_seconds(cluster_request(SETTINGS, RUN, SIZE)) == 0
    assert request["Steps"][0]["ActionOnFailure"] == "CONTINUE"


def test_traffic_between_nodes_and_data_on_disk_are_encrypted() -> None:
    request = cluster_request(SETTINGS, RUN, SIZE)
    configurations = {
        each["Classification"]: each["Properties"] for each in request["Configurations"]
    }
    for classification in ("spark-defaults", "yarn-site"):
        assert configurations[classification]["spark.authenticate"] == "true"
        assert configurations[classification]["spark.network.crypto.enabled"] == "true"
    assert configurations["spark-defaults"]["spark.io.encryption.enabled"] == "true"


def test_security_configurations_with_different_content_have_different_names() -> None:
    with_key = replace(SETTINGS, disk_key="arn:aws:kms:eu-central-1:123456789012:key/1")
    names = {cluster.security_configuration_name(each) for each in (SETTINGS, with_key)}
    assert len(names) == 2
    assert all(name.startswith("similar-titles-") for name in names)
    document = json.loads(cluster.security_configuration(with_key))
    assert document["InstanceMetadataServiceConfiguration"] == {
        "MinimumInstanceMetadataServiceVersion": 2,
        "HttpPutResponseHopLimit": 1,
    }


def test_disks_grow_with_the_data() -> None:
    assert cluster.disk_gib(0, 3) == 64
    assert cluster.disk_gib(SIZE, 3) == 65  # ml-10M100K
    assert cluster.disk_gib(25 * 2**30, 3) == 164


def test_four_nodes_run_one_step_and_end() -> None:
    request = cluster_request(SETTINGS, RUN, SIZE)
    groups = {
        group["InstanceRole"]: (group["InstanceType"], group["InstanceCount"])
        for group in request["Instances"]["InstanceGroups"]
    }
    assert groups == {"MASTER": ("m5.xlarge", 1), "CORE": ("m5.xlarge", 3)}
    assert request["Instances"]["KeepJobFlowAliveWhenNoSteps"] is False
    (step,) = request["Steps"]
    assert step["ActionOnFailure"] == "TERMINATE_CLUSTER"
    assert request["Name"] == step["Name"] == f"similar-titles-{RUN}"


def test_the_step_uses_only_the_prefix_of_its_run_and_its_environment() -> None:
    (step,) = cluster_request(SETTINGS, RUN, SIZE)["Steps"]
    arguments = step["HadoopJarStep"]["Args"]
    environment = f"s3://results/environments/{'ab' * 32}.tar.gz#environment"
    archives = arguments[arguments.index("--archives") + 1]
    assert archives == f"{environment},s3://results/runs/{RUN}/code/job.zip#job"
    assert all(
        argument.startswith(f"s3://results/runs/{RUN}/")
        for argument in arguments
        if argument.startswith("s3://") and argument != archives
    )
    assert arguments[arguments.index("--min-score") + 1] == "0.95"
    assert arguments[arguments.index("--default-measure") + 1] == "blend"


def settings_of(arguments: list[str]) -> dict[str, str]:
    """Return the --conf settings of a step."""
    given = [after for option, after in pairwise(arguments) if option == "--conf"]
    return dict(each.split("=", 1) for each in given)


def test_the_driver_has_room_for_the_matrix_of_as_many_movies_as_are_inverted() -> None:
    room = settings_of(cluster.step_arguments(SETTINGS, RUN))["spark.driver.memoryOverhead"]
    movies = MEASURES["ease"].parameters["limit"]
    assert int(room.removesuffix("m")) * 2**20 > 2 * 8 * movies**2


@pytest.mark.parametrize(("name", "core_nodes"), [("m5.xlarge", 3), ("r5.4xlarge", 20)])
def test_memory_cores_and_instances_are_all_set_and_depend_on_no_default_of_emr(
    name: str, core_nodes: int
) -> None:
    chosen = replace(SETTINGS, instance_type=name, core_nodes=core_nodes)
    conf, sized = settings_of(cluster.step_arguments(chosen, RUN)), containers(name, core_nodes)
    assert conf["spark.executor.instances"] == str(core_nodes)
    assert conf["spark.executor.cores"] == str(sized.executor_cores)
    for whose in ("driver", "executor"):
        assert conf[f"spark.{whose}.memory"] == f"{getattr(sized, f'{whose}_memory')}m"
        assert conf[f"spark.{whose}.memoryOverhead"] == f"{getattr(sized, f'{whose}_overhead')}m"
    for unwanted in ("dynamicAllocation", "shuffle.service", "yarn.heterogeneousExecutors"):
        assert conf[f"spark.{unwanted}.enabled"] == "false"
    assert int(conf["spark.yarn.submit.file.replication"]) > 1  # a lost node takes no archive along


def test_a_bootstrap_action_checks_for_the_python_of_the_step() -> None:
    (action,) = cluster_request(SETTINGS, RUN, SIZE)["BootstrapActions"]
    assert action["ScriptBootstrapAction"]["Path"] == f"s3://results/runs/{RUN}/code/bootstrap.sh"
    script = (JOB_FOLDER / cluster.BOOTSTRAP).read_text()
    assert Path(cluster.PYTHON).name in script


@pytest.mark.parametrize(("is_there", "status"), [(True, 0), (False, 1)])
def test_a_node_without_that_python_says_what_to_do(
    tmp_path: Path, is_there: bool, status: int
) -> None:
    for name in ["bash", *(["python3.13"] if is_there else [])]:
        (tmp_path / name).symlink_to("/bin/bash")
    done = subprocess.run(
        ["bash", JOB_FOLDER / cluster.BOOTSTRAP],
        env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    assert ("choose a ReleaseLabel that has it" in done.stderr) is not is_there


def test_the_template_offers_the_measures_that_the_job_computes() -> None:
    offered = template()["Parameters"]["DefaultMeasure"]
    assert offered["AllowedValues"] == [name for name, each in MEASURES.items() if each.is_usual]
    assert offered["Default"] == DEFAULT


def test_the_job_gets_its_region_and_the_number_of_tasks_that_keeps_the_nodes_busy() -> None:
    (step,) = cluster_request(replace(SETTINGS, core_nodes=5), RUN, SIZE)["Steps"]
    arguments = step["HadoopJarStep"]["Args"]
    for process in ("executorEnv", "yarn.appMasterEnv"):
        assert f"spark.{process}.AWS_REGION=eu-central-1" in arguments
    assert "spark.default.parallelism=40" in arguments


def test_a_limit_of_ratings_per_user_is_passed_only_if_it_is_set() -> None:
    (step,) = cluster_request(SETTINGS, RUN, SIZE)["Steps"]
    assert "--max-ratings-per-user" not in step["HadoopJarStep"]["Args"]
    (step,) = cluster_request(with_job(max_ratings_per_user=500), RUN, SIZE)["Steps"]
    assert step["HadoopJarStep"]["Args"][-2:] == ["--max-ratings-per-user", "500"]


def test_similar_users_are_passed_only_if_they_are_requested() -> None:
    (step,) = cluster_request(SETTINGS, RUN, SIZE)["Steps"]
    assert "--similar-users" not in step["HadoopJarStep"]["Args"]
    (step,) = cluster_request(with_job(similar_users=20), RUN, SIZE)["Steps"]
    assert step["HadoopJarStep"]["Args"][-2:] == ["--similar-users", "20"]


def test_a_cluster_is_found_by_name_on_any_page() -> None:
    class Pages:
        """ListClusters with several pages."""

        def get_paginator(self, name: str) -> "Pages":
            assert name == "list_clusters"
            return self

        def paginate(self, **_: object) -> list[dict]:
            named = ({"Id": "j-1", "Name": "a"}, {"Id": "j-2", "Name": "b"})
            return [{"Clusters": [cluster]} for cluster in named]

    assert clusters.find_cluster(Pages(), "b", since=None) == "j-2"
    assert clusters.find_cluster(Pages(), "c", since=None) is None


def test_larger_nodes_get_more_tasks() -> None:
    asked = cluster.step_arguments(replace(SETTINGS, instance_type="m5.4xlarge"), RUN)
    assert "spark.default.parallelism=96" in asked
