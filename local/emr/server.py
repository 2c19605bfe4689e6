"""Plays EMR: its API on loopback, and behind it clusters whose steps are run by local Spark.

Every request goes to the emulator first, as it came: there its signature and the caller's rights
are checked, and there the description of clusters is kept. What the emulator cannot do is played
here: clusters that take time, steps that really run, state changes that are told to EventBridge.
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
PAGE = 50  # as many clusters as a page of ListClusters has
LATE_SECONDS = 60  # more than anybody waits for an answer
PREFIX = "ElasticMapReduce."
UNKNOWN = "InvalidAction"  # what the emulator says of actions that it does not know
THROTTLED = json.dumps({"__type": "ThrottlingException", "message": "Rate exceeded"}).encode()
# What would have to be played and is not: refused, rather than answered by the emulator alone.
UNSUPPORTED = frozenset({"AddJobFlowSteps", "CancelSteps"})

type Answer = dict[str, Any]


class FakeEmr:
    """EMR of one local cloud, from `with` to the end of its block.

    Attributes:
        behaviour: how clusters that are launched from now on behave; drills set it.
        launched: how many clusters were launched.
    """

    def __init__(
        self,
        access: Access,
        folder: Path,
        behaviour: Behaviour | None = None,
        nodes: Nodes = local_nodes,
    ):
        """Make one that will listen at the access's EMR endpoint and keep its files in `folder`."""
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
        """Listen."""
        where = urlsplit(self._access.emr_endpoint)
        handler = type("Handler", (_Handler,), {"emr": self})
        self._server = ThreadingHTTPServer((where.hostname or "", where.port or 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening and end every cluster; nobody is told of it any more."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        for cluster in self._clusters.values():
            cluster.end("USER_REQUEST", "the local cloud ends")
        for thread in self._threads:
            thread.join()

    def wait_for_end(self, seconds: float) -> None:
        """Return after so many seconds, or when the player ends."""
        self._closing.wait(seconds)

    @property
    def clusters(self) -> list[Cluster]:
        """All that were ever launched, the newest first."""
        return [*reversed(self._clusters.values())]

    def throttles(self, action: str) -> bool:
        """Whether a request is refused because EMR has too much to do."""
        if self._refused[action] < self.behaviour.throttled:
            self._refused[action] += 1
            return True
        self._refused[action] = 0
        return False

    def answer(self, action: str, request: Answer, said: Answer) -> Answer:
        """What EMR answers, given what the emulator said to the same request."""
        match action:
            case "RunJobFlow":
                self._launch(said["JobFlowId"], request)
            case "TerminateJobFlows":
                for id in request["JobFlowIds"]:
                    if id in self._clusters:
                        self._clusters[id].end("USER_REQUEST", "Terminated by user request")
            case "DescribeCluster":
                said["Cluster"]["Status"] = self._clusters[request["ClusterId"]].status()
            case "ListClusters":
                return self._list_clusters(request)
            case "DescribeStep":
                said["Step"]["Status"] = self._steps(request)[request["StepId"]].status()
            case "ListSteps":
                return {"Steps": self._list_steps(request)}
        return said

    def answer_alone(self, action: str, request: Answer) -> Answer | None:
        """What EMR answers where the emulator has no answer; None where neither has one.

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
        """Play the cluster that the emulator has just noted."""
        emulator = self._access.client("emr", self._access.endpoint)
        noted = emulator.describe_cluster(ClusterId=cluster_id)["Cluster"]
        steps = [
            Step(each["Id"], each["Name"], each["Config"]["Args"], each["ActionOnFailure"])
            for each in emulator.list_steps(ClusterId=cluster_id)["Steps"]
        ]
        behaviour = self.behaviour
        if behaviour.cluster == "dies_once":
            is_first = all(each.name != noted["Name"] for each in self.clusters)
            behaviour = replace(behaviour, cluster="dies_starting" if is_first else "lives")
        cluster = Cluster(
            id=cluster_id,
            name=noted["Name"],
            log_uri=noted.get("LogUri", ""),
            profile=noted["Ec2InstanceAttributes"]["IamInstanceProfile"],
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
        except Exception:  # as in AWS: state changes are told as well as can be
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
        """The newest first, as EMR lists them."""
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
        """Send a request to the emulator as it came; returns status, content type and body."""
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
                message = f"the local cloud does not play {action}"
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
        """Status and body for what the emulator did not understand."""
        try:
            answer = self.emr.answer_alone(action, request)
        except ValueError as error:
            refusal = {"__type": "InvalidRequestException", "message": str(error)}
            return 400, json.dumps(refusal).encode()
        return (status, text) if answer is None else (200, json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        """Requests are not worth a line."""
