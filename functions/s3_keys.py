"""Where everything of a run stands in the results bucket: the one place for these S3 keys."""

import re

from spark.contracts.manifest import FAILURE, MANIFEST

_RUN_ID = re.compile(r"[0-9]{8}T[0-9]{9}Z-[0-9a-f]{8}")


def run_prefix(run_id: str) -> str:
    """The prefix that holds everything of one run; it ends with a slash."""
    return f"runs/{run_id}/"


def input_prefix(run_id: str) -> str:
    """Where the launcher copies the data set's files, so that a later drop cannot change them."""
    return f"{run_prefix(run_id)}input/"


def code_prefix(run_id: str) -> str:
    """Where the launcher writes the job's code, so that a deploy cannot change a running job."""
    return f"{run_prefix(run_id)}code/"


def environment_key(sha256: str) -> str:
    """Where the archive of the job's native dependencies stands, by the SHA-256 of its bytes."""
    return f"environments/{sha256}.tar.gz"


def manifest_key(run_id: str) -> str:
    """The key whose creation says that a run's result is complete."""
    return run_prefix(run_id) + MANIFEST


def failure_key(run_id: str) -> str:
    """Where the job writes why it could not compute."""
    return run_prefix(run_id) + FAILURE


def is_run_id(text: str) -> bool:
    """Whether a text has the shape of a run id (see `runs.new_run_id`)."""
    return _RUN_ID.fullmatch(text) is not None


def run_id_of_manifest(key: str) -> str | None:
    """The run whose manifest stands at a key, or None where the key is no run's manifest."""
    parts = key.split("/")
    if len(parts) == 3 and parts[0] == "runs" and is_run_id(parts[1]) and parts[2] == MANIFEST:
        return parts[1]
    return None


def run_id_of_name(name: str, stack: str) -> str | None:
    """The run whose cluster or step has this name, or None where it is not one of ours."""
    run_id = name.removeprefix(f"{stack}-")
    return run_id if run_id != name and is_run_id(run_id) else None
