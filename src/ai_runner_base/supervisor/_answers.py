"""What a worker said, or failed to say, as values and errors for people."""

from __future__ import annotations

from collections.abc import Sequence

from .. import __version__
from ..errors import HostError, PipelineError
from ..wire import PROTOCOL_VERSION, control
from ._errors import ParamsRejected, WorkerFailed
from ._options import WorkerSpec


def output_size(size: Sequence[int] | None) -> tuple[int, int] | None:
    """(width, height) from a message."""
    return (size[0], size[1]) if size is not None and len(size) == 2 else None


def applied(answer: control.ControlMessage) -> control.ParamsApplied:
    """The answer to `control.UpdateParams`, if it is a good one.

    :raises ParamsRejected: a rule was broken
    :raises PipelineError: the pipeline raised
    """
    match answer:
        case control.ParamsApplied():
            return answer
        case control.ParamsRejected(_, errors):
            rules = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in errors)
            raise ParamsRejected(f"invalid parameters: {rules}", errors=tuple(errors))
        case control.ParamsFailed(_, message, trace):
            raise PipelineError(
                f"the pipeline failed to take its parameters: {message}", remote_traceback=trace
            )
    raise WorkerFailed(f"the worker answered with a {type(answer).__name__}")


def version_error(spec: WorkerSpec, hello: control.Hello) -> HostError:
    """The worker speaks another protocol."""
    return HostError(
        f"{spec.name!r} brings ai-runner-base {hello.package_version}, which speaks protocol"
        f" {hello.protocol}; this runner is {__version__} and speaks protocol {PROTOCOL_VERSION}",
        hint=f"update ai-runner-base in {spec.prefix}, or this runner, so that both have the same version",
    )


def missing_package(spec: WorkerSpec, tail: Sequence[str]) -> HostError | None:
    """The one early end that has a better explanation than its exit code."""
    if not any("No module named" in line and "ai_runner_base" in line for line in tail):
        return None
    return HostError(
        f"the environment of {spec.name!r} has no ai-runner-base: {spec.prefix}",
        hint="add ai-runner-base to the run requirements of its recipe",
    )
