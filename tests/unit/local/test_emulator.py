"""The patches of the emulator."""

import base64
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ministack.services import s3

from local.emulator import Answer, BatchLimits, read_limits, use_fast_checksums

# For "123456789", as https://reveng.sourceforge.io/crc-catalogue/all.htm lists them.
CHECK_VALUES = {"_crc64nvme": 0xAE8B14860A799888, "_crc32c": 0xE3069283}


@pytest.mark.parametrize(
    ("name", "algorithm", "size"), [("_crc64nvme", "CRC64NVME", 8), ("_crc32c", "CRC32C", 4)]
)
def test_the_fast_checksums_equal_the_emulators_own(
    monkeypatch: pytest.MonkeyPatch, name: str, algorithm: str, size: int
) -> None:
    blobs = [random.Random(size).randbytes(size) for size in (0, 1, 7, 1000)]
    own = getattr(s3, name)
    for each in CHECK_VALUES:
        monkeypatch.setattr(s3, each, getattr(s3, each))  # restored after the test
    use_fast_checksums()
    fast = getattr(s3, name)
    assert fast is not own
    assert [fast(blob) for blob in blobs] == [own(blob) for blob in blobs]
    assert fast(b"123456789") == CHECK_VALUES[name]
    answered = base64.b64decode(s3._compute_s3_checksum(algorithm, b"123456789"))
    assert answered == CHECK_VALUES[name].to_bytes(size)


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
