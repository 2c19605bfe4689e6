"""The progress display: plain lines where standard error is not a terminal."""

import pytest

from tools.progress import StageProgress


def test_without_a_terminal_each_stage_is_a_line_and_transfers_are_silent(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with StageProgress() as progress:
        progress.stage("download", "ml-1m")
        progress.transferred(2**20, 2**21)
        progress.stage("drop")
        progress.done("2 files [sic]")
    lines = [line.split("s  ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert lines == ["download ml-1m", "drop", "2 files [sic]"]


@pytest.mark.parametrize(("total", "text"), [(2**21, "1.0 of 2.0 MiB"), (0, "1.0 MiB")])
def test_a_terminal_shows_the_bytes_transferred(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, total: int, text: str
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with StageProgress() as progress:
        progress.stage("download", "ml-1m")
        progress.transferred(2**20, total)
    assert text in capsys.readouterr().err
