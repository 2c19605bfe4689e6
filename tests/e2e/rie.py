"""Runs a built function under the real Lambda runtime pieces, without a container.

The pieces are the runtime interface emulator (RIE) that SAM CLI puts into its containers, and the
runtime interface client awslambdaric, which the Lambda images carry; PyPI has wheels of it for
Linux, so nothing is compiled. What is not Lambda's here: the operating system, boto3's version
(it is that of requirements/dev.txt), limits of memory and disk.

The function sees its built folder, awslambdaric and boto3 and nothing else: a dependency that the
build forgot is missing here, too. `python -m tests.e2e.rie FOLDER` fills a folder with these two.
"""

import json
import platform
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from local.access import clean_environment
from local.cloud import free_ports
from local.supervised import SupervisedProcess
from tools.paths import ROOT

EMULATOR = ROOT / ".venv-sam/lib/python3.13/site-packages/samcli/local/rapid/aws-lambda-rie-x86_64"
# The interpreter without the packages of the project's environment.
PYTHON = Path(sys.base_prefix) / "bin" / "python3.13"
BROUGHT = ("awslambdaric", "boto3")
LIMIT_SECONDS = 30
# What the functions are built for.
IS_POSSIBLE = sys.platform == "linux" and platform.machine() == "x86_64"


class InvocationError(Exception):
    """A function that raised, timed out or did not start; the message has what it said."""


def bring_runtime(folder: Path) -> None:
    """Fill a folder with links to what Lambda's Python brings: awslambdaric, boto3, their needs."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _closure(BROUGHT):
        for file in distribution(name).files or ():
            top = file.parts[0]
            if top != ".." and not (folder / top).exists():
                (folder / top).symlink_to(Path(str(distribution(name).locate_file(top))).resolve())


def _closure(names: tuple[str, ...]) -> set[str]:
    """The distributions of these names and all that they need."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            needs = map(Requirement, distribution(name).requires or ())
            waiting += [
                each.name
                for each in needs
                if each.marker is None or each.marker.evaluate({"extra": ""})
            ]
    return found


@contextmanager
def function(
    built: Path, configuration: Mapping[str, Any], environment: Mapping[str, str], folder: Path
) -> Iterator[Callable[[bytes], Any]]:
    """A built function that waits for events while the block lasts.

    Args:
        built: its folder of `sam build`.
        configuration: of the deployed function, as GetFunctionConfiguration gives it.
        environment: what it has beside its own variables: where AWS is, and credentials.
        folder: an empty one for logs and links.

    Yields:
        Invokes it with an event, once at a time: two crash the emulator. Returns its answer.
    """
    bring_runtime(folder / "runtime")
    client, runtime_api = free_ports(2)
    command = [str(EMULATOR), "--log-level", "error"]
    # Both, always: the usual addresses are those of all interfaces.
    command += ["--runtime-interface-emulator-address", f"127.0.0.1:{client}"]
    command += ["--runtime-api-address", f"127.0.0.1:{runtime_api}"]
    command += [str(PYTHON), "-S", "-m", "awslambdaric", configuration["Handler"]]
    variables = clean_environment() | environment | configuration["Environment"]["Variables"]
    variables |= {
        "AWS_LAMBDA_FUNCTION_NAME": configuration["FunctionName"],
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(configuration["Timeout"]),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(configuration["MemorySize"]),
        "AWS_LAMBDA_LOG_FORMAT": configuration["LoggingConfig"]["LogFormat"],
        "LAMBDA_TASK_ROOT": str(built),
        "PYTHONPATH": f"{built}:{folder / 'runtime'}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    log = folder / "function.log"
    with log.open("wb") as out:
        process = SupervisedProcess(command, env=variables, cwd=built, stdout=out)
    try:
        yield lambda event: _invoke(client, event, process, log)
    finally:
        process.stop()


def _invoke(port: int, event: bytes, process: SupervisedProcess, log: Path) -> Any:
    """Post an event, as soon as somebody listens."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations", event
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + LIMIT_SECONDS
    while True:
        try:
            with opener.open(request, timeout=LIMIT_SECONDS) as answer:
                return result(answer.read(), log.read_text(errors="replace"))
        except urllib.error.HTTPError as error:  # it could not be imported, or ended
            said = f"HTTP {error.code}: {error.read().decode(errors='replace')}"
            raise InvocationError(f"{said}\n{log.read_text(errors='replace')}") from error
        except urllib.error.URLError as error:
            refused = isinstance(error.reason, ConnectionRefusedError)
            if not refused or time.monotonic() > deadline or process.poll() is not None:
                raise InvocationError(f"{error}\n{log.read_text(errors='replace')}") from error
            time.sleep(0.02)


def result(answer: bytes, log: str) -> Any:
    """A function's answer; errors come like answers, and a timeout comes as plain text.

    Raises:
        InvocationError: it is one of these.
    """
    try:
        document = json.loads(answer)
    except ValueError as error:
        raise InvocationError(f"{answer.decode(errors='replace')}\n{log}") from error
    if isinstance(document, dict) and "errorType" in document:
        raise InvocationError(f"{json.dumps(document, indent=2)}\n{log}")
    return document


if __name__ == "__main__":
    bring_runtime(Path(sys.argv[1]))
