"""The states of a run, and which of them may follow which."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Self


class State(StrEnum):
    """The state of a run.

    Attributes:
        label: the state in words, for people.
        is_final: whether the run stays in it unless an operator or a later run moves it.
    """

    _value_: str
    label: str
    is_final: bool

    CHECKING = "CHECKING", "checking the folder"  # nothing is paid for yet
    LAUNCHING = "LAUNCHING", "requesting a cluster"
    STARTING = "STARTING", "the cluster is starting"
    RUNNING = "RUNNING", "Spark is computing"
    INDEXING = "INDEXING", "loading the index"
    LIVE = "LIVE", "serving the API", True
    SUPERSEDED = "SUPERSEDED", "a later run is live", True
    FAILED = "FAILED", "failed, see its reason", True  # or was held back

    def __new__(cls, name: str, label: str, is_final: bool = False) -> Self:
        """Make a state from its row above."""
        state = str.__new__(cls, name)
        state._value_, state.label, state.is_final = name, label, is_final
        return state


# EMR events may be lost or late, so a run may skip STARTING and RUNNING.
NEXT: Mapping[State, frozenset[State]] = {
    State.CHECKING: frozenset({State.LAUNCHING, State.FAILED}),
    State.LAUNCHING: frozenset({State.STARTING, State.RUNNING, State.INDEXING, State.FAILED}),
    State.STARTING: frozenset({State.RUNNING, State.INDEXING, State.FAILED}),
    State.RUNNING: frozenset({State.INDEXING, State.FAILED}),
    State.INDEXING: frozenset({State.LIVE, State.SUPERSEDED, State.FAILED}),
    State.LIVE: frozenset({State.SUPERSEDED, State.INDEXING}),  # INDEXING only by an operator
    State.SUPERSEDED: frozenset({State.LIVE, State.INDEXING}),  # only by an operator
    State.FAILED: frozenset({State.INDEXING}),  # only by an operator, if the run was held back
}

BEFORE_LAUNCH = frozenset({State.CHECKING, State.LAUNCHING})
ON_CLUSTER = frozenset({State.LAUNCHING, State.STARTING, State.RUNNING})
FINAL = frozenset(state for state in State if state.is_final)
