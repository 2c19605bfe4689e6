"""Loads numba modules on workers; each executor keeps its own cache of compiled code."""

import fcntl
import importlib
import os
import threading
from pathlib import Path
from types import ModuleType


def compiled(module: str, meanwhile: str | None = None) -> ModuleType:
    """Import a module of numba functions on a worker; compile it or load it from the cache.

    The cache is in the executor's own folder. That folder is writable even where the home is not,
    and it disappears with the executor. One worker at a time compiles; the others wait and load
    the result.

    Args:
        module: a plain file (not inside a zip) with a function `warm_up()` that calls every
            compiled function once.
        meanwhile: another such module, to compile while another worker compiles this one.

    Raises:
        RuntimeError: numba cannot cache the module there. It must not cache it anywhere else.
    """
    from pyspark import SparkFiles  # here: the engine's arithmetic imports no Spark

    folder = Path(SparkFiles.getRootDirectory()).absolute() / "numba"
    folder.mkdir(exist_ok=True)
    os.environ.setdefault("NUMBA_CACHE_DIR", str(folder))
    # By default numba also tries the module's folder and the home, which a node does not have.
    os.environ.setdefault("NUMBA_CACHE_LOCATOR_CLASSES", "UserProvidedCacheLocator")
    loaded = importlib.import_module(module)
    if not getattr(loaded, "is_warm", False):
        with (folder / f"{module}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if meanwhile is not None:
                    compiled(meanwhile)
                fcntl.flock(lock, fcntl.LOCK_EX)
            loaded.warm_up()
        vars(loaded)["is_warm"] = True
    return loaded


def compile_ahead(module: str) -> None:
    """Compile a module in the background while this worker waits or runs without the GIL."""
    threading.Thread(target=compiled, args=(module,), daemon=True).start()
