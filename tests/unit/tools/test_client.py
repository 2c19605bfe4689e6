"""The document that the client is made from, and what is said where its generator is missing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders.requests import get
from tests.conftest import ROOT
from tests.unit.query.test_handler import cold  # noqa: F401
from tools.setup import environments

PRINT = "import sys; from tools import client; sys.stdout.buffer.write(client.document())"


def test_the_document_needs_no_deployment_and_is_the_one_that_the_api_serves() -> None:
    made = subprocess.run(
        [sys.executable, "-c", PRINT],
        cwd=ROOT,
        env={"PYTHONPATH": "functions"},
        capture_output=True,
        check=True,
    )
    assert json.loads(made.stdout) == get("/openapi.json")[1]


def test_the_lock_has_what_the_client_and_its_generator_need() -> None:
    lock = (ROOT / "requirements" / "client.txt").read_text()
    for package in ("openapi-python-client", "httpx", "attrs"):
        assert f"{package}==" in lock
    assert lock.count("==") <= lock.count("--hash=sha256:")


def test_a_tool_that_cannot_be_fetched_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody listens
    wanted = tmp_path / "wanted.in"
    wanted.write_text("a-package-of-nobody\n")
    with pytest.raises(environments.UnavailableError, match="cannot reach"):
        environments.uv("pip", "compile", "--no-cache", str(wanted))
    with pytest.raises(RuntimeError, match="uv pip nonsense failed"):
        environments.uv("pip", "nonsense")
