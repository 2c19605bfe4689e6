"""Writes Parquet where the work is done: on an executor, to the folder's own kind of storage."""

import uuid
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs


def write_parquet(batches: Iterator[pa.RecordBatch], schema: pa.Schema, uri: str) -> int:
    """Write a file whole or not at all, in place of one that is there; returns its rows.

    Args:
        batches: the rows.
        schema: of the batches.
        uri: `file:///...`, `s3://...` or another that pyarrow knows; credentials and region are
            those of the machine.
    """
    system, path = fs.FileSystem.from_uri(uri)
    is_local = isinstance(system, fs.LocalFileSystem)
    # An object of S3 is there when it is complete; a file is made so by a rename. Readers pass over
    # names that begin with a dot, such as one that a killed worker has left.
    folder, _, name = path.rpartition("/")
    target = f"{folder}/.{name}.{uuid.uuid4().hex}" if is_local else path
    if is_local:
        system.create_dir(folder)
    rows = 0
    # Sums and scores hardly repeat: dictionaries of them cost time and save nothing.
    with pq.ParquetWriter(
        target, schema, filesystem=system, use_dictionary=["movie1", "numPairs"]
    ) as writer:
        for batch in batches:
            if batch.num_rows:
                writer.write_batch(batch)
                rows += batch.num_rows
    if is_local:
        system.move(target, path)
    return rows
