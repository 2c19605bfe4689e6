"""How to reach a local cloud, and as whom."""

import os
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

REGION = "eu-central-1"
ACCOUNT = "123456789012"


@dataclass(frozen=True)
class Access:
    """One cloud's endpoints and credentials, of its account's root user if no other is named.

    Attributes:
        endpoint: URL of every service but EMR.
        emr_endpoint: URL of EMR.
        secret: secret key, made for this cloud alone.
        key: id of the key.
        token: of the session, where the credentials are temporary.
    """

    endpoint: str
    emr_endpoint: str
    secret: str
    key: str = ACCOUNT
    token: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What AWS tools and SDKs read from the environment."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ENDPOINT_URL_EMR": self.emr_endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            **({"AWS_SESSION_TOKEN": self.token} if self.token else {}),
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }

    def client(self, service: str, endpoint: str | None = None) -> Any:
        """A boto3 client of a service, by its usual endpoint unless another is named."""
        usual = self.emr_endpoint if service == "emr" else self.endpoint
        # Any service by its name: the types know each by a name of its own.
        make: Any = boto3.Session().client
        return make(
            service,
            endpoint_url=endpoint or usual,
            region_name=REGION,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            aws_session_token=self.token,
            config=Config(retries={"mode": "standard"}, s3={"addressing_style": "path"}),
        )


def clean_environment() -> dict[str, str]:
    """This program's environment without what would lead a tool elsewhere than to the cloud."""
    foreign = ("AWS_", "SAM_", "PYTHON", "MINISTACK_", "LOCALSTACK_", "SPARK_", "PYSPARK_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    kept.pop("VIRTUAL_ENV", None)
    return kept | {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
