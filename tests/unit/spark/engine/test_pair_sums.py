"""The files of sums: they are read back exactly, for sums and cells of every size."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spark.engine import pair_sums

MOST = np.iinfo(np.int32).max


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    band_rows=st.integers(1, 6),
    same=st.booleans(),
    most=st.sampled_from([0, 1, 2**16 - 1, 2**16, MOST]),
    seed=st.integers(0, 2**16),
)
def test_the_sums_of_a_cell_are_read_back_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    shape: tuple[int, int], shares: tuple[float, float], band_rows: int, same: bool, most: int,
    seed: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(pair_sums, "BAND_ROWS", band_rows)
    rows, columns = (shape[0], shape[0]) if same else shape
    draw = np.random.default_rng(seed)
    cell = (draw.random((rows, 4, columns)) ** 4 * most).round().astype(np.int32)
    cell[0, :, -1] = most
    if same:
        cell *= np.triu(np.ones((rows, rows), np.int32), 1)[:, None]
    wanted = [round(share * size) for share, size in zip(shares, (rows, columns), strict=True)]
    if same:
        wanted[1] = wanted[0]
    uri = f"{tmp_path}/cell"
    pair_sums.write_sums(cell, (wanted[0], wanted[1]), same, uri)
    for place, kind in enumerate(pair_sums.KINDS):
        read = np.zeros(wanted, np.int64)
        for down, right, band in pair_sums.read_sums(uri, kind, (wanted[0], wanted[1]), same):
            assert band.dtype == (np.uint16 if band.max(initial=0) < 2**16 else np.int32)
            read[down, right] = band
        assert (read == cell[: wanted[0], place, : wanted[1]]).all()


def test_small_sums_take_two_bytes_and_the_empty_half_takes_none(tmp_path: Path) -> None:
    rows = 2 * pair_sums.BAND_ROWS
    cell = np.zeros((rows, 4, rows), np.int32)
    cell[0, :, 1] = 2**16
    for same in (False, True):
        pair_sums.write_sums(cell, (rows, rows), same, f"{tmp_path}/{same}")
    whole, half = (sum(f.stat().st_size for f in tmp_path.glob(f"{x}.*")) for x in (False, True))
    band = pair_sums.BAND_ROWS * rows  # the first band is wide, the second narrow
    assert whole == pytest.approx(4 * band * (4 + 2), rel=0.01)
    assert half == pytest.approx(4 * band * (4 + 1), rel=0.01)


@pytest.mark.parametrize("same", [False, True])
def test_a_file_that_is_cut_anywhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    monkeypatch.setattr(pair_sums, "BAND_ROWS", 2)
    cell = np.ones((5, 4, 5), np.int32)
    uri = f"{tmp_path}/cell"
    pair_sums.write_sums(cell, (5, 5), same, uri)
    file = tmp_path / "cell.xy"
    whole = file.read_bytes()
    assert len(list(pair_sums.read_sums(uri, "xy", (5, 5), same))) == 3
    for size in range(len(whole)):  # including the edges of bands
        file.write_bytes(whole[:size])
        with pytest.raises(pair_sums.SumsError, match=r"cell\.xy ends in row [024] of 5"):
            list(pair_sums.read_sums(uri, "xy", (5, 5), same))


def test_a_file_of_another_cell_is_refused(tmp_path: Path) -> None:
    pair_sums.write_sums(np.ones((3, 4, 4), np.int32), (3, 4), False, f"{tmp_path}/cell")
    for shape, said in (((4, 4), "from row 0"), ((3, 3), "from row 0"), ((0, 4), "goes on")):
        with pytest.raises(pair_sums.SumsError, match=said):
            list(pair_sums.read_sums(f"{tmp_path}/cell", "n", shape, False))
