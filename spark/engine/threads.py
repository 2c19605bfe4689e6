"""Threads for work that leaves the GIL to others: NumPy's on large arrays, numba's, files'."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor


def in_threads[Item, Result](
    do: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """Do something with each of some items, as many at once as there are cores.

    Yields:
        What comes of each, in their order; what one raises is raised here.
    """
    with ThreadPoolExecutor(os.process_cpu_count()) as threads:
        yield from threads.map(do, items)
