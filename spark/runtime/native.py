"""Loads the compiled loops: the C files beside the modules that call them, as one library.

They are compiled ahead of time, so no process of a run waits for a compiler. On a cluster the
library is in the job archive; elsewhere it is compiled when the sources have changed.
"""

import ctypes
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

LIBRARY = "similar_titles_loops.so"  # its name in the job archive
CLUSTER = "x86_64-linux-gnu.2.28"  # the platform of the cluster's nodes
_PACKAGE = Path(__file__).resolve().parent.parent
_BUILD = _PACKAGE.parent / "build"
_FLAGS = (
    *("-std=c11", "-O3", "-shared", "-fPIC", "-s", "-Wall", "-Wextra"),
    # A fused multiplication and addition would round once where the tutorial rounds twice.
    *("-ffp-contract=off", "-fno-math-errno", "-fno-sanitize=undefined"),
)
_X86 = "-mcpu=x86_64_v3"  # what Intel and AMD have sold since 2015


class NativeCodeError(Exception):
    """The loops could not be compiled; the message has the compiler's words."""


def sources() -> list[Path]:
    """The C files and headers of the job."""
    return sorted(_PACKAGE.rglob("*.[ch]"))


def build(target: Path, machine: str | None = None) -> None:
    """Compile the loops; the same sources give the same bytes.

    Args:
        target: path of the library.
        machine: for example CLUSTER; None for this one.

    Raises:
        NativeCodeError: they do not compile.
        ImportError: this Python has no compiler.
    """
    import ziglang  # noqa: F401  # for its error, which names the package and the Python

    is_x86 = (machine or platform.machine()).startswith(("x86_64", "AMD64"))
    names = [each.relative_to(_PACKAGE) for each in sources() if each.suffix == ".c"]
    command = [
        *(sys.executable, "-m", "ziglang", "cc", *_FLAGS, *([_X86] if is_x86 else [])),
        *(["-target", machine] if machine else []),
        *map(str, names),
        *("-lm", "-o", str(target)),
    ]
    cache = {"ZIG_GLOBAL_CACHE_DIR": str(_BUILD / "zig")}  # not in the home, which may be read-only
    done = subprocess.run(  # noqa: S603
        command, cwd=_PACKAGE, env=os.environ | cache, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NativeCodeError(f"the loops in C cannot be compiled: {done.stderr.strip()}")


@cache
def library() -> ctypes.CDLL:
    """The compiled loops. Calls release the GIL.

    Raises:
        NativeCodeError: see `path`.
    """
    return ctypes.CDLL(str(path()))


def path() -> Path:
    """The library: in the job archive, or compiled from the sources of this tree.

    Raises:
        NativeCodeError: there is neither a library nor sources, or see `build`.
    """
    for folder in sys.path:
        if (found := Path(folder) / LIBRARY).is_file():
            return found.absolute()
    if not sources():
        raise NativeCodeError(f"{LIBRARY} is in no folder of PYTHONPATH; the job archive has it")
    compiled = _BUILD / f"loops-{_digest()}.so"
    if not compiled.exists():
        _BUILD.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_BUILD) as scratch:
            build(Path(scratch) / LIBRARY)
            (Path(scratch) / LIBRARY).replace(compiled)  # other processes may compile it too
    return compiled


def _digest() -> str:
    """A digest of all that decides what the library is."""
    content = hashlib.sha256(repr((_FLAGS, _X86, platform.machine(), sys.platform)).encode())
    for source in sources():
        content.update(source.read_bytes())
    return content.hexdigest()[:16]


def array_of(kind: type[np.generic]) -> Any:
    """The type of an argument that is an array, which must be contiguous.

    Args:
        kind: of its elements.
    """
    return np.ctypeslib.ndpointer(kind, flags="C_CONTIGUOUS")


def function(name: str, *arguments: Any, returns: Any = None) -> Any:
    """A function of the library.

    Args:
        name: in C.
        arguments: ctypes types, or `array_of`. An argument of another type raises a TypeError.
        returns: ctypes type; None for void.
    """
    found = library()[name]
    found.argtypes, found.restype = arguments, returns
    return found
