"""What the emulator is told before it starts."""

import random

import pytest
from ministack.services import s3
from numba.extending import is_jitted

from local.gateway import sum_quickly


def test_the_checksum_of_what_nodes_write_is_compiled_and_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blobs = [random.Random(size).randbytes(size) for size in (0, 1, 7, 1000)]
    slowly = [s3._crc64nvme(blob) for blob in blobs]
    for name in ("_crc64nvme", "_CRC64NVME_TABLE", "_CRC64NVME_INIT"):
        monkeypatch.setattr(s3, name, getattr(s3, name))  # put back afterwards
    sum_quickly()
    assert is_jitted(s3._crc64nvme)
    assert [s3._crc64nvme(blob) for blob in blobs] == slowly
    assert s3._crc64nvme(b"123456789") == 0xAE8B14860A799888  # the algorithm's published check
    assert s3._compute_s3_checksum("CRC64NVME", b"123456789") == "rosUhgp5mIg="
