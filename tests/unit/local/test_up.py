"""`make local`: its files for shells and containers, and its output while it is up."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec import to_builtins

from local import up
from local.cloud import CloudError, free_ports
from local.up import environment_file
from query.run_responses import Run, Runs

FUNCTIONS = {"QueryFunction": {"AWS_ENDPOINT_URL": "http://198.51.100.1:4566", "RUNS_TABLE": "r"}}


def test_a_shell_can_source_the_file_and_other_users_cannot_read_it(
    tmp_path: Path,
) -> None:
    with environment_file({"NAME": "a value with 'quotes' and $signs"}, {}, tmp_path) as path:
        assert path.stat().st_mode & 0o777 == 0o600
        script = f'. {path}; printf %s "$NAME"'
        said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout == "a value with 'quotes' and $signs"
    assert not path.exists()


def test_clouds_that_run_at_the_same_time_have_separate_files(tmp_path: Path) -> None:
    with environment_file({"A": "1"}, {}, tmp_path) as first:
        with environment_file({"A": "2"}, {}, tmp_path) as second:
            assert (first.name, second.name) == ("env", "env-2")
            assert (first.read_text(), second.read_text()) == ("export A=1\n", "export A=2\n")
        assert first.read_text() == "export A=1\n"


def test_a_file_left_by_a_killed_cloud_is_reused(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("export A=long gone\n")
    with environment_file({"A": "1"}, {}, tmp_path) as path:
        assert path.name == "env"
        assert path.read_text() == "export A=1\n"


def test_a_second_file_has_the_functions_variables_for_sam_local(
    tmp_path: Path,
) -> None:
    with environment_file({}, FUNCTIONS, tmp_path), environment_file({}, {}, tmp_path):
        assert json.loads((tmp_path / "env.json").read_text()) == FUNCTIONS
        assert json.loads((tmp_path / "env-2.json").read_text()) == {}
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 stands for the engine's address")
def test_containers_reach_a_port_of_loopback_through_the_relay() -> None:
    with socket.create_server(("127.0.0.1", 0)) as inside:
        port = inside.getsockname()[1]
        with (
            up._relay("127.0.0.2", port),
            socket.create_connection(("127.0.0.2", port)) as client,
        ):
            client.sendall(b"question")
            client.shutdown(socket.SHUT_WR)
            server, _ = inside.accept()
            with server:
                assert server.makefile("rb").read() == b"question"
                server.sendall(b"answer")
            assert client.makefile("rb").read() == b"answer"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port))


def test_an_address_of_the_container_engine_needs_no_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up.sys, "platform", "darwin")  # which binds to existing addresses only
    (port,) = free_ports(1)
    with up._relay("198.51.100.1", port):
        pass


class EndedError(Exception):
    """Stands for Ctrl-C."""


class Api:
    """A fake cloud whose API gives these answers, one after another."""

    def __init__(self, *answers: tuple[int, Any] | Exception) -> None:
        self.answers = list(answers)

    def get(self, path: str) -> tuple[int, Any]:
        assert path == "/runs"
        answer = self.answers.pop(0) if self.answers else EndedError()
        if isinstance(answer, Exception):
            raise answer
        return answer


def run(state: str) -> tuple[int, Any]:
    times: dict[str, Any] = {"created_at": "", "updated_at": "", "timeline": {}}
    made = Run(run_id="1", folder="films", state=state, attempt=1, **times)
    return 200, to_builtins(Runs(live_run_id=None, runs=[made], waiting=[]))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of `up`, on which each sleep takes a minute."""
    now = [0.0]
    monkeypatch.setattr(up.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(up.time, "sleep", lambda _: now.append(now.pop() + 60))
    return now


@pytest.mark.usefixtures("clock")
def test_failed_requests_do_not_stop_the_cloud(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(EndedError):
        up._print_state_changes(
            Api(run("RUNNING"), CloudError("slow"), (502, {}), run("RUNNING"), run("LIVE"))
        )
    printed = [line.split()[1:] for line in capsys.readouterr().out.splitlines()]
    assert printed == [["films", "RUNNING"], ["films", "LIVE"]]


def test_an_api_that_fails_for_minutes_stops_it_with_the_reason(clock: list[float]) -> None:
    with pytest.raises(CloudError, match="dead"):
        up._print_state_changes(Api(run("LIVE"), *[CloudError("dead")] * 10))
    assert 180 < clock[0] <= 300
