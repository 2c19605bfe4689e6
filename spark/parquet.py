"""Writes Parquet files to any storage, on the executor that has the rows."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from spark.storage import replacing, write


def write_parquet(batches: Iterator[pa.RecordBatch], schema: pa.Schema, uri: str) -> int:
    """Write a file and replace an existing one; returns the number of rows.

    Args:
        batches: the rows.
        schema: of the batches.
        uri: of the file.
    """
    rows = 0
    # Sums and scores rarely repeat: dictionaries for them cost time and save nothing.
    with (
        replacing(uri) as stream,
        pq.ParquetWriter(stream, schema, use_dictionary=["movie1", "numPairs"]) as writer,
    ):
        for batch in batches:
            if batch.num_rows:
                writer.write_batch(batch)
                rows += batch.num_rows
    return rows


def write_empty(schema: pa.Schema, uri: str) -> None:
    """Write a file without rows. It is written as a whole; the driver can retry it.

    Args:
        schema: of its columns.
        uri: of the file.
    """
    content = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), content)
    write(uri, content.getvalue().to_pybytes())
