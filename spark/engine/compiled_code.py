"""Where numba keeps what it compiled: once per executor, and never in a home."""

import fcntl
import importlib
import os
import threading
from pathlib import Path
from types import ModuleType

from pyspark import SparkFiles


def compiled(module: str, meanwhile: str | None = None) -> ModuleType:
    """Import a module of numba functions in a worker, compiled or found in the executor's cache.

    The cache stands among the executor's own files: they are writable wherever its home is not,
    and go when it ends. One worker at a time compiles; the others find what it left.

    Args:
        module: a file of its own, not in a zip, with a function `warm_up()` that calls every
            compiled function once.
        meanwhile: another such module, to compile while another worker compiles this one.

    Raises:
        RuntimeError: numba can keep nothing of the module there; elsewhere it may not.
    """
    folder = Path(SparkFiles.getRootDirectory()).absolute() / "numba"
    folder.mkdir(exist_ok=True)
    os.environ.setdefault("NUMBA_CACHE_DIR", str(folder))
    # Numba would look for other places: beside the module and in the home, where a node has none.
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
    """Compile a module in the background, where this worker waits or works without the GIL."""
    threading.Thread(target=compiled, args=(module,), daemon=True).start()
