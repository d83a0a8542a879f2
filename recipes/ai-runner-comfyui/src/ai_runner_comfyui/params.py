"""Parameters: the workflow, and values to put into it."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from ai_runner_base import BaseParams
from ai_runner_base.pipeline import hints

from .workflow import INVERT, Graph, make_graph


class ComfyParams(BaseParams):
    """A workflow, and what is changed in it."""

    workflow: dict[str, Any] = Field(
        INVERT,
        description="Workflow in API format, as ComfyUI's Export (API) writes it. LoadTensor, or the only LoadImage, "
        "is the live frame; SaveTensor, PreviewImage or SaveImage is the output",
        json_schema_extra=hints(group="ComfyUI"),
    )
    changes: dict[str, Any] = Field(
        {},
        description='Values for inputs of the workflow, by node and input: {"6.text": "a fox"}',
        json_schema_extra=hints(group="ComfyUI"),
    )

    @model_validator(mode="after")
    def _check_form(self) -> Self:
        self.graph()
        return self

    def graph(self) -> Graph:
        """The workflow with its changes, for live frames.

        :raises ValueError: it breaks a rule of its form
        """
        return make_graph(self.workflow, self.changes)
