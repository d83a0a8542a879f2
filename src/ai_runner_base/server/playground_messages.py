"""What a playground page and the runner say to each other (docs/playground.md has the same in words)."""

from __future__ import annotations

import json
import struct
from typing import Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import CallerError

PROTOCOL = "ai-runner.playground.1"
"""Offered as WebSocket subprotocol; the number counts incompatible changes."""

PICTURE, ACKNOWLEDGEMENT, NOTE = 1, 2, 3
WAITING_PICTURE = 1
_HEADER = struct.Struct("<BBHIq")
_NO_FLAGS = 0
MAX_SDP_CHARACTERS = 64 << 10

ModelT = TypeVar("ModelT", bound=BaseModel)


class Binary(NamedTuple):
    """A picture, the answer to one, or a note about one that goes by WebRTC.

    :param seq: the frame's number in the stream; 0 when unknown, and in pictures from the page
    :param time_us: when the page took the input picture, on its own clock
    :param jpeg: in pictures only
    """

    kind: int
    seq: int
    time_us: int
    jpeg: bytes = b""
    flags: int = _NO_FLAGS

    def encode(self) -> bytes:
        """Return the message: 16 bytes of header, then the JPEG."""
        return _HEADER.pack(self.kind, self.flags, 0, self.seq & 0xFFFFFFFF, self.time_us) + self.jpeg

    @classmethod
    def decode(cls, data: bytes) -> Binary:
        """Read a message.

        :raises CallerError: too short, of an unknown kind, or with a time before the clock's zero
        """
        if len(data) < _HEADER.size:
            raise CallerError(f"a binary message of {len(data)} bytes; the header alone has {_HEADER.size}")
        kind, flags, _, seq, time_us = _HEADER.unpack_from(data)
        if kind not in (PICTURE, ACKNOWLEDGEMENT):
            raise CallerError(f"a binary message of kind {kind}; known are {PICTURE} and {ACKNOWLEDGEMENT}")
        if time_us < 0:
            raise CallerError(f"a picture's time must not be negative, got {time_us}")
        return cls(kind, seq, time_us, data[_HEADER.size :], flags)


class Start(BaseModel):
    """First message: which pipeline, with which parameters."""

    model_config = ConfigDict(extra="ignore")

    type: str = Field(pattern="^start$")
    pipeline: str = Field("", max_length=200)
    params: dict[str, Any] = Field(default_factory=dict)
    token: str = Field("", max_length=1000)


class Watch(BaseModel):
    """First message of a page that only looks: at which stream."""

    model_config = ConfigDict(extra="ignore")

    type: str = Field(pattern="^watch$")
    stream: str = Field(max_length=200)
    token: str = Field("", max_length=1000)


class Offer(BaseModel):
    """A WebRTC offer. `n` comes back with the answer."""

    model_config = ConfigDict(extra="ignore")

    n: int
    sdp: str = Field(max_length=MAX_SDP_CHARACTERS)


class Candidates(BaseModel):
    """A trickle ICE fragment (RFC 8840)."""

    model_config = ConfigDict(extra="ignore")

    sdp: str = Field(max_length=MAX_SDP_CHARACTERS)


class Way(BaseModel):
    """How results shall come."""

    model_config = ConfigDict(extra="ignore")

    way: Literal["jpeg", "webrtc"]


class Params(BaseModel):
    """New parameters, the complete set. `n` comes back in the answer."""

    model_config = ConfigDict(extra="ignore")

    n: int
    params: dict[str, Any]


def parse_json(text: str) -> dict[str, Any]:
    """Read a text message.

    :raises CallerError: it is not a JSON object
    """
    try:
        message = json.loads(text)
    except ValueError as error:
        raise CallerError(f"a text message that is not JSON: {error}") from error
    if not isinstance(message, dict):
        raise CallerError(f"a text message must be a JSON object, got {type(message).__name__}")
    return message


def parse(model: type[ModelT], message: dict[str, Any]) -> ModelT:
    """Check a message against its model.

    :raises CallerError: naming every broken rule
    """
    try:
        return model.model_validate(message)
    except ValidationError as error:
        broken = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise CallerError(f"a message that cannot be used: {broken}") from error


def refusal(code: str, error: CallerError | Exception, **more: Any) -> dict[str, Any]:
    """Say no, with the reason for a person and a code for the page."""
    message = getattr(error, "message", None) or str(error)
    return {"type": "refused", "code": code, "message": message, "hint": getattr(error, "hint", ""), **more}
