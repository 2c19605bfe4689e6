"""Endpoints and credentials of a local cloud."""

import os
import threading
import urllib.request
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

REGION = "eu-central-1"
ACCOUNT = "123456789012"

_CREATING = threading.Lock()  # a session is not for several threads at once, its clients are


@dataclass(frozen=True)
class Access:
    """Endpoints and credentials of one cloud; by default those of the account's root user.

    Attributes:
        endpoint: URL of all services except EMR.
        emr_endpoint: URL of EMR.
        secret: secret access key, generated for this cloud.
        key: access key id.
        token: session token of temporary credentials.
    """

    endpoint: str
    emr_endpoint: str
    secret: str
    key: str = ACCOUNT
    token: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that AWS tools and SDKs read."""
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
        """Return a boto3 client of a service.

        Args:
            service: the service's name.
            endpoint: overrides the service's usual endpoint.
        """
        usual = self.emr_endpoint if service == "emr" else self.endpoint
        with _CREATING:
            return _session().client(
                service,
                endpoint_url=endpoint or usual,
                region_name=REGION,
                aws_access_key_id=self.key,
                aws_secret_access_key=self.secret,
                aws_session_token=self.token,
                config=Config(retries={"mode": "standard"}, s3={"addressing_style": "path"}),
            )


@cache
def _session() -> Any:  # boto3's types have an overload for each service, none for a name
    """Made once: it keeps the descriptions of services, which take a tenth of a second to load."""
    return boto3.Session()


def clean_environment() -> dict[str, str]:
    """Return this program's environment without variables that could lead to another cloud."""
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


def open_url(url: str | urllib.request.Request, timeout: float) -> Any:
    """Open a URL of this machine, bypassing any proxy."""
    return _opener().open(url, timeout=timeout)


@cache
def _opener() -> urllib.request.OpenerDirector:
    """Made once: each one reads all certificates of the machine."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))
