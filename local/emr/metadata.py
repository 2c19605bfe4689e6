"""A fake EC2 instance metadata service, from which a cluster's nodes get their credentials.

AWS SDKs request credentials from it if they find none elsewhere;
`AWS_EC2_METADATA_SERVICE_ENDPOINT` leads them here. It supports version 2 of the protocol only, as
the clusters' security configuration demands: requests without a session token are refused.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html
"""

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from local.access import ACCOUNT, REGION, Access

logger = logging.getLogger(__name__)
SERVICE = "ec2.amazonaws.com"
SESSION_SECONDS = 3600  # the default maximum session duration of a role
MAX_TOKEN_SECONDS = 21600
INSTANCE = "i-00000000000000000"
_CREDENTIALS = "/latest/meta-data/iam/security-credentials/"


class MetadataError(Exception):
    """An instance profile gives a node no credentials; the message says why."""


@dataclass(frozen=True)
class Credentials:
    """Temporary credentials of a role.

    Attributes:
        role: the role's name.
        access_key: access key id.
        secret_key: secret access key.
        token: session token.
        issued: when the session began.
        expires: when the session ends.
    """

    role: str
    access_key: str
    secret_key: str
    token: str
    issued: datetime
    expires: datetime

    @property
    def is_fresh(self) -> bool:
        """Whether half of the session is left; SDKs refresh 15 minutes before the end."""
        return datetime.now(UTC) < self.issued + (self.expires - self.issued) / 2


def profile_credentials(access: Access, profile: str, session: str) -> Callable[[], Credentials]:
    """Return a function that gets credentials of an instance profile's role from STS.

    On AWS, EC2 assumes the role. The emulator cannot act as EC2, so its root user assumes the role,
    and this function checks that the role trusts EC2.

    Args:
        access: to the cloud.
        profile: name or ARN, the JobFlowRole of RunJobFlow.
        session: name of the session.

    Raises:
        MetadataError: the profile does not exist, or its role does not trust EC2.
    """
    iam, name = access.client("iam"), profile.rpartition("/")[2]
    try:
        roles = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"]
    except iam.exceptions.NoSuchEntityException as error:
        raise MetadataError(f"Invalid InstanceProfile: {profile}.") from error
    if not roles or not _trusts_ec2(roles[0]["AssumeRolePolicyDocument"]):
        raise MetadataError(f"Instance profile {profile} has no role that {SERVICE} may assume")
    role = roles[0]

    def assume() -> Credentials:
        issued = datetime.now(UTC)
        answer = access.client("sts").assume_role(
            RoleArn=role["Arn"], RoleSessionName=session, DurationSeconds=SESSION_SECONDS
        )
        given = answer["Credentials"]
        return Credentials(
            role=role["RoleName"],
            access_key=given["AccessKeyId"],
            secret_key=given["SecretAccessKey"],
            token=given["SessionToken"],
            issued=issued,
            expires=given["Expiration"],
        )

    return assume


def _trusts_ec2(policy: dict[str, Any]) -> bool:
    """Whether a trust policy names EC2."""
    trusted: list[str] = []
    for statement in policy["Statement"]:
        services = statement.get("Principal", {}).get("Service", [])
        if statement["Effect"] == "Allow":
            trusted += [services] if isinstance(services, str) else services
    return SERVICE in trusted


class InstanceMetadata:
    """The service of one instance, until its `with` block ends.

    Attributes:
        outage: while True, every request is answered with 503.
        refused: number of these requests.
    """

    def __init__(self, credentials: Callable[[], Credentials], region: str = REGION):
        """Prepare to serve what `credentials` returns, renewed before it expires."""
        self.outage = False
        self.refused = 0
        self._new_credentials = credentials
        self._region = region
        self._held: Credentials | None = None
        self._lock = threading.Lock()
        self._tokens: dict[str, float] = {}

    def __enter__(self) -> Self:
        """Listen on loopback."""
        handler = type("Handler", (_Handler,), {"service": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        """The value of AWS_EC2_METADATA_SERVICE_ENDPOINT."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def session_token(self, seconds: str) -> tuple[int, str]:
        """Return status and body for a request for a session token with a lifetime."""
        if not seconds.isdecimal() or not 1 <= int(seconds) <= MAX_TOKEN_SECONDS:
            return 400, "Bad Request"
        token = secrets.token_urlsafe()
        self._tokens[token] = time.monotonic() + int(seconds)
        return 200, token

    def get(self, path: str, token: str) -> tuple[int, str]:
        """Return status and body for a GET request with a session token."""
        if time.monotonic() >= self._tokens.get(token, 0):
            return 401, "Unauthorized"
        zone = f"{self._region}a"
        identity = {"accountId": ACCOUNT, "instanceId": INSTANCE}
        known = {
            "/latest/meta-data/instance-id": INSTANCE,
            "/latest/meta-data/placement/region": self._region,
            "/latest/meta-data/placement/availability-zone": zone,
            "/latest/dynamic/instance-identity/document": json.dumps(
                identity | {"availabilityZone": zone, "region": self._region}
            ),
        }
        if path in known:
            return 200, known[path]
        folder, _, role = f"{path.rstrip('/')}/".partition(_CREDENTIALS)
        return (404, "Not Found") if folder else self._get_credentials(role.rstrip("/"))

    def _get_credentials(self, role: str) -> tuple[int, str]:
        """Return the role's name if `role` is empty, or the role's credentials."""
        try:
            credentials = self.credentials()
        except ClientError as error:  # EC2's answer for a role that it may not assume
            answer = {"Code": "AssumeRoleUnauthorizedAccess", "Message": str(error)}
            return 200, json.dumps(answer | {"LastUpdated": _moment(datetime.now(UTC))})
        except BotoCoreError:
            logger.exception("STS does not answer")
            return 503, ""
        if role in ("", credentials.role):
            return 200, _document(credentials) if role else credentials.role
        return 404, "Not Found"

    def credentials(self) -> Credentials:
        """Return the current credentials, renewed if half of their session is over."""
        with self._lock:
            if self._held is None or not self._held.is_fresh:
                self._held = self._new_credentials()
            return self._held


def _document(credentials: Credentials) -> str:
    return json.dumps(
        {
            "Code": "Success",
            "LastUpdated": _moment(credentials.issued),
            "Type": "AWS-HMAC",
            "AccessKeyId": credentials.access_key,
            "SecretAccessKey": credentials.secret_key,
            "Token": credentials.token,
            "Expiration": _moment(credentials.expires),
        }
    )


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


class _Handler(BaseHTTPRequestHandler):
    """One request of an SDK."""

    service: InstanceMetadata
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # otherwise 40 ms pass between head and body

    def do_PUT(self) -> None:
        if self.path != "/latest/api/token":
            return self._answer(404, "Not Found")
        seconds = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        status, text = self.service.session_token(seconds)
        return self._answer(status, text, seconds)

    def do_GET(self) -> None:
        token = self.headers.get("X-aws-ec2-metadata-token", "")
        self._answer(*self.service.get(self.path, token))

    def _answer(self, status: int, text: str, seconds: str = "") -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.service.outage:
            self.service.refused += 1
            status, text = 503, ""
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        if status == 200 and seconds:
            self.send_header("X-aws-ec2-metadata-token-ttl-seconds", seconds)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Do not log requests."""
