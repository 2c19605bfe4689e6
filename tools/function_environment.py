"""The environment variables of the functions in tests and benchmarks."""

import os

from tools.template import variable

STACK = "similar-titles"
DATASETS, RESULTS = "datasets", "results"  # buckets

ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "STACK_NAME": STACK,
    "RUNS_TABLE": "RunsTable",
    "INDEX_TABLE": "IndexTable",
    "RESULTS_BUCKET": RESULTS,
    "LAUNCH_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/LaunchQueue",
    "INDEX_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/IndexQueue",
    "TOPIC_ARN": "arn:aws:sns:eu-central-1:123456789012:Topic",
    "DATASETS_BUCKET": DATASETS,
    "START_MINUTES": "30",
    "DEADLINE_MINUTES": "120",
    "POWERTOOLS_METRICS_NAMESPACE": STACK,
    "POWERTOOLS_SERVICE_NAME": STACK,
    "AWS_RETRY_MODE": "standard",
    "AWS_MAX_ATTEMPTS": "3",
    "SETTLE_SECONDS": "0",
    "RELEASE_LABEL": "emr-spark-8.1.0",
    "INSTANCE_TYPE": "m5.xlarge",
    "CORE_NODES": "3",
    "EMR_SERVICE_ROLE": "arn:aws:iam::123456789012:role/EmrServiceRole",
    "EMR_INSTANCE_PROFILE": "EmrInstanceProfile",
    "SUBNET_ID": "subnet-0abc",
    "PRIMARY_GROUP": "sg-0a",
    "CORE_GROUP": "sg-0b",
    "ACCESS_GROUP": "sg-0c",
    "DISK_KEY_ARN": "",
    "IDLE_MINUTES": "60",
    "INTERACTIVE": "false",
    "CORE_MARKET": "ON_DEMAND",
    "COST_TAG": "similar-titles",
    "MAX_RUN_COST": "0",
    "JOB_SETTINGS": variable("LauncherFunction", "JOB_SETTINGS"),
    "GATE_LIMITS": variable("IndexerFunction", "GATE_LIMITS"),
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",  # half the time in which moto launches a cluster
}
# They would lead to the account of the person who runs this.
_NOT_SET = "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"


def set_environment() -> None:
    """Set the variables for this process and its children; the functions read them at import."""
    os.environ.update(ENVIRONMENT)
    for name in _NOT_SET:
        os.environ.pop(name, None)
