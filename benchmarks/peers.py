"""Measures other programs and libraries for item-item similarity beside the job: one table.

Each method has a process of its own, which imports no other method's library. What it prepares
before the clock starts (libraries loaded, ratings in the layout that the library wants) is not
timed, but counts as memory.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import jobs
from benchmarks.jobs import (
    CORES,
    COSINE_ALONE,
    DATA,
    MIN_RATERS,
    dataset,
    job,
    say,
    submit,
)
from benchmarks.measured import LimitError, Limits, Measured, run
from benchmarks.shapes import Table
from tools.paths import ROOT

if TYPE_CHECKING:
    import scipy.sparse as sp

NEIGHBOURS = 50
EASE_MOVIES, EASE_LAMBDA = 12_000, 400  # the job's defaults
THRESHOLD = 0.1
MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
LIMITS = Limits(seconds=3 * 60, resident=0.8 * MEMORY)
REPEATED = 30  # seconds; what takes longer is measured once
OVERTIME = f"over {LIMITS.seconds / 60:.0f} min"
GIB = 2**30


def by_movie(table: Table) -> "sp.csr_matrix":
    """Movies times users, half stars."""
    import scipy.sparse as sp

    _, movies = np.unique(table.movies, return_inverse=True)
    _, users = np.unique(table.users, return_inverse=True)
    return sp.csr_matrix((table.halves.astype(np.float32), (movies, users)))


def timed(function: Callable[[], object]) -> float:
    """How many seconds a function takes."""
    start = time.monotonic()
    function()
    return time.monotonic() - start


def scipy_products(table: Table) -> float:
    """n, Σxy, Σxx of all pairs; Σyy is the transpose of Σxx. SciPy uses one thread."""
    ratings = by_movie(table).T.tocsr().astype(np.int32)
    ones, squares = ratings.copy(), ratings.copy()
    ones.data[:] = 1
    squares.data **= 2
    return timed(lambda: [ones.T @ ones, ratings.T @ ratings, squares.T @ ones])


def implicit_cosine(table: Table) -> float:
    """Cosine over whole columns, the best 50."""
    from implicit.nearest_neighbours import CosineRecommender

    model = CosineRecommender(K=NEIGHBOURS, num_threads=CORES)
    ratings = by_movie(table).T.tocsr()
    return timed(lambda: model.fit(ratings, show_progress=False))


def similaripy_cosine(table: Table) -> float:
    """Cosine over whole columns, the best 50."""
    import similaripy

    ratings = by_movie(table)
    return timed(lambda: similaripy.cosine(ratings, k=NEIGHBOURS, num_threads=CORES, verbose=False))


def sparse_dot_cosine(table: Table) -> float:
    """Cosine over whole columns, the best 50."""
    from sparse_dot_topn import sp_matmul_topn

    ratings = by_movie(table)
    raters = np.diff(ratings.indptr)

    def cosine() -> None:
        norms = np.sqrt(ratings.multiply(ratings).sum(axis=1).A1)
        ratings.data /= np.repeat(norms, raters)
        sp_matmul_topn(ratings, ratings.T.tocsr(), top_n=NEIGHBOURS, n_threads=CORES)

    return timed(cosine)


def own_kernel(table: Table) -> float:
    """n, Σxy, Σxx, Σyy of all pairs."""
    from benchmarks.kernels import packed_kernel

    return packed_kernel(table)


def own_ease(table: Table) -> float:
    """EASE's weights."""
    from benchmarks.kernels import ease_weights

    return ease_weights(table, EASE_MOVIES, EASE_LAMBDA)


def cornac_ease(table: Table, precision: type[np.floating]) -> float:
    """EASE's weights of the movies that the job compares by EASE."""
    from cornac.data import Dataset
    from cornac.models import EASE as Model  # noqa: N811

    _, movies, raters = np.unique(table.movies, return_inverse=True, return_counts=True)
    popular = np.zeros(raters.size, bool)
    popular[np.argsort(-raters, kind="stable")[:EASE_MOVIES]] = True
    some = popular[movies]
    columns, users = np.cumsum(popular)[movies[some]] - 1, table.users[some]
    parts = (table.halves[some] / 10).astype(precision)
    ratings = Dataset(users.max() + 1, popular.sum(), {}, {}, (users, columns, parts))
    _ = ratings.matrix  # made once, and kept
    model = Model(lamb=EASE_LAMBDA, verbose=False)
    return timed(lambda: model.fit(ratings))


def column_similarities(folder: Path, threshold: float) -> Measured:
    """Spark's own, whole process."""
    program = ROOT / "benchmarks" / "column_similarities.py"
    arguments = str(folder), str(threshold)
    with TemporaryDirectory() as scratch:  # Spark leaves its files if it is stopped
        options = (
            *("--master", f"local[{CORES}]", "--conf", f"spark.local.dir={scratch}"),
            # Java's, the default, is slower for this number of pairs.
            *("--conf", "spark.serializer=org.apache.spark.serializer.KryoSerializer"),
        )
        return submit(program, *arguments, options=options, limits=LIMITS)


def own_job(folder: Path, more: Sequence[str] = ()) -> Measured:
    """The job, whole process."""
    return job(folder, 1, more=more, limits=LIMITS)[0][0]


@dataclass(frozen=True)
class Method:
    """What is measured, and what it computes.

    Attributes:
        name: of the program or library.
        kind: what it is compared with; the first method of a kind is ours.
        start: what it starts from.
        computes: over what, and whether exact.
        neighbours: how many it gives of each movie.
        whole: runs it on the folder of a data set, if it is a program of its own.
        timed: runs it on a table in memory otherwise; returns seconds.
    """

    name: str
    kind: str
    start: str
    computes: str
    neighbours: str
    whole: Callable[[Path], Measured] | None = None
    timed: Callable[[Table], float] | None = None


PROGRAM, COSINE, WEIGHTS = "program", "sums", "EASE"
TEXT, RATINGS = "text", "ratings in memory"
LIMIT = f"{EASE_MOVIES:,}"
METHODS = [
    Method(
        *("the job, cosine alone", PROGRAM, TEXT),
        *("cosine over co-raters, exact; writes Parquet", "all pairs above its thresholds; 50"),
        whole=lambda folder: own_job(folder, COSINE_ALONE),
    ),
    Method(
        *("the job by default", PROGRAM, TEXT),
        *("all usual measures, and judges itself; exact; writes Parquet", "as above; 50 each"),
        whole=own_job,
    ),
    Method(
        *("Spark columnSimilarities()", PROGRAM, TEXT),
        *("cosine over whole columns, exact; counts its entries", "all pairs"),
        whole=lambda folder: column_similarities(folder, 0),
    ),
    Method(
        *(f"Spark columnSimilarities({THRESHOLD})", PROGRAM, TEXT),
        "cosine over whole columns, approximate: samples (DIMSUM), "
        f"without a promise below {THRESHOLD}; counts its entries",
        "all pairs that it sampled",
        whole=lambda folder: column_similarities(folder, THRESHOLD),
    ),
    Method(
        *("the job's kernel", COSINE, RATINGS),
        *("n, Σxy, Σxx, Σyy over co-raters, exact", "all pairs, unranked"),
        timed=own_kernel,
    ),
    Method(
        *("SciPy, three products", COSINE, RATINGS),
        *("the same four sums over co-raters, exact; one thread", "all pairs, unranked"),
        timed=scipy_products,
    ),
    Method(
        *("similaripy cosine", COSINE, RATINGS),
        *("cosine over whole columns, exact", f"{NEIGHBOURS}"),
        timed=similaripy_cosine,
    ),
    Method(
        *("implicit CosineRecommender", COSINE, RATINGS),
        *("cosine over whole columns, exact", f"{NEIGHBOURS}"),
        timed=implicit_cosine,
    ),
    Method(
        *("sparse_dot_topn", COSINE, RATINGS),
        *("cosine over whole columns, exact", f"{NEIGHBOURS}"),
        timed=sparse_dot_cosine,
    ),
    Method(
        *("the job's EASE", WEIGHTS, RATINGS),
        f"four sums of all pairs, EASE of the {LIMIT} most popular movies, 64 and 32 bits",
        "all weights, unranked",
        timed=own_ease,
    ),
    Method(
        *("cornac EASE", WEIGHTS, RATINGS),
        *(f"EASE of the {LIMIT} most popular movies, exact, 64 bits", "all weights, unranked"),
        timed=lambda table: cornac_ease(table, np.float64),
    ),
    Method(
        *("cornac EASE, 32 bits", WEIGHTS, RATINGS),
        *("the same in 32 bits, as RecTools computes it", "all weights, unranked"),
        timed=lambda table: cornac_ease(table, np.float32),
    ),
]


def stored(name: str) -> tuple[Path, Path]:
    """The folder of a shape, and a file with its ratings of the movies that can form a pair."""
    folder, table = dataset(name)
    _, movies, raters = np.unique(table.movies, return_inverse=True, return_counts=True)
    some = (raters >= MIN_RATERS)[movies]
    file = DATA / f"{name}.npz"
    np.savez(file, users=table.users[some], movies=table.movies[some], halves=table.halves[some])
    return folder, file


def measure(method: Method, folder: Path, file: Path) -> Measured | str:
    """What a method takes, or why it did not end."""
    try:
        if method.whole:
            return method.whole(folder)
        seconds = DATA / "seconds"
        number = str(METHODS.index(method))
        command = [sys.executable, "-m", "benchmarks.peers", number, str(file), str(seconds)]
        measured = run(command, jobs.THREADS, LIMITS)
        return replace(measured, seconds=float(seconds.read_text()))
    except LimitError as error:
        return str(error)
    except RuntimeError as error:
        say(str(error))
        return "failed"


def measure_all(name: str, times: int, left_out: set[str]) -> dict[str, Measured | str]:
    """What each method takes at a shape: medians, and the highest peak of memory."""
    folder, file = stored(name)
    runs: dict[str, list[Measured]] = {method.name: [] for method in METHODS}
    failures = dict.fromkeys(left_out, "not run")
    for _ in range(times):
        for method in METHODS:
            before = runs[method.name]
            if method.name in failures or (before and before[0].seconds > REPEATED):
                continue
            outcome = measure(method, folder, file)
            if isinstance(outcome, str):
                failures[method.name] = outcome
                say(f"{name}, {method.name}: {outcome}")
            else:
                before.append(outcome)
                say(f"{name}, {method.name}: {outcome.seconds:.1f} s")
    return {method: failures.get(method) or _median(each) for method, each in runs.items()}


def _median(runs: Sequence[Measured]) -> Measured:
    seconds = statistics.median(each.seconds for each in runs)
    cpu = statistics.median(each.cpu for each in runs)
    return Measured(seconds, max(each.peak for each in runs), cpu)


def rows(outcomes: Mapping[str, Mapping[str, Measured | str]]) -> list[str]:
    """The rows of the table, of what each method took by shape."""
    ours: dict[str, str] = {}
    for method in METHODS:
        ours.setdefault(method.kind, method.name)
    lines = []
    for method in METHODS:
        cells = [method.name, method.kind, method.start, method.computes, method.neighbours]
        for by_method in outcomes.values():
            cells += _cells(by_method[method.name], by_method[ours[method.kind]])
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _cells(outcome: Measured | str, ours: Measured | str) -> tuple[str, str]:
    if isinstance(ours, str):
        times = ""
    elif isinstance(outcome, Measured):
        times = f"{outcome.seconds / ours.seconds:.1f}"
    else:
        times = f"over {LIMITS.seconds / ours.seconds:.0f}" if outcome == OVERTIME else ""
    if isinstance(outcome, Measured):
        outcome = f"{outcome.seconds:.1f} s, {outcome.peak / GIB:.1f} GiB"
    return outcome, times


def report(names: Sequence[str], times: int) -> list[str]:
    """The section of RESULTS.md."""
    outcomes: dict[str, dict[str, Measured | str]] = {}
    left_out: set[str] = set()
    for name in names:
        outcomes[name] = measure_all(name, times, left_out)
        left_out |= {method for method, each in outcomes[name].items() if isinstance(each, str)}
    columns = "".join(f" {name} | times ours |" for name in names)
    return [
        f"\n## Against the peers\n\nTwo threads each, every method in a process of its own. "
        "Programs are measured from spark-submit to exit, with "
        f"{jobs.DRIVER_MEMORY.removesuffix('g')} GiB for the JVM; the others without input and "
        "output, from ratings in the layout that the library wants, of movies with at least "
        f"{MIN_RATERS} raters. Times ours: against the first of the same kind. Whole columns: a "
        "missing rating counts as 0, so one product and the norms are enough; over co-raters it "
        "takes four sums. Memory: resident at most, with what was prepared. A method that takes "
        f"more than {REPEATED} seconds runs once; one that takes more than "
        f"{LIMITS.seconds // 60} minutes or {LIMITS.resident / GIB:.0f} GiB is stopped, and not "
        "run at a larger shape.\n",
        f"| method | kind | starts from | computes | neighbours |{columns}",
        "|---" * (5 + 2 * len(names)) + "|",
        *rows(outcomes),
    ]


def main() -> None:
    """Run one method in this process, on a stored table, and write down its seconds."""
    number, file, seconds = sys.argv[1:]
    with np.load(file) as columns:
        table = Table(columns["users"], columns["movies"], columns["halves"])
    timed: Any = METHODS[int(number)].timed  # such methods only are started like this
    Path(seconds).write_text(str(timed(table)))


if __name__ == "__main__":
    main()
