"""The job's code: the package that YARN unpacks, and the files beside it."""

import importlib.util
import io
import py_compile
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from launcher.cluster_request import BOOTSTRAP, JOB, PACKAGE
from s3_keys import code_prefix

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

JOB_FOLDER = Path(__file__).parent.parent / "spark"


@cache  # a warm function has built it before
def package() -> bytes:
    """Build the zip of the job's package, which YARN unpacks for driver and executors.

    It includes bytecode, which Python does not check against the sources. YARN unpacks the zip into
    a read-only folder, so without it every Python process would compile every module.
    """
    blob = io.BytesIO()
    with (
        zipfile.ZipFile(blob, "w", zipfile.ZIP_DEFLATED) as archive,
        tempfile.TemporaryDirectory() as scratch,
    ):
        for path in sorted(JOB_FOLDER.rglob("*.py")):
            if path.name == JOB:
                continue
            name = path.relative_to(JOB_FOLDER.parent).as_posix()
            compiled = Path(scratch) / "module.pyc"
            py_compile.compile(
                str(path),
                str(compiled),
                name,
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
            archive.writestr(zipfile.ZipInfo(name), path.read_bytes())
            cached = importlib.util.cache_from_source(name)
            archive.writestr(zipfile.ZipInfo(cached), compiled.read_bytes())
    return blob.getvalue()


def write_code(s3: "S3Client", bucket: str, run_id: str) -> None:
    """Write the job's code under the run's prefix."""
    files = {name: (JOB_FOLDER / name).read_bytes() for name in (JOB, BOOTSTRAP)}
    for name, body in {PACKAGE: package(), **files}.items():
        s3.put_object(Bucket=bucket, Key=code_prefix(run_id) + name, Body=body)
