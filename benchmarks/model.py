"""The cost model of docs/scale.md: what a load costs, by constants that are fitted to the job."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from spark.engine.blocks import SUM_BYTES, block_count
from spark.engine.cells import BATCH_BYTES

STAGES = ("read", "similarities", "neighbours")
CORES_OF_NODE = 4  # m5.xlarge
NODES = 3  # beside the primary node, which computes nothing
START_SECONDS = 420  # of a cluster; EMR's own figure is "about seven minutes", ours is not measured
PIECE_BYTES = 17  # of a rating on its way to its user's part: user, movie, half stars, time
CELL_BYTES = 2**28  # what the sums of a cell may take on an m5.xlarge


@dataclass(frozen=True)
class Load:
    """What there is to compute.

    Attributes:
        ratings: how many.
        users: who gave them.
        movies: with enough raters to be compared.
        work: W, pairs of ratings of one user, over all users.
    """

    ratings: int
    users: int
    movies: int
    work: int


@dataclass(frozen=True)
class Rates:
    """What the bare kernel was measured to need, in core-seconds.

    Attributes:
        work: for a billion of W.
        sweep: to sweep a billion sums.
    """

    work: float
    sweep: float


@dataclass(frozen=True)
class Plan:
    """How the engine cuts a load.

    Attributes:
        blocks: of movies, B.
        cells: pairs of blocks, B(B+1)/2.
        shuffled: bytes that change places before compression: ratings to their users, then B
            copies of 16 bits to the cells, with a length for each user in each cell.
        cell_bytes: of the sums of a cell.
        swept: how often a sum is touched by no rating: words of all sums times batches of a cell.
    """

    blocks: int
    cells: int
    shuffled: int
    cell_bytes: int
    swept: float


def plan(load: Load, cores: int) -> Plan:
    """How the engine splits a load for a number of cores."""
    blocks = block_count(load.movies, cores, CELL_BYTES)
    cells = blocks * (blocks + 1) // 2
    side = math.ceil(load.movies / blocks)
    shares = max(1, math.ceil(4 * load.ratings / blocks / BATCH_BYTES))
    return Plan(
        blocks=blocks,
        cells=cells,
        shuffled=PIECE_BYTES * load.ratings
        + 2 * blocks * load.ratings
        + 4 * load.users * min(cells, _met(load)),
        cell_bytes=SUM_BYTES * side * side,
        swept=load.movies**2 / 2 * shares,
    )


def _met(load: Load) -> int:
    """The most cells that an average user's ratings reach: one per pair of ratings."""
    mean = load.ratings / load.users
    return math.ceil(mean * (mean + 1) / 2)


def terms(load: Load, cores: int) -> dict[str, list[float]]:
    """What is fitted: the core-seconds of each stage as a constant and a rate, in billions."""
    return {
        "read": [1, load.ratings / 1e9],
        "similarities": [1, load.ratings * plan(load, cores).blocks / 1e9],
        "neighbours": [1, load.movies / 1e9],
    }


def kernel_seconds(load: Load, cores: int, rates: Rates) -> float:
    """Core-seconds of the stage `similarities` that the kernel takes: known, so not fitted.

    W and ratings · blocks grow alike over MovieLens' shapes; a fit cannot tell one from the other.
    """
    return (rates.work * load.work + rates.sweep * plan(load, cores).swept) / 1e9


def fit(
    loads: Sequence[Load], seconds: Sequence[Mapping[str, float]], cores: int, rates: Rates
) -> dict[str, list[float]]:
    """The constants of `terms`: least relative squares, none negative.

    Args:
        loads: what was measured.
        seconds: of each the seconds of each stage.
        cores: on which it was measured.
        rates: of the kernel, on the same machine.
    """
    constants = {}
    for stage in STAGES:
        measured = np.array([each[stage] for each in seconds]) * cores
        known = np.zeros(measured.size)
        if stage == "similarities":
            known = np.array([kernel_seconds(load, cores, rates) for load in loads])
        rows = np.array([terms(load, cores)[stage] for load in loads])
        found, _ = nnls(rows / measured[:, None], 1 - known / measured)
        constants[stage] = found.tolist()
    return constants


def predict(
    load: Load, cores: int, constants: Mapping[str, Sequence[float]], rates: Rates
) -> dict[str, float]:
    """Seconds of each stage on a number of cores."""
    spent = {
        stage: float(np.dot(of_stage, constants[stage]))
        for stage, of_stage in terms(load, cores).items()
    }
    spent["similarities"] += kernel_seconds(load, cores, rates)
    return {stage: each / cores for stage, each in spent.items()}


def outlook(constants: Mapping[str, Sequence[float]], rates: Rates) -> list[str]:
    """A table of what larger loads cost on the default cluster, as Markdown.

    Args:
        constants: from `fit`.
        rates: of the kernel.
    """
    report = [
        "| ratings | movies compared | W | blocks | cells | copies | shuffled | sums of a cell "
        "| core-seconds | minutes on 3 core nodes | node-hours, 4 nodes |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    cores = NODES * CORES_OF_NODE
    for ratings in (10**7, 10**8, 10**9):
        for movies in (10**4, 10**5, 10**6):
            load = Load(ratings, ratings // 143, movies, 333 * ratings)  # users as MovieLens' are
            cut = plan(load, cores)
            seconds = sum(predict(load, cores, constants, rates).values())
            hours = (NODES + 1) * (START_SECONDS + seconds) / 3600
            report.append(
                f"| {ratings:.0e} | {movies:.0e} | {load.work:.1e} | {cut.blocks} | {cut.cells:,} "
                f"| {cut.blocks} | {cut.shuffled / 1e9:,.1f} GB | {cut.cell_bytes / 2**20:.0f} MiB "
                f"| {seconds * cores:,.0f} | {seconds / 60:,.1f} | {hours:.2f} |"
            )
    return report
