"""One family of errors: whose fault it was, what value broke which rule, what to do next.

Every error that a person can meet is a `RunnerError`. The command line prints `message` and `hint` on one
line each and exits with `exit_code`; the server answers with `http_status`; the traceback shows only with `-v`.
"""

from __future__ import annotations

import enum


class Fault(enum.Enum):
    """Who can repair it."""

    CALLER = "caller"
    """The request, argument or file that was given."""
    PIPELINE = "pipeline"
    """The pipeline's own code."""
    PEER = "peer"
    """The other end of a network connection."""
    HOST = "host"
    """This machine: missing GPU, full disk, missing package."""
    RUNNER = "runner"
    """This program. Please report it."""


class RunnerError(Exception):
    """Base of all errors with a message for people.

    :param message: what happened, with the offending value and the rule it broke; no trailing full stop needed
    :param hint: what to do next, as a sentence in the imperative; may be empty
    """

    fault: Fault = Fault.RUNNER
    http_status: int = 500
    exit_code: int = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class CallerError(RunnerError):
    """A request, argument or file that cannot be served as given (HTTP 400, exit code 2)."""

    fault = Fault.CALLER
    http_status = 400
    exit_code = 2


class PipelineError(RunnerError):
    """The pipeline's code raised, or broke the plug-in contract.

    :param remote_traceback: the worker's traceback as text; never an exception object from another interpreter
    """

    fault = Fault.PIPELINE
    exit_code = 3

    def __init__(self, message: str, *, hint: str = "", remote_traceback: str = "") -> None:
        super().__init__(message, hint=hint)
        self.remote_traceback = remote_traceback


class PeerError(RunnerError):
    """The other end of a connection broke the protocol, refused us or went away."""

    fault = Fault.PEER
    exit_code = 4


class HostError(RunnerError):
    """This machine lacks something: a GPU, a driver, disk, a package, an environment."""

    fault = Fault.HOST
    exit_code = 5


class CapacityError(RunnerError):
    """Every worker is busy.

    Orchestrators recognise the words ``insufficient capacity`` in an HTTP 500 and try another runner
    (go-livepeer, server/ai_process.go); any other status would count as a start or as the caller's fault.
    """

    fault = Fault.HOST
    exit_code = 6

    def __init__(self, detail: str) -> None:
        super().__init__(f"insufficient capacity: {detail}", hint="stop a stream or add workers")
