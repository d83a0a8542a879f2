"""Requests and answers of the routes that serve orchestrators' sessions."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from .schemas import LiveVideoToVideoResponse


class SessionStart(BaseModel):
    """Body of ``POST /live-video-to-video`` in a session: the orchestrator's channels are used, so it has no URLs."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    model_id: str = Field("", description="empty: what the session was reserved for")
    params: dict[str, Any] = Field(
        default_factory=dict, description="parameters of the pipeline; what is left out has its default"
    )
    share: bool = Field(False, description="also make a URL that shows and steers this stream only")
    subscribe_url: Literal[""] = ""
    publish_url: Literal[""] = ""
    control_url: Literal[""] = ""
    events_url: Literal[""] = ""

    @field_validator("params", mode="before")
    @classmethod
    def _null_is_empty(cls, value: Any) -> Any:
        return {} if value is None else value


class SessionAnswer(LiveVideoToVideoResponse):
    """The URLs are the client's: it publishes to `publish_url` and subscribes to `subscribe_url`."""

    session_id: str = ""
    share_url: str = ""


class RegistrationStatus(BaseModel):
    """One pipeline at one orchestrator."""

    orchestrator: str
    app: str
    state: Literal["registering", "registered", "refused"]
    runner_id: str = Field(description="empty before the first registration")
    status: str = Field(description="as told to the orchestrator")
    capacity: int = Field(description="as told to the orchestrator")
    sessions: int = Field(description="held by the orchestrator")
    last_error: str


class OrchestratorList(BaseModel):
    """All registrations; empty unless ``--orchestrator`` is given with a secret."""

    registrations: list[RegistrationStatus]


class ReadyResponse(BaseModel):
    """Whether an orchestrator with a static entry should send sessions here; the HTTP status says the same."""

    ready: bool
    reason: str
