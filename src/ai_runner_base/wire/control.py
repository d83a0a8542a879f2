"""Messages of the control socket: one frozen dataclass each, as length-prefixed JSON. Never pickle.

Frame of a message: 4 bytes big-endian length, then that many bytes of UTF-8 JSON, an object with ``"type"``.
Within one `PROTOCOL_VERSION`, unknown keys are ignored and unknown types are an error. `Hello` comes first in
both directions and its shape never changes, so that two versions can always tell each other who they are.
"""

from __future__ import annotations

import dataclasses
import json
import struct
import types
import typing
from typing import Any

from ._errors import WireError

PROTOCOL_VERSION = 1
MAX_MESSAGE_BYTES = 1024 * 1024

_LENGTH = struct.Struct(">I")


@dataclasses.dataclass(frozen=True)
class Hello:
    """Both ways, first. Its shape is fixed for ever."""

    protocol: int
    package_version: str
    python_version: str = ""
    pid: int = 0


@dataclasses.dataclass(frozen=True)
class Load:
    """Runner → worker, second: import the pipeline and initialize it."""

    entry_point: str
    """``module:attribute`` of a `Pipeline`, a `FramePipeline` or a `PipelineSpec`."""
    slots: int
    params: dict[str, Any] | None = None
    """None: the pipeline's own initial parameters."""


@dataclasses.dataclass(frozen=True)
class Ready:
    """Worker → runner: initialized; frames are welcome."""

    params_schema: dict[str, Any]
    default_params: dict[str, Any]
    params: dict[str, Any]
    """What it was initialized with; the defaults where the wanted ones failed."""
    output_size: list[int] | None
    """(width, height) by the parameters in force; None: the pipeline does not say."""
    capabilities: list[str]
    initialize_error: str = ""
    """Why the first attempt, with the wanted parameters, failed."""


@dataclasses.dataclass(frozen=True)
class LoadFailed:
    """Worker → runner, then it exits."""

    message: str
    traceback: str = ""
    hint: str = ""


@dataclasses.dataclass(frozen=True)
class OpenSession:
    """Runner → worker: frames of this session will follow once the worker asks for them."""

    session: int
    request_id: str
    credits: int
    """How many frames the worker may ask for ahead."""


@dataclasses.dataclass(frozen=True)
class CloseSession:
    """Runner → worker: ask for no more, drop what is still to come."""

    session: int


@dataclasses.dataclass(frozen=True)
class UpdateParams:
    """Runner → worker: the complete parameters; what is left out falls back to the class's default."""

    request: int
    params: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class ParamsApplied:
    """Worker → runner: every frame from `from_seq` on sees the new parameters."""

    request: int
    from_seq: int
    params: dict[str, Any]
    output_size: list[int] | None = None
    reloading: bool = False
    """A long reload goes on; `Reloaded` will follow."""
    takes_frames: bool = True
    """False: during the reload no frame is asked for."""


@dataclasses.dataclass(frozen=True)
class ParamsRejected:
    """Worker → runner: the running parameters are untouched."""

    request: int
    errors: list[Any]
    """Pydantic's ``{"loc": [...], "msg": ..., "type": ...}``."""


@dataclasses.dataclass(frozen=True)
class ParamsFailed:
    """Worker → runner: valid, but the pipeline raised while taking them."""

    request: int
    message: str
    traceback: str = ""


@dataclasses.dataclass(frozen=True)
class Reloaded:
    """Worker → runner: the reload of `ParamsApplied.reloading` ended; a message means that it failed."""

    message: str = ""
    traceback: str = ""


@dataclasses.dataclass(frozen=True)
class Ping:
    """Runner → worker."""

    request: int


@dataclasses.dataclass(frozen=True)
class Pong:
    """Worker → runner, from its control thread: answered even while the pipeline blocks."""

    request: int
    frame_in_progress_s: float = 0.0
    """How long the pipeline has been busy with one frame; 0 when it is not."""
    loop_blocked_s: float = 0.0
    """How long the event loop has not run a callback."""


@dataclasses.dataclass(frozen=True)
class Reported:
    """Worker → runner: the pipeline raised for a frame, or logged with ``extra={"report_error": True}``."""

    message: str
    traceback: str = ""
    seq: int = 0
    suppressed: int = 0
    """Reports left out since the last one."""


@dataclasses.dataclass(frozen=True)
class Stop:
    """Runner → worker: stop the pipeline and exit."""

    limit_s: float


@dataclasses.dataclass(frozen=True)
class Stopped:
    """Worker → runner: the pipeline's ``stop`` has returned; the process ends now."""


ControlMessage = (
    Hello
    | Load
    | Ready
    | LoadFailed
    | OpenSession
    | CloseSession
    | UpdateParams
    | ParamsApplied
    | ParamsRejected
    | ParamsFailed
    | Reloaded
    | Ping
    | Pong
    | Reported
    | Stop
    | Stopped
)


def _accepted(annotation: Any) -> tuple[type, ...]:
    """The classes `isinstance` may meet for an annotation such as ``dict[str, Any] | None``."""
    if isinstance(annotation, types.UnionType):
        return tuple(kind for part in typing.get_args(annotation) for kind in _accepted(part))
    kind = typing.get_origin(annotation) or annotation
    return (int, float) if kind is float else (kind,)


_TYPES = {cls.__name__: cls for cls in typing.get_args(ControlMessage)}
_FIELDS = {
    cls: {name: _accepted(hint) for name, hint in typing.get_type_hints(cls).items()}
    for cls in _TYPES.values()
}


def encode(message: ControlMessage) -> bytes:
    """One message with its length in front.

    :raises WireError: it is larger than `MAX_MESSAGE_BYTES` or not JSON
    """
    content = {
        "type": type(message).__name__,
        **{name: getattr(message, name) for name in _FIELDS[type(message)]},
    }
    try:
        body = json.dumps(content, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise WireError(f"{type(message).__name__} cannot be written as JSON: {error}") from error
    if len(body) > MAX_MESSAGE_BYTES:
        raise WireError(f"{type(message).__name__} has {len(body)} bytes, more than {MAX_MESSAGE_BYTES}")
    return _LENGTH.pack(len(body)) + body


class Decoder:
    """Cuts a byte stream into messages. Holds at most one incomplete message."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> list[ControlMessage]:
        """Add bytes as they come, in chunks of any size.

        :returns: the messages that are complete now, in order
        :raises WireError: not our protocol; the stream cannot be used further
        """
        self._buffer += chunk
        messages: list[ControlMessage] = []
        while len(self._buffer) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._buffer)
            if size > MAX_MESSAGE_BYTES:
                raise WireError(
                    f"a control message of {size} bytes is announced, more than {MAX_MESSAGE_BYTES}"
                )
            end = _LENGTH.size + size
            if len(self._buffer) < end:
                break
            messages.append(_parse(bytes(self._buffer[_LENGTH.size : end])))
            del self._buffer[:end]
        return messages


def _parse(body: bytes) -> ControlMessage:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WireError(f"a control message is not JSON: {error}") from error
    cls = _TYPES.get(content.get("type")) if isinstance(content, dict) else None
    if cls is None:
        raise WireError(f"unknown control message {body[:80]!r}")
    fields = {name: content[name] for name in _FIELDS[cls] if name in content}
    for name, value in fields.items():
        if not _matches(value, _FIELDS[cls][name]):
            raise WireError(f"{cls.__name__}.{name} cannot be {value!r:.80}")
    try:
        return typing.cast(ControlMessage, cls(**fields))
    except TypeError as error:
        raise WireError(f"a control message is incomplete: {error}") from error


def _matches(value: Any, accepted: tuple[type, ...]) -> bool:
    """Whether JSON gave the right type; a bool is no int here."""
    return isinstance(value, accepted) and not (isinstance(value, bool) and bool not in accepted)
