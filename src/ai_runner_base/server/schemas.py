"""The requests and answers of the HTTP API; the same models validate, answer and document.

Shapes and defaults of the Livepeer routes are the network's (live runner contract 1.1 to 1.4). Requests ignore keys
they do not know, since gateways of other versions send more.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

REQUIRED_URL = r"^https?://.+"
OPTIONAL_URL = r"^(https?://.+)?$"


class LiveVideoToVideoParams(BaseModel):
    """Start one stream: read `subscribe_url`, write `publish_url`."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    subscribe_url: str = Field(
        pattern=REQUIRED_URL,
        description="trickle channel to read",
        examples=["http://127.0.0.1:8000/ai/trickle/in"],
    )
    publish_url: str = Field(
        pattern=REQUIRED_URL,
        description="trickle channel to write",
        examples=["http://127.0.0.1:8000/ai/trickle/out"],
    )
    control_url: str = Field(
        "", pattern=OPTIONAL_URL, description="trickle channel with parameter updates; empty: none"
    )
    events_url: str = Field(
        "", pattern=OPTIONAL_URL, description="trickle channel that takes this stream's events; empty: none"
    )
    model_id: str = Field("", description="name of the pipeline; empty: the runner's first one")
    params: dict[str, Any] = Field(
        default_factory=dict, description="parameters of the pipeline; what is left out has its default"
    )
    gateway_request_id: str = Field("", description="for logs, and echoed on every frame inside the runner")
    manifest_id: str = Field("", description="for logs")
    stream_id: str = Field("", description="for logs")

    @field_validator("params", mode="before")
    @classmethod
    def _null_is_empty(cls, value: Any) -> Any:
        return {} if value is None else value


class LiveVideoToVideoResponse(BaseModel):
    """The stream was admitted; `request_id` names it in ``/streams``."""

    subscribe_url: str = ""
    publish_url: str = ""
    control_url: str = ""
    events_url: str = ""
    request_id: str = ""
    manifest_id: str = ""


class HealthResponse(BaseModel):
    """State of the runner, in the network's closed enum."""

    status: Literal["LOADING", "OK", "ERROR", "IDLE"]


class VersionResponse(BaseModel):
    """Identity as configured by `PIPELINE`, `MODEL_ID` and `VERSION`."""

    model_config = ConfigDict(protected_namespaces=())

    pipeline: str
    model_id: str
    version: str


class GpuInfo(BaseModel):
    """One GPU; memory in bytes; `major` and `minor` are its compute capability."""

    id: str
    name: str
    memory_total: int
    memory_free: int
    major: int
    minor: int


class HardwareInfoResponse(BaseModel):
    """GPUs by index; empty without one."""

    model_config = ConfigDict(protected_namespaces=())

    pipeline: str
    model_id: str
    gpu_info: dict[str, GpuInfo]


class GpuStats(BaseModel):
    """Load of one GPU; memory in bytes, utilization in percent."""

    id: str
    name: str
    memory_total: int
    memory_free: int
    utilization_compute: int
    utilization_memory: int


class HardwareStatsResponse(BaseModel):
    """Load of the GPUs by index; empty without one."""

    model_config = ConfigDict(protected_namespaces=())

    pipeline: str
    model_id: str
    gpu_stats: dict[str, GpuStats]


class ParamsUpdate(BaseModel):
    """New parameters of a stream: the complete set; what is left out has its default."""

    model_config = ConfigDict(extra="allow")


class ParamsApplied(BaseModel):
    """The parameters hold for every frame from `from_frame` on (frames count from 0 within the stream)."""

    params: dict[str, Any]
    from_frame: int | None = None
    reloading: bool = False


class StreamStatus(BaseModel):
    """One live stream. Times are in milliseconds since the epoch, latencies in milliseconds."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    id: str
    state: str
    model_id: str
    params: dict[str, Any]


class EndedStream(BaseModel):
    """One stream that is over; `ended_ms` in milliseconds since the epoch."""

    model_config = ConfigDict(protected_namespaces=())

    id: str
    model_id: str
    state: str
    end_reason: str
    ended_ms: int
    frames: dict[str, int]
    faults: dict[str, int]


class StreamList(BaseModel):
    """All live streams, and the last ones that ended, oldest first."""

    streams: list[StreamStatus]
    ended: list[EndedStream] = Field(default_factory=list)


class PipelineInfo(BaseModel):
    """One pipeline this runner serves, with the JSON Schema of its parameters once its worker has loaded."""

    model_config = ConfigDict(extra="allow")

    name: str
    package: str
    version: str
    environment: str
    state: str
    params_schema: dict[str, Any] | None = None
    check: dict[str, Any] | None = Field(
        None, description="The conformance report that its package ships, in short"
    )


class PipelineList(BaseModel):
    """The pipelines that this runner serves."""

    pipelines: list[PipelineInfo]


class Message(BaseModel):
    """A sentence for people."""

    msg: str


class HTTPError(BaseModel):
    """Body of 400, 401, 404 and 500."""

    detail: Message


class ValidationItem(BaseModel):
    """One thing wrong with a request."""

    loc: list[str | int]
    msg: str
    type: str


class HTTPValidationError(BaseModel):
    """Body of 422."""

    detail: list[ValidationItem]
