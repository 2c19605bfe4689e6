"""Programs that tests submit to Spark, in processes of their own."""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from local.emr.step import java_options
from tools.setup.java import java_home

SCRIPTS = Path(sys.executable).parent


def spark_submit(
    program: Path,
    *arguments: object,
    master: str,
    conf: Mapping[str, object] | None = None,
    java: str | None = None,
) -> list[str]:
    """The command that submits a program.

    Args:
        program: in Python.
        arguments: of the program.
        master: for example `local[2]`.
        conf: more of Spark's settings.
        java: options for all its JVMs; None for those with which a job starts soonest here.
    """
    options = java_options() if java is None else java
    settings: dict[str, object] = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.extraJavaOptions": options,
        "spark.executor.extraJavaOptions": options,
    }
    return [
        *(str(SCRIPTS / "spark-submit"), "--master", master),
        *_words(settings | dict(conf or {})),
        *map(str, (program, *arguments)),
    ]


def _words(settings: Mapping[str, object]) -> Iterator[str]:
    for name, value in settings.items():
        yield from ("--conf", f"{name}={value}")


def environment(**more: str) -> dict[str, str]:
    """The variables of a process that submits; its workers run on this Python.

    Args:
        more: others.
    """
    return os.environ | {
        "PATH": f"{SCRIPTS}:{os.environ['PATH']}",
        "JAVA_HOME": str(java_home()),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
        **more,
    }
