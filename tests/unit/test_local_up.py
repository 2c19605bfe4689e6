"""The file that a local cloud writes for other shells."""

import subprocess
from pathlib import Path

from local.up import environment_file


def test_a_shell_that_sources_the_file_has_the_values_and_nobody_else_can_read_it(
    tmp_path: Path,
) -> None:
    with environment_file({"NAME": "a value with 'quotes' and $signs"}, tmp_path) as path:
        assert path.stat().st_mode & 0o777 == 0o600
        script = f'. {path}; printf %s "$NAME"'
        said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout == "a value with 'quotes' and $signs"
    assert not path.exists()


def test_clouds_side_by_side_have_files_of_their_own(tmp_path: Path) -> None:
    with environment_file({"A": "1"}, tmp_path) as first:
        with environment_file({"A": "2"}, tmp_path) as second:
            assert (first.name, second.name) == ("env", "env-2")
            assert (first.read_text(), second.read_text()) == ("export A=1\n", "export A=2\n")
        assert first.read_text() == "export A=1\n"


def test_a_file_left_by_a_killed_cloud_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("export A=long gone\n")
    with environment_file({"A": "1"}, tmp_path) as path:
        assert path.name == "env"
        assert path.read_text() == "export A=1\n"
