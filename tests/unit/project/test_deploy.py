"""`make deploy` can be repeated: without changes, and after a failed upload.

SAM and the upload are played by two programs in a copy of the project's folder; make and
samconfig.toml are the project's own.
"""

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT

# What SAM does of it: a deploy without changes fails, unless samconfig.toml says otherwise.
SAM = """#!{python}
import pathlib, sys, tomllib
deployed = pathlib.Path("deployed")
if sys.argv[1] == "deploy":
    config = tomllib.loads(pathlib.Path("samconfig.toml").read_text())
    fails = config["default"]["deploy"]["parameters"].get("fail_on_empty_changeset", True)
    if deployed.exists() and fails:
        sys.exit("Error: No changes to deploy. Stack films is up to date")
    deployed.touch()
"""
# `python -m tools.job_archive --upload films`, the first of which breaks.
PYTHON = """#!{python}
import pathlib, sys
assert sys.argv[1:] == ["-m", "tools.job_archive", "--upload", "films"], sys.argv
tried = pathlib.Path("tried")
if not tried.exists():
    tried.touch()
    sys.exit("error: the connection broke")
pathlib.Path("uploaded").touch()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder in which `make deploy` runs as in the project."""
    for name in ("Makefile", "samconfig.toml"):
        shutil.copy(ROOT / name, tmp_path)
    python = shutil.which("python3")
    for name, text in (
        (".venv-sam/bin/sam", SAM),
        (".venv/bin/python", PYTHON),
        ("tools/setup/bootstrap.py", ""),
    ):
        program = tmp_path / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(text.replace("{python}", str(python)))
        program.chmod(0o755)
    return tmp_path


def deploy(project: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "deploy", "STACK=films"], cwd=project, capture_output=True, text=True, check=False
    )


def test_a_deployment_whose_upload_failed_is_finished_by_the_next(project: Path) -> None:
    first = deploy(project)
    assert (first.returncode != 0, "the connection broke" in first.stderr) == (True, True)
    assert (project / "deployed").exists()
    again = deploy(project)
    assert again.returncode == 0, again.stderr
    assert (project / "uploaded").exists()


def test_a_deploy_without_changes_succeeds(project: Path) -> None:
    (project / "tried").touch()
    assert [deploy(project).returncode for _ in range(2)] == [0, 0]


@pytest.mark.parametrize("name", ["default", "prod"])
def test_every_deployment_in_samconfig_succeeds_without_changes(name: str) -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    assert config[name]["deploy"]["parameters"]["fail_on_empty_changeset"] is False


def test_sam_knows_every_deploy_option_in_samconfig() -> None:
    python = ROOT / ".venv-sam" / "bin" / "python"
    if not python.exists():
        pytest.skip("`make setup` makes .venv-sam")
    program = "from samcli.commands.deploy.command import cli; print(*(p.name for p in cli.params))"
    known = subprocess.run(
        [python, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    for name in ("default", "prod"):
        assert set(config[name]["deploy"]["parameters"]) <= set(known)
