"""The patches of the emulator."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ministack.services import s3
from numba.extending import is_jitted

from local.emulator import Answer, BatchLimits, compile_checksum, read_limits


def test_the_compiled_checksum_equals_the_original(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blobs = [random.Random(size).randbytes(size) for size in (0, 1, 7, 1000)]
    slowly = [s3._crc64nvme(blob) for blob in blobs]
    for name in ("_crc64nvme", "_CRC64NVME_TABLE", "_CRC64NVME_INIT"):
        monkeypatch.setattr(s3, name, getattr(s3, name))  # restored after the test
    compile_checksum()
    assert is_jitted(s3._crc64nvme)
    assert [s3._crc64nvme(blob) for blob in blobs] == slowly
    assert (
        s3._crc64nvme(b"123456789") == 0xAE8B14860A799888
    )  # the algorithm's published check value
    assert s3._compute_s3_checksum("CRC64NVME", b"123456789") == "rosUhgp5mIg="


class Table:
    """One table of the emulator, with batch operations only.

    Attributes:
        items: the table's items by key.
        calls: number of batches received.
    """

    def __init__(self, items: dict[str, int]) -> None:
        self.items = items
        self.calls = 0

    def get(self, data: dict[str, Any]) -> Answer:
        """BatchGetItem."""
        self.calls += 1
        keys = data["RequestItems"]["t"]["Keys"]
        found = [{"pk": key["pk"], "n": self.items[key["pk"]]} for key in keys]
        return 200, {}, json.dumps({"Responses": {"t": found}, "UnprocessedKeys": {}})

    def put(self, data: dict[str, Any]) -> Answer:
        """BatchWriteItem."""
        self.calls += 1
        for request in data["RequestItems"]["t"]:
            self.items[request["PutRequest"]["Item"]["pk"]] = 1
        return 200, {}, json.dumps({"UnprocessedItems": {}})


@given(count=st.integers(1, 30), most=st.integers(1, 30))
def test_partial_answers_to_a_batch_read_add_up_to_the_whole(count: int, most: int) -> None:
    table = Table({str(number): number for number in range(count)})
    read = BatchLimits(lambda: {"keys": most}).limit_reads(table.get)
    left: dict[str, Any] = {"t": {"Keys": [{"pk": key} for key in table.items], "X": True}}
    found: list[int] = []
    while left:
        assert left["t"]["X"], "the other parameters are kept"
        status, _, body = read({"RequestItems": left})
        answer = json.loads(body)
        assert status == 200
        assert len(answer["Responses"]["t"]) <= most
        found += [item["n"] for item in answer["Responses"]["t"]]
        left = answer["UnprocessedKeys"]
    assert sorted(found) == [*range(count)]
    assert table.calls == -(-count // most)


def test_writes_above_the_limit_per_second_are_returned_as_unprocessed() -> None:
    now, table = [0.0], Table({})
    write = BatchLimits(lambda: {"write_units": 10}, clock=lambda: now[0]).limit_writes(table.put)
    left = {"t": [{"PutRequest": {"Item": {"pk": str(number)}}} for number in range(25)]}
    status, _, body = write({"RequestItems": left})
    assert (status, json.loads(body)["__type"].rpartition("#")[2]) == (
        400,
        "ProvisionedThroughputExceededException",
    )
    for taken in (10, 20, 25):
        now[0] += 60  # unused write units expire after a second
        status, _, body = write({"RequestItems": left})
        left = json.loads(body)["UnprocessedItems"]
        assert (status, len(table.items)) == (200, taken)
    assert left == {}


def test_without_limits_the_emulator_is_unchanged(tmp_path: Path) -> None:
    table = Table({"a": 1})
    unlimited = BatchLimits(lambda: read_limits(tmp_path / "none"))
    read = {"RequestItems": {"t": {"Keys": [{"pk": "a"}]}}}
    assert unlimited.limit_reads(table.get)(read)[0] == 200
    assert unlimited.limit_writes(table.put)({"RequestItems": {"t": []}})[0] == 200
    assert table.calls == 2
