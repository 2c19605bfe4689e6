"""Hadoop's file system by URI: what the job needs of it beyond Spark's readers and writers."""

import re
from urllib.parse import unquote, urlsplit

from py4j.java_gateway import JavaObject
from pyspark.sql import SparkSession


def child(uri: str, name: str) -> str:
    """The URI of something below a folder."""
    return f"{uri.rstrip('/')}/{name}"


def name_of(uri: str) -> str:
    """The last name of a URI as Spark gives it, without percent escapes."""
    return unquote(urlsplit(uri).path).rpartition("/")[2]


def literal(uri: str) -> str:
    """A URI for Spark's readers, which would take `[`, `{`, `*` and `?` for patterns."""
    return re.sub(r"([\[\]{}*?\\])", r"\\\1", uri)


def list_files(spark: SparkSession, uri: str) -> dict[str, int]:
    """The files in a folder and their sizes in bytes; empty where there is no such folder."""
    path, system = _open(spark, uri)
    if not system.exists(path):
        return {}
    found = (status for status in system.listStatus(path) if status.isFile())
    return {status.getPath().getName(): status.getLen() for status in found}


def absolute(spark: SparkSession, uri: str) -> str:
    """A URI or a path as the URI by which others than Hadoop know it: file:///... or s3://..."""
    path, system = _open(spark, uri)
    whole = str(path.makeQualified(system.getUri(), system.getWorkingDirectory()).toUri())
    scheme, _, rest = whole.partition(":")
    return f"{'s3' if scheme == 's3a' else scheme}:{rest if rest[:2] == '//' else f'//{rest}'}"


def delete(spark: SparkSession, uri: str) -> None:
    """Delete a file or folder; one that is not there is no error."""
    path, system = _open(spark, uri)
    system.delete(path, True)


def write_text(spark: SparkSession, uri: str, text: str) -> None:
    """Write a file in UTF-8, in place of one that is there; it is never seen half written.

    Raises:
        OSError: the file system does not rename what was written.
    """
    path, system = _open(spark, uri)
    # An object store shows a file when its stream is closed, and renames by copying; a file system
    # shows it from the first byte on.
    capabilities = spark._jvm.org.apache.hadoop.fs.CommonPathCapabilities
    appears_whole = system.hasPathCapability(path, capabilities.ABORTABLE_STREAM)
    target = path if appears_whole else path.suffix(".part")
    stream = system.create(target, True)
    try:
        stream.write(bytearray(text.encode()))
    finally:
        stream.close()
    if not appears_whole:
        system.delete(path, False)
        if not system.rename(target, path):
            raise OSError(f"{target} could not be renamed to {path}")


def _open(spark: SparkSession, uri: str) -> tuple[JavaObject, JavaObject]:
    path = spark._jvm.org.apache.hadoop.fs.Path(uri)
    return path, path.getFileSystem(spark._jsc.hadoopConfiguration())
