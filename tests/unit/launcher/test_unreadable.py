"""Objects that S3 does not give: the run fails at once, and says why."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from launcher import handler as launcher
from tests.builders.aws import CONTEXT, Cloud

KMS_DENIED = (
    "User: arn:aws:sts::123456789012:assumed-role/Launcher is not authorized to perform: "
    "kms:Decrypt on resource: arn:aws:kms:eu-central-1:210987654321:key/5f2a because no "
    "resource-based policy allows the kms:Decrypt action"
)
SSE_C = (
    "The object was stored using a form of Server Side Encryption. The correct parameters must be "
    "provided to retrieve the object."
)
LASTING = [
    ("InvalidObjectState", "The operation is not valid for the object's storage class",
     "ratings.dat is archived, so it cannot be read: restore it from S3 Glacier"),
    ("InvalidRequest", SSE_C, "ratings.dat is encrypted with a key of your own (SSE-C)"),
    ("AccessDenied", KMS_DENIED, "ratings.dat is encrypted with a KMS key that the"),
    ("KMS.DisabledException", "arn:aws:kms:...:key/5f2a is disabled.",
     "drop it with the bucket's own encryption; S3 says: arn:aws:kms:...:key/5f2a is disabled."),
    ("AccessDenied", "Access Denied", "ratings.dat cannot be read, because S3 denies it"),
]  # fmt: skip


def fails_to_read(
    monkeypatch: pytest.MonkeyPatch, code: str, message: str, status: int = 403
) -> None:
    """Have S3 refuse to give the content of the ratings."""
    read = launcher.s3.get_object

    def refuse(**request: Any) -> Any:
        if "ratings" not in request["Key"]:
            return read(**request)
        answer = {"Error": {"Code": code, "Message": message},
                  "ResponseMetadata": {"HTTPStatusCode": status}}  # fmt: skip
        raise ClientError(answer, "GetObject")  # type: ignore[arg-type]

    monkeypatch.setattr(launcher.s3, "get_object", refuse)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(("code", "message", "sentence"), LASTING)
def test_an_object_that_cannot_be_read_fails_its_run_at_once_with_the_reason(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch,
    code: str, message: str, sentence: str, packed: bool,
) -> None:  # fmt: skip
    trigger = cloud.drop("ml")
    if packed:
        cloud.s3.delete_object(Bucket="datasets", Key="ml/ratings.dat")
        cloud.put("ml/ratings.dat.gz", b"anything")
        sentence = sentence.replace("ratings.dat", "ratings.dat.gz")
    fails_to_read(monkeypatch, code, message)
    assert launcher.lambda_handler(trigger, CONTEXT) == {"batchItemFailures": []}
    (run,) = cloud.all_runs()
    assert run["state"] == "FAILED"
    assert sentence in run["reason"]
    assert cloud.clusters() == []


def test_an_archived_object_fails_its_run(cloud: Cloud) -> None:
    """As moto has it."""
    trigger = cloud.drop("ml")
    cloud.s3.put_object(
        Bucket="datasets", Key="ml/movies.dat", Body=b"1::Heat (1995)::Crime\n",
        StorageClass="DEEP_ARCHIVE",
    )  # fmt: skip
    assert launcher.lambda_handler(trigger, CONTEXT) == {"batchItemFailures": []}
    (run,) = cloud.all_runs()
    assert run["state"] == "FAILED"
    assert run["reason"].startswith("movies.dat is archived, so it cannot be read: restore it")


def test_archived_tags_fail_the_run_instead_of_being_left_out(cloud: Cloud) -> None:
    trigger = cloud.drop("ml")
    cloud.s3.put_object(
        Bucket="datasets", Key="ml/tags.dat", Body=b"1::1::x::0\n", StorageClass="GLACIER"
    )
    assert launcher.lambda_handler(trigger, CONTEXT) == {"batchItemFailures": []}
    (run,) = cloud.all_runs()
    assert run["reason"].startswith("tags.dat is archived, so it cannot be read")


@pytest.mark.parametrize(
    ("code", "status"),
    [("SlowDown", 503), ("InternalError", 500), ("KMS.ThrottlingException", 400),
     ("ExpiredToken", 400), ("RequestTimeTooSkewed", 403)],
)  # fmt: skip
def test_an_error_that_may_pass_does_not_fail_the_run(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, code: str, status: int
) -> None:
    trigger = cloud.drop("ml")
    fails_to_read(monkeypatch, code, "please try again", status)
    assert launcher.lambda_handler(trigger, CONTEXT)["batchItemFailures"] != []
    (run,) = cloud.all_runs()
    assert run["state"] == "CHECKING"
