"""The HTTP layer: it imports nothing about movies, and builds its schemas at import."""

import json
import subprocess
import sys
from http import HTTPStatus

import msgspec
import pytest

from tests.builders.aws import Cloud, movie_line
from tests.builders.indexed import finish_run
from tests.builders.requests import get
from tests.conftest import ROOT
from tests.unit.query.test_handler import cold  # noqa: F401

LOADED = """
import importlib, json, pkgutil, sys
import query.http

for module in pkgutil.iter_modules(query.http.__path__):
    importlib.import_module(f"query.http.{module.name}")
files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
print(json.dumps(files))
"""


def test_the_http_layer_loads_no_other_module_of_the_project() -> None:
    functions = ROOT / "functions"
    response = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=functions, capture_output=True, text=True, check=True
    )
    loaded = {
        name
        for name, path in json.loads(response.stdout).items()
        if path and path.startswith(f"{functions}/")
    }
    assert "query.http.openapi" in loaded
    assert {name for name in loaded if not name.startswith("query.http")} == {"query"}


def test_a_request_builds_no_schema(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        pytest.fail("a schema was built during a request")

    finish_run(cloud, parts=[[movie_line(1, 2), movie_line(2, 1)]])
    monkeypatch.setattr(msgspec.json, "schema", fail)
    assert get("/movies/1/similar", limit="1", genre="Drama")[0] == HTTPStatus.OK
    assert get("/movies/1/similar", limit="51")[0] == HTTPStatus.BAD_REQUEST
