"""Threads for work that releases the GIL: large NumPy operations, loops in C, file I/O."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor


def in_threads[Item, Result](
    do: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """Call a function for each item, on as many threads as there are cores.

    Yields:
        The results, in the order of the items. An exception in a thread is raised here.
    """
    with ThreadPoolExecutor(os.process_cpu_count()) as threads:
        yield from threads.map(do, items)
