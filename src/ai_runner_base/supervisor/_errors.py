"""Errors of this room, beyond the family's own."""

from __future__ import annotations

from typing import Any

from ..errors import CallerError, PipelineError


class WorkerFailed(PipelineError):  # noqa: N818 - a fact about a worker, by its name in the docs
    """A worker process ended, hung, or never became ready.

    :param log_tail: the last lines it wrote
    """

    def __init__(self, message: str, *, hint: str = "", log_tail: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint, remote_traceback="\n".join(log_tail))
        self.log_tail = log_tail


class ParamsRejected(CallerError):  # noqa: N818 - the counterpart of `ParamsApplied`
    """The pipeline's parameter class refused the values; the running ones are untouched.

    :param errors: pydantic's ``{"loc": [...], "msg": ..., "type": ...}``, one for each broken rule
    """

    def __init__(self, message: str, *, hint: str = "", errors: tuple[dict[str, Any], ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.errors = errors
