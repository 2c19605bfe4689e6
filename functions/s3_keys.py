"""The S3 keys of a run in the results bucket."""

import re

from spark.contracts.manifest import FAILURE, MANIFEST

_RUN_ID = re.compile(r"[0-9]{8}T[0-9]{9}Z-[0-9a-f]{8}")


def run_prefix(run_id: str) -> str:
    """Return the prefix of all objects of a run; it ends with a slash."""
    return f"runs/{run_id}/"


def input_prefix(run_id: str) -> str:
    """Return the prefix of the run's own copy of the data set, which later drops cannot change."""
    return f"{run_prefix(run_id)}input/"


def code_prefix(run_id: str) -> str:
    """Return the prefix of the run's own copy of the job, which deployments cannot change."""
    return f"{run_prefix(run_id)}code/"


def environment_key(sha256: str) -> str:
    """Return the key of the archive of the job's native dependencies, given its SHA-256."""
    return f"environments/{sha256}.tar.gz"


def manifest_key(run_id: str) -> str:
    """Return the key of the manifest, which the job writes when the result is complete."""
    return run_prefix(run_id) + MANIFEST


def failure_key(run_id: str) -> str:
    """Return the key of the file in which the job explains its failure."""
    return run_prefix(run_id) + FAILURE


def is_run_id(text: str) -> bool:
    """Check whether a text is a well-formed run id (see `runs.claims.new_run_id`)."""
    return _RUN_ID.fullmatch(text) is not None


def run_id_of_manifest(key: str) -> str | None:
    """Return the run whose manifest has this key, or None for other keys."""
    parts = key.split("/")
    if len(parts) == 3 and parts[0] == "runs" and is_run_id(parts[1]) and parts[2] == MANIFEST:
        return parts[1]
    return None


def run_id_of_name(name: str, stack: str) -> str | None:
    """Return the run of a cluster or step name, or None if the name is not one of this stack."""
    run_id = name.removeprefix(f"{stack}-")
    return run_id if run_id != name and is_run_id(run_id) else None
