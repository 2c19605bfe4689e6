"""Finds ids in a list, and the first of equal keys: several times as fast as sorting and searching.

The loops are in places.c.
"""

from ctypes import c_int, c_int64

import numpy as np

from spark.runtime.native import array_of, function

_int32, _int64, _bool = array_of(np.int32), array_of(np.int64), array_of(np.bool_)
_find_places = function("find_places", _int32, c_int64, _int32, c_int64, _int32, c_int, _int32)
_find_first = function("find_first", _int64, c_int64, _int32, c_int, _bool)


def places_in(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The index of each wanted id in a list of ids; -1 if it is not there.

    Args:
        ids: int32, distinct, in any order.
        wanted: int32.

    Returns:
        int32, one for each of `wanted`.
    """
    ids, wanted = (np.ascontiguousarray(each) for each in (ids, wanted))
    found = np.empty(wanted.size, np.int32)
    _find_places(ids, ids.size, wanted, wanted.size, *_slots(ids.size), found)
    return found


def are_first(keys: np.ndarray) -> np.ndarray:
    """Whether no earlier key equals a key: bool, one for each.

    Args:
        keys: int64.
    """
    found = np.empty(keys.size, bool)
    _find_first(keys, keys.size, *_slots(keys.size), found)
    return found


def _slots(values: int) -> tuple[np.ndarray, int]:
    """An empty table for some values, at most half full, and the logarithm of its size."""
    bits = max(1, (2 * values).bit_length())
    return np.full(1 << bits, -1, np.int32), bits
