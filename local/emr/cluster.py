"""The life of one fake cluster: its states, its steps, and the events of EMR."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from local.access import Access
from local.emr.metadata import InstanceMetadata, MetadataError, profile_credentials
from local.emr.step import MakeStep, Nodes, NodesError, StepError, StepRun

ENDED = frozenset({"TERMINATED", "TERMINATED_WITH_ERRORS"})
POLL_SECONDS = 0.1

type Emit = Callable[[str, dict[str, str], datetime], None]


@dataclass(frozen=True)
class Behaviour:
    """The behaviour of the fake EMR; by default without faults.

    Attributes:
        step: `runs` normally, `fails` without running, or `hangs` until the cluster is terminated.
        cluster: `lives`, `waits` for capacity until it is terminated, or dies while it starts or
            while its step runs. With `dies_once` the first cluster of a name dies while it starts.
        reason: replaces the usual reason of a failed step or a dead cluster.
        events: each is delivered `once`, `lost` or `doubled`; or all are delivered `backwards`
            after the end.
        throttled: number of requests of each action that are refused before one is answered, over
            and over, as EMR does if others in the account send many requests.
        answer: of RunJobFlow. With `lost` the cluster is launched and the connection closed; with
            `late` the connection stays open until the client has given up.
    """

    step: Literal["runs", "fails", "hangs"] = "runs"
    cluster: Literal["lives", "waits", "dies_starting", "dies_once", "dies_running"] = "lives"
    reason: str = ""
    events: Literal["once", "lost", "doubled", "backwards"] = "once"
    throttled: int = 0
    answer: Literal["given", "lost", "late"] = "given"


@dataclass
class Step:
    """A step and its state.

    Attributes:
        id: EMR's id.
        name: the launcher's name for it.
        arguments: the Args of its HadoopJarStep.
        action_on_failure: its ActionOnFailure.
        state: PENDING, RUNNING, COMPLETED, FAILED or CANCELLED.
        failure: FailureDetails of DescribeStep.
        timeline: times of its creation, start and end.
    """

    id: str
    name: str
    arguments: list[str]
    action_on_failure: str
    state: str = "PENDING"
    failure: dict[str, str] = field(default_factory=dict)
    timeline: dict[str, float] = field(default_factory=dict)

    def status(self) -> dict[str, Any]:
        """Return the Status of DescribeStep."""
        answer: dict[str, Any] = {
            "State": self.state,
            "StateChangeReason": {},
            "Timeline": self.timeline,
        }
        return answer | ({"FailureDetails": self.failure} if self.failure else {})


class _ClusterEndedError(Exception):
    """The cluster was terminated from outside."""


@dataclass
class Cluster:
    """A cluster and its state; `run` is its life, and `end` terminates it from any thread.

    Attributes:
        id: EMR's id.
        name: the launcher's name for it.
        log_uri: s3:// URI of its logs, or empty.
        profile: instance profile of its nodes, the JobFlowRole of RunJobFlow.
        steps: its steps in order.
        behaviour: its behaviour.
        folder: its folder on this machine.
        request: the RunJobFlow request.
        access: to the cloud.
        make_nodes: starts its nodes, which run its steps.
        spark: held while a step runs, because one machine runs one Spark at a time.
        emit: delivers an event.
        state: EMR's name for its state.
        reason: its StateChangeReason.
        timeline: times of its creation, readiness and end.
        held_back: events to deliver after its end.
        metadata: its nodes' instance metadata service, while there are nodes.
        make_step: runs a step, while there are nodes.
    """

    id: str
    name: str
    log_uri: str
    profile: str
    steps: list[Step]
    behaviour: Behaviour
    folder: Path
    request: Mapping[str, Any]
    access: Access
    make_nodes: Nodes
    spark: threading.Lock
    emit: Emit
    state: str = "STARTING"
    reason: dict[str, str] = field(default_factory=lambda: {"Code": "", "Message": ""})
    timeline: dict[str, float] = field(default_factory=dict)
    held_back: list[dict[str, Any]] = field(default_factory=list)
    metadata: InstanceMetadata = field(init=False)
    make_step: MakeStep = field(init=False)
    _ending: threading.Event = field(default_factory=threading.Event)

    def status(self) -> dict[str, Any]:
        """Return the Status of DescribeCluster."""
        return {"State": self.state, "StateChangeReason": self.reason, "Timeline": self.timeline}

    def end(self, code: str, message: str) -> None:
        """Terminate the cluster with a StateChangeReason."""
        if not self._ending.is_set():
            self.reason = {"Code": code, "Message": message}
            self._ending.set()

    def run(self) -> None:
        """Go through the states from STARTING to the end."""
        self._set_state("STARTING")
        for step in self.steps:
            self._set_step_state(step, "PENDING")
        try:
            if self.behaviour.cluster == "dies_starting":
                usual = "On the master instance, bootstrap action 1 failed"
                self.end("BOOTSTRAP_FAILURE", self.behaviour.reason or usual)
            with self._instance_metadata(), self._exclusive_spark():
                if self.behaviour.cluster == "waits":
                    self._ending.wait()
                self._raise_if_ended()
                self._set_state("BOOTSTRAPPING")
                with self._nodes() as self.make_step:
                    self._set_state("RUNNING")
                    for step in self.steps:
                        self._run_step(step)
            self.end("ALL_STEPS_COMPLETED", "Steps completed")
        except _ClusterEndedError:
            pass
        except Exception as error:  # outermost frame of the thread: every cluster must reach an end
            self.end("INTERNAL_ERROR", f"{type(error).__name__}: {error}")
        for step in self.steps:
            if step.state in {"PENDING", "RUNNING"}:
                self._set_step_state(step, "CANCELLED")
        self._set_state("TERMINATING")
        good = self.reason["Code"] in {"ALL_STEPS_COMPLETED", "USER_REQUEST"}
        self._set_state("TERMINATED" if good else "TERMINATED_WITH_ERRORS")

    @contextlib.contextmanager
    def _instance_metadata(self) -> Iterator[None]:
        try:
            credentials = profile_credentials(self.access, self.profile, self.id)
        except MetadataError as error:
            self.end("VALIDATION_ERROR", str(error))
            raise _ClusterEndedError from error
        with InstanceMetadata(credentials) as self.metadata:
            self.metadata.credentials()  # SDKs wait for one second; the first call may take longer
            yield

    @contextlib.contextmanager
    def _nodes(self) -> Iterator[MakeStep]:
        try:
            nodes = self.make_nodes(self.request, self.access, self.metadata, self.folder / "nodes")
            with nodes as make_step:
                yield make_step
        except NodesError as error:
            self.end("BOOTSTRAP_FAILURE", str(error))
            raise _ClusterEndedError from error

    @contextlib.contextmanager
    def _exclusive_spark(self) -> Iterator[None]:
        while not self.spark.acquire(timeout=POLL_SECONDS):
            self._raise_if_ended()
        try:
            self._raise_if_ended()
            yield
        finally:
            self.spark.release()

    def _raise_if_ended(self) -> None:
        if self._ending.is_set():
            raise _ClusterEndedError

    def _run_step(self, step: Step) -> None:
        """Run one step; its failure terminates the cluster if ActionOnFailure says so."""
        self._set_step_state(step, "RUNNING")
        failure = self._failure(step)
        if failure is None:
            self._set_step_state(step, "COMPLETED")
            return
        step.failure = failure
        self._set_step_state(step, "FAILED")
        if step.action_on_failure in {"TERMINATE_CLUSTER", "TERMINATE_JOB_FLOW"}:
            self.end("STEP_FAILURE", "Shut down as step failed")
            raise _ClusterEndedError

    def _failure(self, step: Step) -> dict[str, str] | None:
        """Run the step and return its FailureDetails, or None if it succeeded."""
        if self.behaviour.cluster == "dies_running":
            usual = "The master node was terminated by EC2"
            self.end("INSTANCE_FAILURE", self.behaviour.reason or usual)
            raise _ClusterEndedError
        if self.behaviour.step == "hangs":
            self._ending.wait()
            raise _ClusterEndedError
        if self.behaviour.step == "fails":
            usual = "Exception: this step fails on request"
            return {"Reason": "Unknown Error.", "Message": self.behaviour.reason or usual}
        return self._run_spark(step)

    def _run_spark(self, step: Step) -> dict[str, str] | None:
        run = self.make_step(step.arguments, self.folder / step.id)
        try:
            run.start()
            while (status := run.poll()) is None:
                if self._ending.wait(POLL_SECONDS):
                    raise _ClusterEndedError
        except StepError as error:
            return {"Reason": "Illegal Argument.", "Message": str(error)}
        finally:
            run.stop()
            log = self._put_logs(run, step)
        if status == 0:
            return None
        return {"Reason": "Unknown Error.", "Message": run.last_error(), "LogFile": log}

    def _put_logs(self, run: StepRun, step: Step) -> str:
        """Upload the step's output to S3 and return the URI of its standard error."""
        bucket, _, prefix = self.log_uri.removeprefix("s3://").partition("/")
        if not bucket:
            return ""
        prefix = f"{prefix.rstrip('/')}/{self.id}/steps/{step.id}/".lstrip("/")
        run.put_logs(bucket, prefix)
        return f"s3://{bucket}/{prefix}stderr.gz"

    def _set_state(self, state: str) -> None:
        now = datetime.now(UTC)
        self.state = state
        moments = {"STARTING": "CreationDateTime", "RUNNING": "ReadyDateTime"}
        if name := moments.get(state) or ("EndDateTime" if state in ENDED else None):
            self.timeline[name] = now.timestamp()
        severity = "CRITICAL" if state == "TERMINATED_WITH_ERRORS" else "INFO"
        reason = {"code": self.reason["Code"], "message": self.reason["Message"]}
        detail = {
            "severity": severity,
            "stateChangeReason": json.dumps(reason),
            "name": self.name,
            "clusterId": self.id,
            "state": state,
            "message": self._state_message(state, now),
        }
        self.emit("EMR Cluster State Change", detail, now)

    def _state_message(self, state: str, now: datetime) -> str:
        words = {
            "STARTING": "was requested",
            "TERMINATED": "has terminated",
            "TERMINATED_WITH_ERRORS": "has terminated with errors",
        }
        cluster = f"Amazon EMR Cluster {self.id} ({self.name})"
        message = f"{cluster} {words.get(state, f'is {state.lower()}')} at {_minute(now)}"
        reason = f" with a reason of {self.reason['Code']}" if state in ENDED else ""
        return f"{message}{reason}."

    def _set_step_state(self, step: Step, state: str) -> None:
        now = datetime.now(UTC)
        step.state = state
        moments = {"PENDING": "CreationDateTime", "RUNNING": "StartDateTime"}
        step.timeline[moments.get(state, "EndDateTime")] = now.timestamp()
        who = f"Step {step.id} ({step.name})"
        there = f"Amazon EMR cluster {self.id} ({self.name})"
        at = _minute(now)
        messages = {
            "PENDING": f"{who} was added to {there} at {at} and is pending execution.",
            "RUNNING": f"{who} in {there} started running at {at}.",
            "COMPLETED": f"{who} in {there} completed execution at {at}.",
            "FAILED": f"{who} in {there} failed at {at}.",
            "CANCELLED": f"{who} in {there} was cancelled at {at}.",
        }
        detail = {
            "severity": "ERROR" if state == "FAILED" else "INFO",
            "actionOnFailure": step.action_on_failure,
            "stepId": step.id,
            "name": step.name,
            "clusterId": self.id,
            "state": state,
            "message": messages[state],
        }
        self.emit("EMR Step Status Change", detail, now)


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
