"""Makes a typed Python client of the API: a wheel, generated from the OpenAPI document.

The generator is openapi-python-client, see requirements/client.in.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import click

from tools.command_line import HELP_OPTIONS, errors_as_exit_status, module_examples
from tools.paths import ROOT
from tools.setup import environments
from tools.setup.environments import UnavailableError

# What the function's modules read when they are imported; nothing is called.
NOWHERE = {
    "AWS_DEFAULT_REGION": "eu-central-1",
    "RUNS_TABLE": "-",
    "INDEX_TABLE": "-",
    "RESULTS_BUCKET": "-",
}


class ClientError(Exception):
    """The generator refused the document; the message says why."""


@click.command(context_settings=HELP_OPTIONS, epilog=module_examples("tools.client", ""))
@errors_as_exit_status(ClientError, UnavailableError)
def main() -> None:
    """Make a typed Python client of this version's API, a wheel in dist/."""
    wheel = make(document(), ROOT / "dist").relative_to(ROOT)
    click.echo(f"{wheel}: install it with pip install {wheel}")


def document() -> bytes:
    """The OpenAPI document that this version's API serves."""
    os.environ.update({name: os.environ.get(name, value) for name, value in NOWHERE.items()})
    from query import handler
    from query.requests import NoParameters

    return handler.get_openapi(NoParameters()).body


def make(document: bytes, folder: Path) -> Path:
    """Generate a client and build its wheel.

    Args:
        document: the OpenAPI document.
        folder: for the wheel.

    Returns:
        The wheel. Its version is the API's.

    Raises:
        ClientError: the generator refused or did not understand something of the document.
        UnavailableError: the generator is not installed, and the package index cannot be reached.
    """
    programs = environments.programs("client")
    with tempfile.TemporaryDirectory() as scratch:
        source, package, built = (Path(scratch) / name for name in ("api.json", "package", "built"))
        source.write_bytes(document)
        command = [str(programs / "openapi-python-client"), "generate", "--meta", "uv"]
        command += ["--fail-on-warning", "--path", str(source), "--output-path", str(package)]
        # It formats what it makes with the ruff beside it.
        path = os.pathsep.join([str(programs), os.environ["PATH"]])
        done = subprocess.run(
            command,
            env=os.environ | {"PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ClientError(f"the generator failed:\n{done.stdout[-2000:]}")
        environments.uv("build", "--quiet", "--wheel", "--out-dir", str(built), str(package))
        (wheel,) = built.glob("*.whl")
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(wheel, folder / wheel.name))


if __name__ == "__main__":
    main(prog_name="python -m tools.client")
