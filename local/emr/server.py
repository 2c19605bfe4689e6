"""The fake EMR: its API on loopback, and clusters whose steps run on local Spark.

Every request is first forwarded to the emulator, which checks its signature and the caller's
permissions and keeps the description of the clusters. This module adds what the emulator lacks:
clusters that take time, steps that really run, and state changes as events of EventBridge.
"""

import http.client
import json
import logging
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from local import eventbridge
from local.access import Access
from local.emr.cluster import ENDED, Behaviour, Cluster, Step
from local.emr.step import Nodes, local_nodes

logger = logging.getLogger(__name__)
PAGE = 50  # clusters on a page of ListClusters
LATE_SECONDS = 60  # longer than any client waits for a response
PREFIX = "ElasticMapReduce."
UNKNOWN = "InvalidAction"  # the emulator's error for unsupported actions
THROTTLED = json.dumps({"__type": "ThrottlingException", "message": "Rate exceeded"}).encode()
# Actions that neither the emulator nor this module carries out; they are refused.
UNSUPPORTED = frozenset({"AddJobFlowSteps", "CancelSteps"})

type Answer = dict[str, Any]


class FakeEmr:
    """The EMR of one local cloud, until its `with` block ends.

    Attributes:
        behaviour: of clusters launched from now on; drills change it.
    """

    def __init__(
        self,
        access: Access,
        folder: Path,
        behaviour: Behaviour | None = None,
        nodes: Nodes = local_nodes,
    ):
        """Prepare to listen at the EMR endpoint of `access` and to keep files in `folder`."""
        self._nodes = nodes
        self.behaviour = behaviour or Behaviour()
        self._access = access
        self._folder = folder
        self._clusters: dict[str, Cluster] = {}
        self._security: dict[str, str] = {}
        self._threads: list[threading.Thread] = []
        self._spark = threading.Lock()
        self._refused: Counter[str] = Counter()
        self._closing = threading.Event()

    def __enter__(self) -> Self:
        """Start to listen."""
        where = urlsplit(self._access.emr_endpoint)
        handler = type("Handler", (_Handler,), {"emr": self})
        self._server = ThreadingHTTPServer((where.hostname or "", where.port or 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening and terminate all clusters, without events."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        for cluster in self._clusters.values():
            cluster.end("USER_REQUEST", "the local cloud ends")
        for thread in self._threads:
            thread.join()

    def wait_for_end(self, seconds: float) -> None:
        """Wait for some seconds, or until the fake EMR stops."""
        self._closing.wait(seconds)

    @property
    def clusters(self) -> list[Cluster]:
        """All clusters that were ever launched, newest first."""
        return [*reversed(self._clusters.values())]

    def throttles(self, action: str) -> bool:
        """Whether to refuse a request because of throttling."""
        if self._refused[action] < self.behaviour.throttled:
            self._refused[action] += 1
            return True
        self._refused[action] = 0
        return False

    def answer(self, action: str, request: Answer, emulated: Answer) -> Answer:
        """Carry out a request and return EMR's response.

        Args:
            action: the action's name.
            request: the request's body.
            emulated: the emulator's response to it.
        """
        match action:
            case "RunJobFlow":
                self._launch(emulated["JobFlowId"], request)
            case "TerminateJobFlows":
                for id in request["JobFlowIds"]:
                    if id in self._clusters:
                        self._clusters[id].end("USER_REQUEST", "Terminated by user request")
            case "DescribeCluster":
                emulated["Cluster"]["Status"] = self._clusters[request["ClusterId"]].status()
            case "ListClusters":
                return self._list_clusters(request)
            case "DescribeStep":
                emulated["Step"]["Status"] = self._steps(request)[request["StepId"]].status()
            case "ListSteps":
                return {"Steps": self._list_steps(request)}
        return emulated

    def answer_alone(self, action: str, request: Answer) -> Answer | None:
        """Carry out a request that the emulator does not support.

        Returns:
            EMR's response, or None if this module does not support the action either.

        Raises:
            ValueError: EMR would refuse the request; the message is EMR's.
        """
        name = request.get("Name", "")
        match action:
            case "CreateSecurityConfiguration":
                if name in self._security:
                    raise ValueError(f"Security configuration with name '{name}' already exists.")
                self._security[name] = request["SecurityConfiguration"]
            case "ListSecurityConfigurations":
                return {"SecurityConfigurations": [{"Name": each} for each in self._security]}
            case "DescribeSecurityConfiguration" | "DeleteSecurityConfiguration":
                if name not in self._security:
                    raise ValueError(f"Security configuration with name '{name}' does not exist.")
                if action == "DeleteSecurityConfiguration":
                    del self._security[name]
                    return {}
            case _:
                return None
        return {"Name": name, "SecurityConfiguration": self._security[name]}

    def _launch(self, cluster_id: str, request: Answer) -> None:
        """Start the cluster that the emulator has just recorded."""
        emulator = self._access.client("emr", self._access.endpoint)
        recorded = emulator.describe_cluster(ClusterId=cluster_id)["Cluster"]
        steps = [
            Step(each["Id"], each["Name"], each["Config"]["Args"], each["ActionOnFailure"])
            for each in emulator.list_steps(ClusterId=cluster_id)["Steps"]
        ]
        behaviour = self.behaviour
        if behaviour.cluster == "dies_once":
            is_first = all(each.name != recorded["Name"] for each in self.clusters)
            behaviour = replace(behaviour, cluster="dies_starting" if is_first else "lives")
        cluster = Cluster(
            id=cluster_id,
            name=recorded["Name"],
            log_uri=recorded.get("LogUri", ""),
            profile=recorded["Ec2InstanceAttributes"]["IamInstanceProfile"],
            steps=steps,
            behaviour=behaviour,
            folder=self._folder / cluster_id,
            request=request,
            make_nodes=self._nodes,
            access=self._access,
            spark=self._spark,
            emit=self._emit,
        )
        self._clusters[cluster_id] = cluster
        self._threads.append(threading.Thread(target=cluster.run, name=cluster_id))
        self._threads[-1].start()

    def _emit(self, detail_type: str, detail: dict[str, str], at: Any) -> None:
        cluster = self._clusters[detail["clusterId"]]
        times = {"once": 1, "lost": 0, "doubled": 2, "backwards": 1}[cluster.behaviour.events]
        if self._closing.is_set():
            return
        event = eventbridge.event(detail_type, detail, at)
        waiting = [event] * times
        if cluster.behaviour.events == "backwards":
            cluster.held_back.append(event)
            waiting = cluster.held_back[::-1] if cluster.state in ENDED else []
        try:
            for each in waiting:
                eventbridge.deliver(self._access, each)
        except Exception:  # as on AWS, delivery is best effort
            logger.exception("an event of EMR was not delivered: %s", json.dumps(event))

    def _list_clusters(self, request: Answer) -> Answer:
        states = set(request.get("ClusterStates") or [])
        after, before = request.get("CreatedAfter", 0), request.get("CreatedBefore", float("inf"))
        found = [
            {"Id": each.id, "Name": each.name, "Status": each.status()}
            for each in self.clusters
            if (not states or each.state in states)
            and after <= each.timeline.get("CreationDateTime", after) <= before
        ]
        start = int(request.get("Marker") or 0)
        answer: Answer = {"Clusters": found[start : start + PAGE]}
        return answer | ({"Marker": str(start + PAGE)} if len(found) > start + PAGE else {})

    def _steps(self, request: Answer) -> dict[str, Step]:
        return {step.id: step for step in self._clusters[request["ClusterId"]].steps}

    def _list_steps(self, request: Answer) -> list[Answer]:
        """Return the steps newest first, as EMR does."""
        states = set(request.get("StepStates") or [])
        wanted = set(request.get("StepIds") or [])
        return [
            {
                "Id": step.id,
                "Name": step.name,
                "Config": {"Jar": "command-runner.jar", "Args": step.arguments},
                "ActionOnFailure": step.action_on_failure,
                "Status": step.status(),
            }
            for step in reversed(self._steps(request).values())
            if (not states or step.state in states) and (not wanted or step.id in wanted)
        ]

    def forward(self, headers: Mapping[str, str], body: bytes) -> tuple[int, str, bytes]:
        """Forward a request unchanged and return status, content type and body."""
        where = urlsplit(self._access.endpoint)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
        try:
            connection.putrequest("POST", "/", skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.getheader("Content-Type", ""), answer.read()
        finally:
            connection.close()


class _Handler(BaseHTTPRequestHandler):
    """One request of EMR's JSON protocol."""

    emr: FakeEmr
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        action = self.headers.get("X-Amz-Target", "").removeprefix(PREFIX)
        if self.emr.throttles(action):
            self._send(400, "application/x-amz-json-1.1", THROTTLED)
            return
        status, content_type, text = self.emr.forward(dict(self.headers), body)
        if status == 200:
            if action in UNSUPPORTED:
                message = f"the local cloud does not support {action}"
                error = {"__type": "InvalidRequestException", "message": message}
                status, text = 400, json.dumps(error).encode()
            else:
                answer = self.emr.answer(action, json.loads(body or b"{}"), json.loads(text))
                text = json.dumps(answer).encode()
        elif UNKNOWN.encode() in text:
            status, text = self._answer_alone(action, json.loads(body or b"{}"), status, text)
        if action == "RunJobFlow" and self.emr.behaviour.answer != "given":
            if self.emr.behaviour.answer == "late":
                self.emr.wait_for_end(LATE_SECONDS)
            self.close_connection = True
            return
        self._send(status, content_type, text)

    def _send(self, status: int, content_type: str, text: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _answer_alone(
        self, action: str, request: Answer, status: int, text: bytes
    ) -> tuple[int, bytes]:
        """Return status and body for a request that the emulator does not support."""
        try:
            answer = self.emr.answer_alone(action, request)
        except ValueError as error:
            refusal = {"__type": "InvalidRequestException", "message": str(error)}
            return 400, json.dumps(refusal).encode()
        return (status, text) if answer is None else (200, json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        """Do not log requests."""
