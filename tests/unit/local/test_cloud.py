"""Requests to a local cloud's API."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, cast

import pytest

from local.access import Access
from local.cloud import Cloud, CloudError, free_ports

ANSWERS = {"/ok": (200, b'{"a": 1}'), "/problem": (404, b'{"status": 404}'), "/html": (502, b"<p>")}


class Handler(BaseHTTPRequestHandler):
    """Answers by the last segment of the path, from ANSWERS."""

    def do_GET(self) -> None:
        status, body = ANSWERS[self.path[self.path.rindex("/") :]]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def cloud_at(port: int) -> Cloud:
    access = Access(f"http://127.0.0.1:{port}", "", "secret")
    outputs = {"ApiUrl": "https://abc.execute-api.eu-central-1.amazonaws.com/v1"}
    return Cloud(access, outputs, cast("Any", None), Path())


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield cloud_at(server.server_port)
        server.shutdown()


def test_an_error_status_is_returned(cloud: Cloud) -> None:
    assert cloud.get("/ok") == (200, {"a": 1})
    assert cloud.get("problem") == (404, {"status": 404})


def test_a_response_that_is_not_json_is_one_clear_error(cloud: Cloud) -> None:
    with pytest.raises(CloudError, match=r"^the API does not answer /html: "):
        cloud.get("/html")


def test_an_unreachable_api_is_one_clear_error() -> None:
    with pytest.raises(CloudError, match=r"^the API does not answer /ok: "):
        cloud_at(free_ports(1)[0]).get("/ok")
